"""One modality's raster from the files of its bands: header first, then pixels."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader

from copgen_jax.data.majortom.cutting import CELL_EXTENT, central_offset
from copgen_jax.data.majortom.metadata import plain_crs
from copgen_jax.data.majortom.observation import Kind
from copgen_jax.data.majortom.offsets import tagged_offset
from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality
from copgen_jax.rasters.given.source import crs_text
from copgen_jax.rasters.read import open_raster

MAY_BE_LONGER = ("S1RTC", "LULC")
"""Products whose rasters come from elsewhere and may be longer than a cell; others must have exactly its size."""
LONGEST = 1.05
"""By this factor."""


class Unfit(InputError):
    """A raster that can be read but cannot stand for its cell; says the kind of issue."""

    def __init__(self, kind: Kind, reason: str):
        """`reason` is the message."""
        super().__init__(reason)
        self.kind: Kind = kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Raster:
    """The bands of one modality of one cell."""

    values: np.ndarray
    """(H, W, bands) as stored."""
    crs: str
    """Empty where the file has none."""
    left: float
    top: float
    tagged_offset: int | None
    """Sentinel-2 offset implied by scale and offset tags, or None."""


def read_bands(modality: Modality, sources: Sequence[tuple[str, Path | bytes]], *, crs: str = "") -> Raster:
    """The raster of a modality of a cell.

    Radar longer than the cell is cut to its central window; land cover may be a few pixels longer and is left as it is,
    both as the published patches were cut.

    Args:
        modality: says the pixel size and the number of pixels.
        sources: (name for messages, file or bytes) per band, in channel order.
        crs: the coordinate reference system where the files say none.

    Raises:
        InputError: a file that cannot be read safely.
        Unfit: an InputError for a raster of another size, pixel size or number of bands.
    """
    read = [_read_band(modality, where, source) for where, source in sources]
    first, where = read[0], sources[0][0]
    for (other_where, _), other in zip(sources, read, strict=True):
        if other.values.shape != first.values.shape:
            raise Unfit(
                "wrong size",
                f"{other_where} has {_size(other.values)} px, {where} of the same modality {_size(first.values)}",
            )
    values = np.stack([band.values for band in read], axis=-1)
    return dataclasses.replace(first, values=values, crs=first.crs or plain_crs(crs))


def _read_band(modality: Modality, where: str, source: Path | bytes) -> Raster:
    try:
        return _read_open(modality, where, source)
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}") from error


def _read_open(modality: Modality, where: str, source: Path | bytes) -> Raster:
    with open_raster(source, where=where) as dataset:
        _check(modality, where, dataset)
        side = _side(modality)
        transform, resolution = dataset.transform, modality.extent / modality.image_shape[0]
        top = left = 0
        height, width = dataset.shape
        if modality.product == "S1RTC":
            top, left, height, width = central_offset(height, side), central_offset(width, side), side, side
        return Raster(
            values=dataset.read(1, window=((top, top + height), (left, left + width))),
            crs=crs_of(dataset),
            left=transform.c + left * resolution,
            top=transform.f - top * resolution,
            tagged_offset=tagged_offset(dataset.scales[0], dataset.offsets[0]),
        )


def _check(modality: Modality, where: str, dataset: DatasetReader) -> None:
    side, resolution = _side(modality), modality.extent / modality.image_shape[0]
    if dataset.count != 1:
        raise Unfit("wrong size", f"{where} has {dataset.count} bands, expected one per file")
    longest = int(side * LONGEST) if modality.product in MAY_BE_LONGER else side
    if not all(side <= pixels <= longest for pixels in dataset.shape):
        raise Unfit(
            "wrong size",
            f"{where} has {dataset.height} x {dataset.width} px, expected the {side} x {side} px of a cell of "
            f"{CELL_EXTENT / 1000} km at {resolution:g} m",
        )
    transform = dataset.transform
    if dataset.crs and not np.allclose(
        [transform.a, transform.b, transform.d, transform.e], [resolution, 0.0, 0.0, -resolution], atol=resolution / 100
    ):
        raise Unfit(
            "other ground",
            f"{where} has pixels of {transform.a:g} x {-transform.e:g}, expected north-up pixels of {resolution:g} m",
        )


def _side(modality: Modality) -> int:
    return round(CELL_EXTENT * modality.image_shape[0] / modality.extent)


def _size(values: np.ndarray) -> str:
    return f"{values.shape[0]} x {values.shape[1]}"


def kind_of(error: InputError) -> Kind:
    """The kind of issue that an error of `read_bands` is."""
    return error.kind if isinstance(error, Unfit) else "broken"


def crs_of(dataset: DatasetReader) -> str:
    """The coordinate reference system of a raster as `Ground` keeps it; empty where it has none."""
    return _crs_text(dataset.crs.to_wkt()) if dataset.crs else ""


@functools.lru_cache(maxsize=256)
def _crs_text(wkt: str) -> str:
    return crs_text(wkt)
