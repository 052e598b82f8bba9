"""Physical values as colours that mean the same in every picture.

Stretches are fixed, not fitted to the image, so that two pictures can be compared; only heights are shown between a
lowest and a highest that the caller gives (or the image's own).

    reflectance   clip(r / high)^(1 / 1.8) of the three bands and highest reflectances of a `Composite`: at 10 m true
                  colour between 0 and 0.3
    power         red VV over -20..0 dB, green VH over -28..-6 dB, blue VV - VH over 2..16 dB
    height        coloured by height, shaded by light from the north-west, heights exaggerated twice
    classes       the colour tables of `classcolours`
"""

from typing import NamedTuple

import numpy as np

from copgen_jax.modalities import Modality
from copgen_jax.rasters.pictures.classcolours import class_colours

MISSING = (190, 190, 190)
"""Colour of missing values."""
GAMMA = 1.8
EXAGGERATION = 2.0
SUN_AZIMUTH, SUN_ALTITUDE = np.radians(315.0), np.radians(45.0)

Ramp = tuple[tuple[int, int, int], ...]
TERRAIN: Ramp = ((58, 117, 80), (136, 166, 96), (221, 207, 148), (180, 131, 90), (150, 110, 95), (246, 244, 242))
"""Low to high."""
HEAT: Ramp = ((10, 8, 32), (84, 19, 109), (187, 55, 84), (248, 142, 20), (252, 250, 170))
"""Nothing to much."""


class Composite(NamedTuple):
    """Which bands are shown as red, green and blue, and between which values."""

    name: str
    bands: tuple[str, str, str]
    high: tuple[float, float, float]


_COMPOSITES = (
    Composite("true colour", ("B04", "B03", "B02"), (0.3, 0.3, 0.3)),
    Composite("short-wave infrared", ("B12", "B8A", "B05"), (0.4, 0.6, 0.35)),
    Composite("cirrus, vapour, aerosol", ("B10", "B09", "B01"), (0.02, 0.25, 0.3)),
    Composite("vapour, aerosol", ("B09", "B01", "B01"), (0.6, 0.2, 0.15)),
)
_DECIBELS = ((-20.0, 0.0), (-28.0, -6.0), (2.0, 16.0))


def picture(values: np.ndarray, modality: Modality, *, heights: tuple[float, float] | None = None) -> np.ndarray:
    """Colours uint8 (y, x, 3) of physical values (band, y, x) of one image modality.

    Args:
        values: reflectance, linear power, metres, class codes, or colours 0..255.
        modality: says the encoding and the bands.
        heights: lowest and highest height shown; the image's own by default.
    """
    match modality.encoding:
        case "classes":
            return _classes(values[0], modality)
        case "height":
            return _relief(values[0], modality.resolution or 1.0, heights or height_range(values))
        case "power":
            return _radar(values, modality)
        case "reflectance":
            chosen = composite(modality)
            shown = np.stack([values[modality.bands.index(band)] / high for band, high in chosen_bands(chosen)], -1)
            return _colours(np.clip(shown, 0, 1) ** (1 / GAMMA))
        case _:
            return _colours(np.moveaxis(values, 0, -1) / 255.0)


def composite(modality: Modality) -> Composite:
    """The bands of a reflectance modality that are shown; its first three in turn where no usual composite fits."""
    for known in _COMPOSITES:
        if set(known.bands) <= set(modality.bands):
            return known
    red, green, blue = (modality.bands * 3)[:3]
    return Composite("false colour", (red, green, blue), (0.3, 0.3, 0.3))


def chosen_bands(shown: Composite) -> list[tuple[str, float]]:
    """(band, its highest shown value) of a composite."""
    return list(zip(shown.bands, shown.high, strict=True))


def describe(modality: Modality) -> str:
    """What a picture of this modality shows, in a few words."""
    match modality.encoding:
        case "reflectance":
            shown = composite(modality)
            return f"{shown.name} ({' '.join(shown.bands)})"
        case "power":
            return "VV, VH, VV/VH in dB"
        case "height":
            return "shaded relief"
        case "classes":
            return "classes"
        case _:
            return "colour"


def height_range(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest finite height, at least ten metres apart."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 10.0
    low, high = float(finite.min()), float(finite.max())
    return low, max(high, low + 10.0)


def spread(statistics: dict[str, np.ndarray], modality: Modality) -> tuple[np.ndarray, str]:
    """How much members differ, (y, x), and what that number is.

    Reflectance: the standard deviation, averaged over the bands shown. Power: standard deviation over mean, averaged
    over bands. Heights: standard deviation. Classes: the share of members that are not of the most frequent class.
    """
    if modality.encoding == "classes":
        return 1.0 - statistics["probability"].max(axis=0), "share of other classes"
    deviation = statistics["standard_deviation"]
    if modality.encoding == "power":
        return (deviation / np.maximum(statistics["mean"], 1e-6)).mean(axis=0), "std / mean"
    if modality.encoding == "reflectance":
        rows = sorted({modality.bands.index(band) for band in composite(modality).bands})
        return deviation[rows].mean(axis=0), "std, reflectance"
    return deviation.mean(axis=0), "std, m" if modality.encoding == "height" else "std"


def ramp_colours(values: np.ndarray, ramp: Ramp, low: float, high: float) -> np.ndarray:
    """Colours uint8 (..., 3) of values between `low` and `high` on a ramp; missing values grey."""
    stops = np.linspace(0, 1, len(ramp))
    unit = np.clip((values - low) / (high - low), 0, 1)
    channels = [np.interp(unit, stops, [colour[i] for colour in ramp]) for i in range(3)]
    return _colours(np.stack(channels, -1) / 255.0)


def _colours(unit: np.ndarray) -> np.ndarray:
    """uint8 colours of channels 0..1 on the last axis."""
    missing = np.isnan(unit).any(axis=-1, keepdims=True)
    scaled = np.rint(np.clip(np.nan_to_num(unit), 0, 1) * 255)
    return np.where(missing, np.asarray(MISSING, np.float64), scaled).astype(np.uint8)


def _classes(codes: np.ndarray, modality: Modality) -> np.ndarray:
    table = np.tile(np.asarray(MISSING, np.uint8), (256, 1))
    for code, colour in class_colours(modality).items():
        table[code] = colour
    return table[codes]


def _radar(power: np.ndarray, modality: Modality) -> np.ndarray:
    decibels = 10 * np.log10(np.maximum(power.astype(np.float64), 1e-6))
    co, cross = (decibels[modality.bands.index(band)] for band in ("VV", "VH"))
    channels = [(v - low) / (high - low) for v, (low, high) in zip((co, cross, co - cross), _DECIBELS, strict=True)]
    return _colours(np.stack(channels, -1))


def _relief(height: np.ndarray, resolution: float, heights: tuple[float, float]) -> np.ndarray:
    """Hypsometric colours times the cosine of the angle between the slope's normal and the sun."""
    down, right = np.gradient(height.astype(np.float64) * EXAGGERATION, resolution)
    east, north, up = -right, down, np.ones_like(down)
    sun = (np.sin(SUN_AZIMUTH) * np.cos(SUN_ALTITUDE), np.cos(SUN_AZIMUTH) * np.cos(SUN_ALTITUDE), np.sin(SUN_ALTITUDE))
    lit = (east * sun[0] + north * sun[1] + up * sun[2]) / np.sqrt(east**2 + north**2 + up**2)
    shade = 0.45 + 0.55 * np.clip(lit / np.sin(SUN_ALTITUDE), 0, 1.5)
    base = ramp_colours(height, TERRAIN, *heights) / 255.0
    base = np.where(np.isnan(height)[..., None], np.nan, base)
    return _colours(base * shade[..., None])
