"""The store's metadata: every `zarr.json`, as a pure function of what the store is for.

    STORE/zarr.json                      attributes: format, latent space, modalities, conventions, cells per split
    STORE/<split>/zarr.json              the same attributes
    STORE/<split>/<image modality>/      (patch, y, x, moment): chunk one patch, shard whole cells
    STORE/<split>/packed/                (patch, number): optional twin, all modalities of a patch in one chunk
    STORE/<split>/presence/              (patch, modality)
    STORE/<split>/{lat,lon,time}/        (patch,): degrees, days since 1970-01-01; NaN where unknown
    STORE/<split>/{epsg,left,top}/       (patch,): where the pixels are: CRS and upper left corner; 0, NaN where unknown
    STORE/<split>/{cell,patch_index}/    (patch,): where the patch was cut from
    STORE/<split>/{modality,moment}/     labels of those dimensions

The documents are known before the first patch is encoded, so processes that start together write the same bytes.
Checksums (CRC-32C) lie around every chunk and every shard's index. Groups repeat the metadata below them
(consolidated), so that xarray opens a split with one read.
"""

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any, Literal

from copgen_jax import config
from copgen_jax.data.latents.layout import Layout
from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality, ModalitySet

FORMAT = "copgen_jax latents"
FORMAT_VERSION = 1
"""A reader refuses a newer one."""

Precision = Literal["float16", "float32"]

LABEL_ROWS = 1 << 16
"""Rows per chunk of the arrays that are written once, when the store is made."""

_LITTLE_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}
_CHECKSUM = {"name": "crc32c"}
_COORDINATES = "cell patch_index lat lon time epsg left top"

BY_SHARD = ("presence", "lat", "lon", "time", "epsg", "left", "top")
"""The small arrays that are written with every shard, `presence` last."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What the latents in a store mean."""

    modalities: ModalitySet
    latent_space: str
    """Hash of the autoencoders, scale factors and modality set that made them: what a model must match."""
    latents_of_each: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Hash by modality alone (`copgen_jax.checkpoints.latents_of_each`); empty where it was not written."""
    patches_per_cell: int
    s2_offset: int
    """What was added to 10000 x reflectance in the Sentinel-2 numbers the autoencoders saw."""
    precision: Precision = "float16"
    packed: bool = False
    """Whether the twin array `packed` is there: twice the bytes, about twice the patches a second."""
    synthetic: bool = False
    """Whether the data came from the synthetic world."""
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Where the data come from: free text for people."""

    def __post_init__(self):
        if self.precision not in typing.get_args(Precision):
            raise InputError(f"the precision of a latent store is {self.precision!r}: expected float16 or float32")

    def moments_shape(self, name: str) -> tuple[int, int, int]:
        """(h, w, 2c) of the moments of one image modality."""
        height, width, channels = self.modalities[name].latent_shape
        return height, width, 2 * channels

    @property
    def numbers(self) -> int:
        """Numbers in the moments of one patch, all image modalities together."""
        return sum(_size(self.moments_shape(m.name)) for m in self.modalities.images)


def attributes_of(description: Description, layouts: Mapping[str, Layout], *, software: str) -> dict[str, Any]:
    """The root's attributes."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "software": software,
        "latent_space": description.latent_space,
        "latents_of_each": dict(description.latents_of_each),
        "modalities": json.loads(config.to_json(description.modalities)),
        "moments": "posterior mean (first half of the last axis) and log-variance (second half) of the autoencoders, "
        "neither clipped nor multiplied by a modality's scale_factor",
        "s2_offset": description.s2_offset,
        "precision": description.precision,
        "packed": description.packed,
        "synthetic": description.synthetic,
        "patches_per_cell": description.patches_per_cell,
        "cells": {split: layout.cells for split, layout in layouts.items()},
        "provenance": dict(description.provenance),
    }


def description_of(attributes: Mapping[str, Any], *, source: str) -> tuple[Description, dict[str, Layout]]:
    """Read the root's attributes back; `source` names the store in errors.

    Raises:
        InputError: not a latent store, or one of a newer format, or with missing or senseless attributes.
    """
    if attributes.get("format") != FORMAT:
        raise InputError(f"{source} is no latent store: its attributes lack format = {FORMAT!r}")
    version = attributes.get("format_version")
    if type(version) is not int or version > FORMAT_VERSION:
        raise InputError(
            f"{source} was written by {attributes.get('software', 'a newer program')} in format version {version}; "
            f"this program reads up to version {FORMAT_VERSION}: update copgen_jax"
        )
    try:
        per_cell = attributes["patches_per_cell"]
        description = Description(
            modalities=config.from_json(json.dumps(attributes["modalities"]), ModalitySet, source=source),
            latent_space=attributes["latent_space"],
            latents_of_each=attributes.get("latents_of_each", {}),
            patches_per_cell=per_cell,
            s2_offset=attributes["s2_offset"],
            precision=attributes["precision"],
            packed=attributes["packed"],
            synthetic=attributes["synthetic"],
            provenance=attributes["provenance"],
        )
        layouts = {
            split: Layout(cells=cells, patches_per_cell=per_cell) for split, cells in attributes["cells"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{source} has damaged attributes: {error} is missing or of the wrong kind") from error
    return description, layouts


def documents_of(
    description: Description, layouts: Mapping[str, Layout], *, software: str
) -> dict[str, dict[str, Any]]:
    """Every `zarr.json` by its path in the store, the root's ("zarr.json") last.

    Splits repeat the root's attributes: a split opened alone says what it is, and a flipped bit in either shows.
    """
    attributes = attributes_of(description, layouts, software=software)
    documents: dict[str, dict[str, Any]] = {}
    below: dict[str, dict[str, Any]] = {}
    for split, layout in layouts.items():
        arrays = array_documents(description, layout)
        documents.update({f"{split}/{name}/zarr.json": document for name, document in arrays.items()})
        documents[f"{split}/zarr.json"] = _group(attributes, arrays)
        below[split] = _group(attributes, {})
        below.update({f"{split}/{name}": document for name, document in arrays.items()})
    documents["zarr.json"] = _group(attributes, below)
    return documents


def array_documents(description: Description, layout: Layout) -> dict[str, dict[str, Any]]:
    """The arrays of one split by name."""
    rows, shard = layout.patches, layout.patches_per_shard
    labels = min(rows, LABEL_ROWS)
    names = description.modalities.names
    arrays = {m.name: _moments(description, layout, m) for m in description.modalities.images}
    if description.packed:
        arrays["packed"] = _sharded(
            (rows, description.numbers),
            shard,
            description.precision,
            ("patch", "number"),
            {"coordinates": _COORDINATES},
        )
    degrees = {"units": "degrees", "reference": "WGS 84, centre of the patch"}
    days = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian", "standard_name": "time"}
    corner = {"units": "m", "reference": "upper left corner of the patch's pixels in its CRS"}
    arrays |= {
        "presence": _plain((rows, len(names)), shard, "bool", ("patch", "modality"), fill=False),
        "lat": _plain((rows,), shard, "float64", ("patch",), fill="NaN", standard_name="latitude", **degrees),
        "lon": _plain((rows,), shard, "float64", ("patch",), fill="NaN", standard_name="longitude", **degrees),
        "time": _plain((rows,), shard, "float64", ("patch",), fill="NaN", **days),
        "epsg": _plain((rows,), shard, "int32", ("patch",), fill=0, long_name="EPSG code of the patch's CRS"),
        "left": _plain((rows,), shard, "float64", ("patch",), fill="NaN", **corner),
        "top": _plain((rows,), shard, "float64", ("patch",), fill="NaN", **corner),
        "cell": _text(rows, labels, "patch"),
        "patch_index": _plain((rows,), labels, "int32", ("patch",), fill=0),
        "modality": _text(len(names), len(names), "modality"),
    }
    for axis, count in moment_axes(description.modalities).items():
        arrays[axis] = _text(count, count, axis)
    return arrays


def moment_axes(modalities: ModalitySet) -> dict[str, int]:
    """Names and lengths of the moments' last dimension: one, unless latents differ in their channels."""
    counts = sorted({2 * m.latent_channels for m in modalities.images})
    return {"moment" if len(counts) == 1 else f"moment_{count}": count for count in counts}


def moment_labels(count: int) -> list[str]:
    """Labels of the last dimension: mean_0 ... then log_variance_0 ..."""
    return [f"{what}_{i}" for what in ("mean", "log_variance") for i in range(count // 2)]


def _moments(description: Description, layout: Layout, modality: Modality) -> dict[str, Any]:
    height, width, count = description.moments_shape(modality.name)
    axis = next(axis for axis, length in moment_axes(description.modalities).items() if length == count)
    return _sharded(
        (layout.patches, height, width, count),
        layout.patches_per_shard,
        description.precision,
        ("patch", f"y_{height}", f"x_{width}", axis),
        {"coordinates": _COORDINATES, "long_name": f"posterior moments of {modality.name}"},
    )


def _sharded(
    shape: tuple[int, ...], shard: int, data_type: str, dimensions: tuple[str, ...], attributes: dict[str, Any]
) -> dict[str, Any]:
    compressor = {
        "name": "blosc",
        "configuration": {
            "cname": "lz4",
            "clevel": 5,
            "shuffle": "bitshuffle",
            "typesize": 2 if data_type == "float16" else 4,
            "blocksize": 0,
        },
    }
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [1, *shape[1:]],
            "codecs": [_LITTLE_ENDIAN, compressor, _CHECKSUM],
            "index_codecs": [_LITTLE_ENDIAN, _CHECKSUM],
            "index_location": "end",
        },
    }
    return _array(shape, shard, data_type, dimensions, "NaN", [sharding], attributes)


def _plain(
    shape: tuple[int, ...], chunk: int, data_type: str, dimensions: tuple[str, ...], *, fill: Any, **attributes
) -> dict[str, Any]:
    to_bytes = {"name": "bytes"} if data_type == "bool" else _LITTLE_ENDIAN
    return _array(shape, chunk, data_type, dimensions, fill, [to_bytes, _CHECKSUM], attributes)


def _text(count: int, chunk: int, dimension: str) -> dict[str, Any]:
    zstd = {"name": "zstd", "configuration": {"level": 3, "checksum": False}}
    return _array((count,), chunk, "string", (dimension,), "", [{"name": "vlen-utf8"}, zstd, _CHECKSUM], {})


def _array(shape, chunk, data_type, dimensions, fill, codecs, attributes) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk, *shape[1:]]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": codecs,
        "dimension_names": list(dimensions),
        "attributes": attributes,
    }


def _group(attributes: dict[str, Any], below: dict[str, dict[str, Any]]) -> dict[str, Any]:
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    if below:
        group["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": below}
    return group


def _size(shape: tuple[int, ...]) -> int:
    height, width, count = shape
    return height * width * count
