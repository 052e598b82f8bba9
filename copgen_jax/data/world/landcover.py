"""Land cover in ESRI codes from height above water, height, slope, hidden moisture and climate.

Every class has a suitability, a smooth function of the place plus smooth noise; the most suitable class wins. Noise
wavelengths of 90 m and more give the rounded outlines of the ESRI maps. Water is where the ground lies below the water
level. Parcels and streets are no part of the map: they are drawn with each acquisition (surface.py), inside the map.
"""

import dataclasses

import numpy as np

from copgen_jax.data.world.climate import Climate
from copgen_jax.data.world.noise import Stream, block_mean, enlarge, smoothstep
from copgen_jax.data.world.terrain import Relief, gradient, temperature_of

WATER, TREES, FLOODED, CROPS, BUILT, BARE, SNOW, RANGELAND = 1, 2, 4, 5, 7, 8, 9, 11

_CANOPY = np.zeros(256, np.float32)
_CANOPY[[TREES, BUILT]] = 10.0, 4.0


@dataclasses.dataclass(frozen=True)
class Moisture:
    """Hidden wetness of the ground (H, W), about N(0, 1), and how much people changed the place."""

    ground: np.ndarray
    people: float
    """Pressure for crops and settlements, -1 to 1."""


def draw_moisture(stream: Stream) -> Moisture:
    """Local wetness around the climate's mean, at 10 m."""
    people = float(stream.scalars("people").normal(0.15, 0.55))
    regional = float(stream.scalars("region").normal(0.0, 0.45))
    field = stream.field("wetness", (4200, 1400, 500), (1.0, 0.6, 0.35))
    return Moisture(regional + 0.8 * field, float(np.clip(people, -1, 1)))


def draw_landcover(
    stream: Stream, climate: Climate, relief: Relief, ground: np.ndarray, moisture: Moisture
) -> np.ndarray:
    """Codes (H, W) uint8 at 10 m. `ground` is the height above water at 30 m with `terrain.MARGIN`."""
    pixels = stream.window.pixels
    east, north = gradient(ground, 30.0)
    slope = enlarge(np.hypot(east, north)[1:-1, 1:-1], 3, pixels)
    above = enlarge(ground[1:-1, 1:-1], 3, pixels)
    warm = temperature_of(climate, relief.water_level + above)
    wet = moisture.ground * 0.9 + 4.0 * (climate.rain - 0.42) - 0.35 * np.log1p(np.maximum(above, 0) / 12.0)
    texture = _textures(stream)
    suitability = (
        0.9 * np.minimum(wet, 1.5) - 0.1 + 2.6 * np.minimum(slope, 0.5) - 4.0 * smoothstep(-warm, 1.0, 5.0)
        - 0.9 * moisture.people + 0.95 * texture["trees"],
        1.3 - 1.1 * np.maximum(above, 0) + 0.8 * wet + 0.8 * texture["flooded"] - np.float32(8) * (slope > 0.06),
        0.75 + 1.5 * moisture.people - 9.0 * np.maximum(slope - 0.05, 0) + 0.35 * np.minimum(wet, 1.0)
        - 3.0 * smoothstep(-warm, -5.5, -1.0) + 0.6 * texture["crops"] - np.float32(1.6) * (wet < -1.6),
        _settlements(stream, moisture.people) - 7.0 * np.maximum(slope - 0.08, 0)
        - 3.0 * smoothstep(-warm, -3.0, 2.0),
        -1.0 * wet - 1.25 + 2.4 * np.maximum(slope - 0.45, 0) + 1.6 * smoothstep(-warm, -1.0, 5.0)
        + 0.6 * texture["bare"],
        -1.05 * (warm + 5.0) + 0.5 * texture["snow"] - 2.0 * np.maximum(slope - 0.7, 0),
        0.35 + 0.35 * texture["open"],
    )  # fmt: skip
    best, chosen = suitability[0], np.zeros((pixels, pixels), np.uint8)
    for number, other in enumerate(suitability[1:], start=1):
        chosen = np.maximum(chosen, (other > best) * np.uint8(number))
        best = np.maximum(best, other)
    codes = np.array([TREES, FLOODED, CROPS, BUILT, BARE, SNOW, RANGELAND], np.uint8)
    classes = codes.take(chosen)
    classes[above < 0] = WATER
    return classes


def canopy(stream: Stream, classes: np.ndarray) -> np.ndarray:
    """Mean height of trees and buildings on the 30 m grid, in metres."""
    stand = 1 + 0.25 * stream.field("stands", (400, 130), step=3)
    return np.maximum(block_mean(_CANOPY[classes], 3) * stand, 0).astype(np.float32)


def _textures(stream: Stream) -> dict[str, np.ndarray]:
    rounded = {"trees": (1500, 420, 190, 95), "crops": (1800, 600, 260), "bare": (900, 300, 110)}
    fields = {name: stream.field(name, waves) for name, waves in rounded.items()}
    return fields | {
        "flooded": stream.field("flooded", (700, 220)),
        "snow": stream.field("snow", (600, 150)),
        "open": stream.field("open", (800, 260, 120)),
    }


def _settlements(stream: Stream, people: float) -> np.ndarray:
    """Suitability for buildings: towns (rounded patches of 1-2 km), villages strung along lines, nothing between."""
    towns = stream.field("towns", (2600, 700, 250), (1.0, 0.45, 0.25))
    roads = np.abs(stream.field("roads", (1700, 600), (1.0, 0.15)))
    villages = stream.field("villages", (650, 220), (1.0, 0.4)) - 5.0 * roads
    return np.maximum(1.9 * (towns - 1.75), 1.5 * (villages - 0.75)) + 0.9 + 0.8 * people
