"""Is a generated scene physically possible? Indices, spectra, consistency between products, water that is level.

Reflectance here is physical: the Sentinel-2 DN offset is removed (`copgen_jax.units.dn_to_reflectance`). With the
offset still in it, NDVI of vegetation falls by a third and spectral angles shrink. Nothing can tell afterwards, so
state it.
"""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.explanation import Explanation

WATER = 1
"""Land-cover code of water."""

LAND = (2, 5, 7, 8, 11)
"""Codes of land that may be dark and is not water, flooded, snow or cloud."""

CLEAR = 0
"""Cloud-mask code of a clear sky."""

CIRRUS = 0.012
"""Reflectance of B10 from which Sen2Cor suspects cirrus."""

DARK = 0.06
"""Surface reflectance in red below which the path through the atmosphere dominates the blue band above it."""


def ndvi(red: np.ndarray, near_infrared: np.ndarray) -> np.ndarray:
    """Vegetation index (NIR - red) / (NIR + red): [...]; NaN where a reflectance is negative or both are 0."""
    return _normalised_difference(near_infrared, red)


def ndwi(green: np.ndarray, near_infrared: np.ndarray) -> np.ndarray:
    """Open-water index (green - NIR) / (green + NIR) (McFeeters 1996): [...]; NaN as `ndvi`."""
    return _normalised_difference(green, near_infrared)


def _normalised_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """In -1 .. 1; a negative reflectance would let it run to any value."""
    total = np.asarray(a, np.float64) + b
    some = (total > 0) & (np.asarray(a) >= 0) & (np.asarray(b) >= 0)
    return np.where(some, (np.asarray(a, np.float64) - b) / np.where(some, total, 1), np.nan)


def spectral_angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle between spectra [C, ...] in degrees: [...], blind to brightness; NaN where a spectrum is zero."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise InputError(f"spectra of shapes {a.shape} and {b.shape} do not have the same bands and pixels")
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    some = lengths > 0
    cosine = (a * b).sum(axis=0) / np.where(some, lengths, 1)
    return np.where(some, np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.nan)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassValues:
    """A map's values in one land-cover class."""

    mean: float
    std: float
    pixels: int
    """Pixels with a value."""
    missing: int
    """Pixels of the class that are NaN."""


def by_class(values: np.ndarray, classes: np.ndarray, codes: Iterable[int] | None = None) -> dict[int, ClassValues]:
    """Values [..., H, W] of each class of a map [H, W]; all classes that occur, or those asked for.

    Raises:
        InputError: values and classes are not on the same grid.
    """
    if np.shape(values)[-2:] != np.shape(classes):
        raise InputError(
            f"values on {np.shape(values)[-2:]} px, classes on {np.shape(classes)} px; bring them to one grid"
        )
    out = {}
    for code in np.unique(classes) if codes is None else codes:
        chosen = np.asarray(values, np.float64)[..., classes == code].ravel()
        known = chosen[~np.isnan(chosen)]
        out[int(code)] = ClassValues(
            mean=float(known.mean()) if known.size else math.nan,
            std=float(known.std()) if known.size else math.nan,
            pixels=known.size,
            missing=chosen.size - known.size,
        )
    return out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Consistency:
    """Level-1C blue less Level-2A blue over clear dark land."""

    median: float
    """Median difference, the path radiance as reflectance; NaN without pixels."""
    negative: float
    """Share of pixels where the surface is brighter than the top of the atmosphere; NaN without pixels."""
    pixels: int


def clear_dark_land(red: np.ndarray, land_cover: np.ndarray, clouds: np.ndarray | None = None) -> np.ndarray:
    """Pixels [H, W] with surface red below .06, of a dry class, and clear: bool.

    Args:
        red: Level-2A B04, physical.
        land_cover: codes on the same grid.
        clouds: cloud-mask codes, 0 is clear; without, every pixel counts as clear: say so beside the result.
    """
    dark = (red < DARK) & np.isin(land_cover, LAND)
    return dark if clouds is None else dark & (clouds == CLEAR)


def path_radiance(l1c_blue: np.ndarray, l2a_blue: np.ndarray, where: np.ndarray) -> Consistency:
    """Consistency of B02 at the two levels [..., H, W] over the pixels of a mask [H, W]. NaN pixels are not counted."""
    difference = (np.asarray(l1c_blue, np.float64) - l2a_blue)[..., where].ravel()
    difference = difference[~np.isnan(difference)]
    if not difference.size:
        return Consistency(median=math.nan, negative=math.nan, pixels=0)
    return Consistency(
        median=float(np.median(difference)), negative=float((difference < 0).mean()), pixels=difference.size
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClearSky:
    """Level-1C B10 where the sky is clear."""

    median: float
    """Reflectance; NaN without pixels."""
    bright: float
    """Share of pixels above `CIRRUS`; NaN without pixels."""
    pixels: int


def cirrus_when_clear(b10: np.ndarray, where: np.ndarray | None = None) -> ClearSky:
    """B10 [..., h, w] over the pixels of a mask [h, w], all without; NaN pixels are not counted."""
    chosen = np.asarray(b10, np.float64)
    chosen = chosen.ravel() if where is None else chosen[..., where].ravel()
    chosen = chosen[~np.isnan(chosen)]
    if not chosen.size:
        return ClearSky(median=math.nan, bright=math.nan, pixels=0)
    return ClearSky(median=float(np.median(chosen)), bright=float((chosen > CIRRUS).mean()), pixels=chosen.size)


def wholly(fine: np.ndarray, shape: tuple[int, int], what: str) -> np.ndarray:
    """Pixels of a coarse grid (h, w) all of whose pixels of a finer mask [H, W] are true: bool [h, w].

    Raises:
        InputError: the mask's sides are not one multiple of the grid's; `what` names both.
    """
    h, w = shape
    factor, rest = divmod(fine.shape[0], h)
    if rest or fine.shape != (h * factor, w * factor):
        raise InputError(f"{what}: {fine.shape} px does not divide into {h} x {w} px")
    return np.logical_and.reduce(fine.reshape(h, factor, w, factor), axis=(1, 3))


def slope_degrees(height: np.ndarray, resolution: float) -> np.ndarray:
    """Slope of a height map [..., H, W] in degrees, from central differences (one-sided at the border)."""
    down, across = np.gradient(np.asarray(height, np.float64), resolution, axis=(-2, -1))
    return np.degrees(np.arctan(np.hypot(down, across)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaterSlope:
    """Slope where land cover is open water, away from the shore."""

    median: float
    """Degrees; NaN without pixels."""
    steep: float
    """Share of pixels above 2 degrees; NaN without pixels."""
    pixels: int


def slope_over_water(height: np.ndarray, land_cover: np.ndarray, resolution: float = 30.0) -> WaterSlope:
    """Slope of heights [..., h, w] over interior water of a finer class map [H, W].

    A height pixel counts if all its class pixels and all those of its eight neighbours are water.

    Raises:
        InputError: the class map's sides are not one multiple of the height map's.
    """
    h, w = height.shape[-2:]
    water = wholly(land_cover == WATER, (h, w), "land cover on the grid of heights")
    padded = np.pad(water, 1)
    inside = np.logical_and.reduce([padded[i : i + h, j : j + w] for i in range(3) for j in range(3)])
    slope = slope_degrees(height, resolution)[..., inside].ravel()
    slope = slope[~np.isnan(slope)]
    if not slope.size:
        return WaterSlope(median=math.nan, steep=math.nan, pixels=0)
    return WaterSlope(median=float(np.median(slope)), steep=float((slope > 2).mean()), pixels=slope.size)


EXPLANATIONS = (
    Explanation(
        name="ndvi",
        title="Vegetation index per class",
        question="physical",
        better="ideal",
        measures="Difference over sum of near infrared and red, averaged over the pixels of each land-cover class.",
        ideal="The value of real images of the same class and season.",
        misleads="With the Sentinel-2 offset left in, vegetation looks a third less green; a mean can be right "
        "while the seasons are wrong.",
    ),
    Explanation(
        name="ndwi",
        title="Water index per class",
        question="physical",
        better="ideal",
        measures="Difference over sum of green and near infrared, averaged over the pixels of each land-cover class.",
        ideal="The value of real images: positive over open water, negative over land.",
        misleads="Both bands are near 0 over clear water, so noise and a left-in offset decide the value.",
    ),
    Explanation(
        name="spectral_angle",
        title="Spectral angle",
        question="physical",
        better="lower",
        unit="degrees",
        measures="Angle between the generated and the true spectrum of a pixel or class: shape without brightness.",
        ideal="Not 0: two real acquisitions of a place differ by a few degrees; compare with the real images' own.",
        misleads="An offset left in one or both sides shrinks all angles; dark pixels give large ones from noise.",
    ),
    Explanation(
        name="path_radiance",
        title="Level-1C less Level-2A in blue over clear dark land",
        question="physical",
        better="ideal",
        unit="reflectance",
        measures="Whether the two products of one scene fit together: over dark land the atmosphere only adds "
        "light in blue.",
        ideal="Positive nearly everywhere, .02 to .08 in the median for common air.",
        misleads="Terrain shadow and over-corrected haze break the rule in real data too: compare with the real share. "
        "Different offsets of the two products show as .1.",
    ),
    Explanation(
        name="cirrus_when_clear",
        title="B10 under a clear sky",
        question="physical",
        better="lower",
        unit="share of pixels",
        measures="Share of clear pixels whose B10 at the top of the atmosphere is above .012. Water vapour swallows "
        "this band before it reaches the ground, so only high cloud is bright in it: without cloud it is dark.",
        ideal="That of real clear acquisitions: near 0, with B10 at .001 to .005 in the median.",
        misleads="High mountains and very dry air let some ground through in real data too: compare with the real "
        "share. Thin cirrus that the cloud mask missed counts as clear. An offset left in shows as 1; a model whose "
        "B10 is 0 everywhere, cloud or not, scores a perfect 0.",
    ),
    Explanation(
        name="water_slope",
        title="Slope over water",
        question="physical",
        better="lower",
        unit="degrees",
        measures="Slope of the terrain model where land cover is open water, away from shores.",
        ideal="0 in the median; the real terrain model has noise and rivers with a few pixels above 2 degrees.",
        misleads="It needs water of at least 90 m in width: the count of pixels belongs beside it.",
        ideal_value=lambda n, m: 0.0,
    ),
)
