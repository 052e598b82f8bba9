"""Fractal terrain with drainage: heights above a water level.

A cell has one water level (the sea, or its rivers and lakes: they do not fall inside 10.68 km) and a relief. Heights
above the water are built from *valley distances* v = |warped noise|: the zero lines of smooth noise form a connected
net of meandering valleys. The main net (4 km) reaches the water; tributaries (1.3 and 0.43 km) cut the slopes between,
shallower towards their heads; an eroded fractal (octaves damped where the slope is already steep, after Quilez) covers
the rest. This imitates the look of drainage at a few milliseconds a patch; it does not route water.
"""

import dataclasses
import functools

import numpy as np

from copgen_jax.data.world.climate import Climate
from copgen_jax.data.world.noise import Stream, smoothstep

STEP = 3
"""Terrain is made on the 30 m grid."""

MARGIN = 2
"""Pixels of 30 m around the window, for slopes and interpolation: what they give does not depend on the window."""


@dataclasses.dataclass(frozen=True)
class Relief:
    """What kind of landscape a cell is."""

    water_level: float
    """Metres above the sea."""
    height: float
    """Typical height of hills above the water, in metres."""
    river: float
    """Half width of the main valley's water, as a valley distance; 0 where rivers are too narrow to see."""
    lakes: float
    """Depth of closed depressions as a share of the relief; 0 where there are none."""
    coast: float
    """Share of the cell below the sea, 0 inland."""


def draw_relief(stream: Stream) -> Relief:
    """Plains and hills are common, mountains and coasts rarer."""
    rng = stream.scalars()
    kind, height, level, river, lakes, share = rng.random(6).tolist()
    hills = float(9.0 * np.exp(4.25 * height))
    coast = kind < 0.10
    return Relief(
        water_level=0.0 if coast else float(4.0 + 380.0 * level**2 + hills * (0.3 + 2.2 * level)),
        height=hills,
        river=float(0.10 * river**2) if river > 0.25 else 0.0,
        lakes=float(0.5 * lakes) if lakes > 0.78 else 0.0,
        coast=float(0.2 + 0.6 * share) if coast else 0.0,
    )


def draw_ground(stream: Stream, relief: Relief) -> np.ndarray:
    """Height above the water level (h + 4, w + 4) float32 on the 30 m grid with its margin; negative under water."""
    rows, columns = stream.axes(step=STEP, margin=MARGIN)
    field = functools.partial(stream.field, step=STEP, margin=MARGIN)
    y = rows[:, None] + 650.0 * field("warp down", (3600, 1100, 380), (1.0, 0.42, 0.16))
    x = columns[None, :] + 650.0 * field("warp right", (3600, 1100, 380), (1.0, 0.42, 0.16))
    main = np.abs(stream.field_at("main valleys", 4200.0, y, x))
    branch = np.abs(stream.field_at("branches", 1300.0, y, x))
    gully = np.abs(stream.field_at("gullies", 430.0, y, x))
    slope = np.minimum(main / 0.75, 1.3)
    ridge = _eroded(stream)
    height = slope**1.25 * (0.62 + 0.24 * ridge)
    height += 0.42 * np.minimum(slope, 0.8) * np.minimum(branch, 1.0) * (0.8 + 0.3 * ridge)
    height += 0.14 * np.minimum(slope, 0.6) * np.minimum(gully, 1.0)
    height += 0.012 * field("hummocks", (240, 120, 70), (1.0, 0.6, 0.35)) * np.minimum(slope * 2, 1)
    height *= np.float32(relief.height)
    height += np.float32(2.5) * np.minimum(main * 5, 1) - np.float32(0.5)
    if relief.river:
        height -= (height + 1.5) * (1 - smoothstep(main, relief.river, relief.river + 0.05))
    else:
        height = np.maximum(height, 0.3)
    if relief.lakes:
        basin = smoothstep(field("basins", (3000, 900), (1.0, 0.3)), 0.75, 1.6)
        height -= relief.lakes * basin * (relief.height + 8.0)
    if relief.coast:
        shore = field("shore", (9000, 2600, 800, 250), (1.0, 0.4, 0.16, 0.07))
        inland = smoothstep(shore, 2.2 * relief.coast - 1.3, 2.2 * relief.coast - 0.3)
        height = (height + 1.0) * inland - 3.0 * (1 - inland) ** 2 - 0.4 * (inland == 0)
    return height.astype(np.float32)


def surface_model(ground: np.ndarray, relief: Relief, canopy: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Metres above the sea (h, w), 30 m: a surface model like Copernicus GLO-30. Water is flat.

    Args:
        ground: height above the water, without margin.
        canopy: height of trees and buildings, in metres, mean over 30 m.
        noise: of unit variance; heights are good to 0.3 m.
    """
    land = smoothstep(ground, 0.0, 1.0)
    return (relief.water_level + np.maximum(ground, 0) + land * (canopy + 0.3 * noise)).astype(np.float32)


def gradient(height: np.ndarray, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """(rise towards the east, rise towards the north) per metre; one-sided at the edges."""
    down, right = np.gradient(height, resolution)
    return right, -down


def temperature_of(climate: Climate, height: np.ndarray) -> np.ndarray:
    """Annual mean temperature at a height, degrees Celsius."""
    return climate.temperature - 6.5e-3 * height


def _eroded(stream: Stream) -> np.ndarray:
    """Octaves of noise, each damped where the sum so far is steep."""
    octaves = ((1300, 0.55), (650, 0.32), (330, 0.18), (165, 0.09))
    # a slope at the edge of the window is one-sided, and each octave carries that one pixel further in: cut off below
    margin = MARGIN + len(octaves)
    total = stream.field("octave", (2600,), step=STEP, margin=margin)
    for wavelength, amplitude in octaves:
        down, right = np.gradient(total)
        damping = 1 / (1 + 60.0 * (down**2 + right**2))
        total = total + amplitude * damping * stream.field("octave", (wavelength,), step=STEP, margin=margin)
    return total[len(octaves) : -len(octaves), len(octaves) : -len(octaves)].astype(np.float32)
