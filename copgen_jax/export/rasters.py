"""Decoded patches as COG files with a STAC item each, and as one Zarr."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from copgen_jax.data.latents.writing import epsg_of
from copgen_jax.export.decoder import Decoder
from copgen_jax.export.index import day_of
from copgen_jax.export.selection import Chosen
from copgen_jax.modalities import Modality
from copgen_jax.rasters.outputs.imagefile import write_image
from copgen_jax.rasters.outputs.pixelformat import long_name, pixel_format
from copgen_jax.rasters.outputs.stac import RasterFile, stac_item
from copgen_jax.rasters.samples import build_samples


def provenance_of(chosen: Chosen, decoder: Decoder) -> dict[str, Any]:
    """What decoded rasters are, for their attributes and tags."""
    return {
        "decoded": "mode of the posterior, from stored moments",
        "model": decoder.source,
        "latent_space_hash": decoder.latent_space,
        "split": chosen.split,
    }


def write_patch(folder: Path, chosen: Chosen, number: int, values: Mapping[str, np.ndarray], decoder: Decoder) -> None:
    """Write one patch as a COG per modality and an `item.json`.

    Args:
        folder: of the patch.
        chosen: the patches.
        number: which of them.
        values: physical values (H, W, bands) of the modalities that it has.
        decoder: what decoded them.

    Raises:
        InputError: the place cannot be written to.
    """
    modalities = chosen.store.description.modalities.subset(values)
    ground, provenance = chosen.grounds[number], provenance_of(chosen, decoder)
    time = np.datetime64(chosen.coordinates.time[chosen.rows[number]].item(), "D")
    samples = build_samples(
        {name: array[None] for name, array in values.items()},
        modalities=modalities,
        ground=ground,
        members=[0],
        provenance=provenance,
        time=None if np.isnat(time) else time,
        synthetic=chosen.store.description.synthetic,
    )
    folder.mkdir(exist_ok=True)
    for modality in modalities:
        write_image(folder / f"{modality.name}.tif", samples[modality.name].sel(member=0), modality, ground)
    day = day_of(chosen, number)
    item = stac_item(
        chosen.patches[number],
        ground=ground,
        modalities=modalities,
        rasters={m.name: RasterFile(f"{m.name}.tif", m) for m in modalities},
        others={},
        properties=provenance,
        dates=(day, day),
    )
    for asset in item["assets"].values():
        asset["roles"] = ["data", "synthetic"] if chosen.store.description.synthetic else ["data"]
    item["collection"] = f"{chosen.store.path.name}-export"
    item["links"] = [
        {"rel": rel, "href": "../collection.json", "type": "application/json"} for rel in ("collection", "parent")
    ]
    (folder / "item.json").write_text(json.dumps(item, indent=1) + "\n")


class RasterStore:
    """One Zarr of all decoded patches: a group per modality, dimensions (patch, band, y, x).

    Every patch has its own ground, so `y` and `x` are metres from its upper left corner, which `epsg`, `left` and `top`
    place. Absent patches are NaN, class codes the format's nodata.
    """

    def __init__(self, path: Path, chosen: list[Chosen], names: tuple[str, ...], decoder: Decoder):
        """Make the groups and their coordinates."""
        self.path = path
        self._modalities = chosen[0].store.description.modalities.subset(names)
        attributes = {
            **provenance_of(chosen[0], decoder),
            "synthetic": str(chosen[0].store.description.synthetic).lower(),
        }
        del attributes["split"]
        self._root = zarr.create_group(path, zarr_format=3, attributes=attributes)
        coordinates = _coordinates(chosen)
        for modality in self._modalities.images:
            self._create(modality, coordinates, sum(map(len, chosen)))

    def write(self, start: int, values: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray]) -> None:
        """Write patches from number `start` on: (n, H, W, bands) by modality, and which of them have it."""
        for name, array in values.items():
            target = self._root[f"{name}/{name}"]
            for number in np.flatnonzero(there[name]):
                target[start + int(number)] = np.moveaxis(array[number], -1, 0)  # pyright: ignore

    def finish(self) -> None:
        """Put the metadata together, so that a reader needs one request."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
            for modality in self._modalities.images:
                zarr.consolidate_metadata(self.path, path=modality.name)
            zarr.consolidate_metadata(self.path)

    def _create(self, modality: Modality, coordinates: Mapping[str, Any], patches: int) -> None:
        height, width, _ = modality.image_shape
        step = modality.extent / height
        own = {
            "band": np.asarray(modality.bands, np.dtypes.StringDType()),
            "y": ("y", -(np.arange(height) + 0.5) * step, {"units": "m", "long_name": "from the patch's upper edge"}),
            "x": ("x", (np.arange(width) + 0.5) * step, {"units": "m", "long_name": "from the patch's left edge"}),
        }
        labels = xr.Dataset(coords={**coordinates, **own})
        labels.to_zarr(self.path, group=modality.name, mode="a", zarr_format=3, consolidated=False)
        format = pixel_format(modality)
        is_code = modality.encoding == "classes"
        attributes: dict[str, Any] = {"long_name": long_name(modality), "coordinates": " ".join(coordinates)}
        if format.units:
            attributes["units"] = format.units
        if is_code:
            attributes["flag_values"] = list(modality.codes)
            attributes["flag_meanings"] = " ".join(name.replace(" ", "_") for name in modality.classes)
        self._root.create_array(
            f"{modality.name}/{modality.name}",
            shape=(patches, len(modality.bands), height, width),
            chunks=(1, len(modality.bands), height, width),
            dtype="uint8" if is_code else "float32",
            fill_value=format.nodata if is_code else np.nan,
            dimension_names=("patch", "band", "y", "x"),
            attributes=attributes,
        )


def raster_names(chosen: Chosen, decoder: Decoder) -> tuple[str, ...]:
    """Modalities that are both wanted and decoded."""
    return tuple(name for name in chosen.names if name in decoder.names)


def _coordinates(chosen: list[Chosen]) -> dict[str, Any]:
    """Coordinates along the patches of all splits."""
    text = np.dtypes.StringDType()
    grounds = [ground for part in chosen for ground in part.grounds]
    nowhere = float("nan")

    def joined(values: str) -> np.ndarray:
        return np.concatenate([getattr(part.coordinates, values)[part.rows] for part in chosen])

    columns = {
        "patch": np.array([patch for part in chosen for patch in part.patches], text),
        "split": np.array([part.split for part in chosen for _ in part.rows], text),
        "lat": joined("latitude"),
        "lon": joined("longitude"),
        "time": joined("time").astype("datetime64[ns]"),
        "epsg": np.array([epsg_of(ground) for ground in grounds], np.int32),
        "left": np.array([ground.left if ground else nowhere for ground in grounds]),
        "top": np.array([ground.top if ground else nowhere for ground in grounds]),
    }
    return {name: ("patch", values) for name, values in columns.items()}
