"""One modality's patch, read from its sources and brought to its own grid, units known and gaps filled."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality
from copgen_jax.rasters.given.alignment import Lattice
from copgen_jax.rasters.given.bands import Band
from copgen_jax.rasters.given.nodata import check_share, fill_nearest
from copgen_jax.rasters.given.shrink import shrink
from copgen_jax.rasters.given.source import Source, Window
from copgen_jax.rasters.given.stated import Unit, check_values, convert, no_data


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """One modality to be read."""

    modality: Modality
    bands: Sequence[Band]
    """In channel order."""
    unit: Unit
    offset: int
    """DN of zero reflectance; 0 for what is not Sentinel-2."""


def read_image(image: Image, lattice: Lattice, window: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """One modality's patch (H, W, bands) on its own grid, and what had to be done to it.

    Raises:
        InputError: damaged pixels, no data in over 5 % of a band, values that cannot be in the stated unit.
    """
    modality = image.modality
    planes: dict[int, np.ndarray] = {}
    means: list[str] = []
    repeats: list[str] = []
    notes: list[str] = []
    for source in dict.fromkeys(band.source for band in image.bands):
        channels = [i for i, band in enumerate(image.bands) if band.source is source]
        indices = [image.bands[i].index for i in channels]
        numbers, stored = source.read(indices, _window_in(source, lattice, window))
        factor = round((modality.resolution or 0.0) / (source.pixel or lattice.base))
        for plane, valid, channel, index in zip(numbers, stored, channels, indices, strict=True):
            values, valid, share = _in_known_unit(image, plane, valid, source, index, modality.bands[channel])
            small = shrink(values, valid, factor)
            if factor > 1:
                (repeats if small.exact else means).append(modality.bands[channel])
            if share:
                what = _band_title(modality, modality.bands[channel], source)
                notes.append(f"{what}: {share:.2%} without data, filled from the nearest pixels")
            planes[channel] = fill_nearest(small.values, small.valid)
    for names, how in ((repeats, "every pixel repeated, so nothing was lost"), (means, "by block means")):
        if names:
            notes.append(f"{modality.name}: {' '.join(names)} brought to {modality.resolution:g} m, {how}")
    stack = np.stack([planes[channel] for channel in range(len(modality.bands))], axis=-1)
    return stack.astype(np.int32 if modality.encoding == "classes" else np.float32), notes


def classes_in(modality: Modality, band: Band, lattice: Lattice, windows: Sequence[tuple[int, int]]) -> np.ndarray:
    """Every class value in the windows, sorted."""
    found: set[float] = set()
    for window in windows:
        numbers, valid = band.source.read([band.index], _window_in(band.source, lattice, window))
        found.update(np.unique(numbers[valid]).tolist())
    if not found:
        raise InputError(f"{modality.name} in {band.source.where} holds no data at all")
    return np.asarray(sorted(found))


def darkest_in(bands: Sequence[Band], lattice: Lattice, window: tuple[int, int]) -> float:
    """Smallest DN above zero of the first patch; for a hint only."""
    least = np.inf
    for source, index in bands:
        numbers, valid = source.read([index], _window_in(source, lattice, window))
        least = min(least, float(np.min(numbers, where=valid & (numbers > 0), initial=np.inf)))
    return least


def _in_known_unit(
    image: Image, numbers: np.ndarray, valid: np.ndarray, source: Source, index: int, band: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """One band in DN, linear power, metres or codes (H, W), where it is valid, and the share that is not."""
    modality, unit = image.modality, image.unit.name
    nothing = no_data(modality, unit, numbers, source, index)
    # Power that is not positive counts as no data, but is first of all evidence about the unit.
    checked = valid if modality.encoding == "power" else valid & ~nothing
    check_values(modality, unit, numbers[checked], source, index, dn_offset=image.offset)
    valid = valid & ~nothing
    share = check_share(valid, what=_band_title(modality, band, source))
    return convert(modality, unit, np.where(valid, numbers, 0.0), source, index), valid, share


def _band_title(modality: Modality, band: str, source: Source) -> str:
    several = len(modality.bands) > 1
    return f"{modality.name} band {band} of {source.where}" if several else f"{modality.name} in {source.where}"


def _window_in(source: Source, lattice: Lattice, window: tuple[int, int]) -> Window:
    scale = lattice.base / (source.pixel or lattice.base)
    row, column = (round(at * scale) for at in window)
    side = round(lattice.patch * scale)
    return Window(row, column, side, side)
