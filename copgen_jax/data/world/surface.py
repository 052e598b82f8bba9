"""What covers the ground on a date: shares of pure surfaces per pixel, and what radar sees of them.

Inputs that the observer knows (land cover, height, latitude and longitude, date) act directly; everything else (soil
colour, species, vigour, parcels, wetness, snow) is drawn here, independently of how the land cover came about.
The shares of a pixel sum to one. They are blurred by the instrument's point spread at 10 m and averaged to coarser
grids, so all bands see the same scene.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from copgen_jax.data.world.climate import Climate, growth, season, temperature_on
from copgen_jax.data.world.noise import Stream, choose, smoothstep
from copgen_jax.data.world.parcels import Parcels, draw_parcels
from copgen_jax.data.world.spectra import MATERIALS

#          low vegetation, trees, built, bare rock and soil, water
_COVER = {
    0: (0.00, 0.00, 0.00, 1.00, 0.00),
    1: (0.00, 0.00, 0.00, 0.00, 1.00),
    2: (0.12, 0.86, 0.00, 0.02, 0.00),
    4: (0.55, 0.20, 0.00, 0.05, 0.20),
    5: (0.00, 0.05, 0.00, 0.00, 0.00),
    7: (0.20, 0.16, 0.52, 0.12, 0.00),
    8: (0.06, 0.00, 0.00, 0.94, 0.00),
    9: (0.00, 0.00, 0.00, 0.05, 0.00),
    10: (0.00, 0.00, 0.00, 1.00, 0.00),
    11: (0.62, 0.10, 0.00, 0.28, 0.00),
}

_LOOKUP = np.zeros((5, 256), np.float32)
for _code, _shares in _COVER.items():
    _LOOKUP[:, _code] = _shares


@dataclasses.dataclass(frozen=True)
class Soil:
    """Hidden colour of the soil: weights of bright and red soil (the rest is dark), about 0 to 1."""

    bright: np.ndarray
    red: float


@dataclasses.dataclass(frozen=True)
class Vegetation:
    """Hidden species mix and vigour."""

    conifers: np.ndarray
    """Share of evergreen needle trees, 0 to 1, per pixel."""
    deciduous: float
    """Share of the other trees that shed their leaves."""
    vigour: np.ndarray
    """About N(0, 1) per pixel."""
    clumps: np.ndarray
    """About N(0, 1): where trees and shrubs stand inside a class."""
    grain: np.ndarray
    """About N(0, 1) at one to three pixels: crowns and their shade."""


@dataclasses.dataclass(frozen=True)
class Fields:
    """Hidden farmland and streets."""

    farms: Parcels
    streets: Callable[[], Parcels]
    """Draws them: needed where there are buildings."""
    hedges: float
    """Share of parcels with trees on their border."""


@dataclasses.dataclass(frozen=True)
class Wetness:
    """Hidden state of the ground on the day."""

    soil: np.ndarray
    """Moisture of the topsoil, 0 to 1, per pixel."""
    snow: float
    """Share of the land under snow, before melting on slopes and under trees."""
    wind: float
    """Wind over water, metres per second."""
    turbidity: np.ndarray
    """Share of muddy water, 0 to 1, per pixel."""


@dataclasses.dataclass(frozen=True)
class Surface:
    """Shares of pure surfaces (material, H, W) float32, and what radar needs to know."""

    shares: np.ndarray
    greenness: np.ndarray
    """Share of green leaves near the ground, per pixel."""
    roughness: np.ndarray
    """Roughness of open ground, 0 smooth to 1 ploughed, per pixel."""
    structure: np.ndarray
    """What crops' rows and stalks add to backscatter, in dB, per pixel."""
    corners: np.ndarray
    """Share of walls that face the radar, per pixel."""


def draw_soil(stream: Stream, climate: Climate) -> Soil:
    """Soils are brighter in dry climates; a third are reddish."""
    rng = stream.scalars()
    mean, red = rng.uniform(0.0, 0.45) + 0.5 * max(0.0, 0.65 - climate.rain), rng.random()
    patches = stream.field("colour", (1500, 420, 130, 55, 25), (0.7, 0.6, 0.6, 0.5, 0.4))
    # washes and tracks: thin bright lines
    lines = np.exp(-((stream.field("lines", (800, 260, 90), (1.0, 0.35, 0.12)) / 0.13) ** 2))
    return Soil(
        np.clip(mean + 0.22 * patches + rng.uniform(0, 0.5) * lines, 0, 1).astype(np.float32),
        float(max(0.0, (red - 0.6) * 2.2)),
    )


def draw_vegetation(stream: Stream, climate: Climate) -> Vegetation:
    """Needle trees prefer cold, leaf shedding the middle latitudes and seasonal tropics."""
    rng = stream.scalars()
    cold = 1 / (1 + np.exp((climate.temperature - 9.0) / 3.0))
    mean = float(np.clip(rng.normal(0.15 + 0.6 * cold, 0.2), 0, 1))
    deciduous = float(np.clip(rng.normal(0.75 * min(1.0, climate.swing / 10) + 0.3 * climate.wet_season, 0.2), 0, 1))
    stands = stream.field("species", (1200, 350, 120), (1.0, 0.7, 0.4))
    grain = stream.pixels("crowns").standard_normal((stream.window.pixels,) * 2, np.float32)
    return Vegetation(
        conifers=smoothstep(stands + 3.2 * (mean - 0.5), -0.35, 0.35),
        deciduous=deciduous,
        vigour=stream.field("vigour", (900, 300, 90, 35), (0.7, 0.7, 0.7, 0.6)) + np.float32(rng.normal(0, 0.5)),
        clumps=stream.field("clumps", (380, 95, 38), (0.7, 0.8, 0.7)),
        grain=0.6 * grain + 0.8 * stream.field("stand", (55, 30)),
    )


def draw_fields(stream: Stream) -> Fields:
    """Farmland from gardens to prairies; streets in blocks of 80 to 160 m."""
    size = float(np.exp(stream.scalars("size").uniform(0, 1.0)))
    farms = draw_parcels(stream, "farms", block=(330 * size, 560 * size), strips=(2, 7), cuts=3, warp=70.0)
    streets = functools.partial(draw_parcels, stream, "streets", block=(110, 210), strips=(3, 7), cuts=3, warp=30.0)
    return Fields(farms, streets, float(stream.scalars("hedges").random() ** 3 * 0.8))


def draw_wetness(stream: Stream, climate: Climate, date: np.datetime64, height: float) -> Wetness:
    """Rain of the last days, snow where it has been cold, wind."""
    rng = stream.scalars()
    cold = temperature_on(climate, season(climate.latitude, date), height)
    chance = 1 / (1 + np.exp((cold + 1.5) / 1.2))
    snow = float(rng.uniform(0.55, 1.0)) if rng.random() < chance else 0.0
    mean = float(np.clip(rng.normal(0.12 + 0.45 * climate.rain, 0.15), 0, 1))
    soil = np.clip(mean + 0.1 * stream.field("rain", (2500, 500)), 0, 1)
    muddy = rng.normal(0.3, 0.3) + 0.18 * stream.field("silt", (1800, 500, 160))
    return Wetness(soil.astype(np.float32), snow, float(rng.gamma(2.2, 1.9)), np.clip(muddy, 0, 1).astype(np.float32))


def compose(
    stream: Stream,
    classes: np.ndarray,
    climate: Climate,
    date: np.datetime64,
    height: float,
    soil: Soil,
    vegetation: Vegetation,
    fields: Fields,
    wetness: Wetness,
) -> Surface:
    """The scene at 10 m from known and hidden causes. `height` is the mean height in metres."""
    phase = season(climate.latitude, date)
    classes = _ragged(stream, classes)
    low, trees, built, bare, water = _LOOKUP.take(classes, axis=1)
    other = 1 - low - trees - built - bare - water
    crops, ice = (other * (classes == code) for code in (5, 9))
    green = growth(climate, phase, height)
    leaves = 1 - vegetation.deciduous * (1 - float(np.clip((green - 0.1) / 0.4, 0, 1)))

    trees = _trees(trees, crops, vegetation, fields)
    farmed = crops > 0.5
    road = (fields.farms.block_border < 6) & farmed
    farm_green, farm_dry, farm_bare = _farm(fields.farms, vegetation, phase, climate, green)
    meadow, lush = _meadow(low, bare, climate, green, vegetation, fields.farms)

    rest = np.clip(1 - trees, 0, 1) / np.maximum(low + built + bare + water + crops + ice, 0.01)
    farm = crops * rest * ~road
    grass = meadow * lush * rest + farm * farm_green
    straw = meadow * (1 - lush) * rest + farm * farm_dry
    naked = (low + bare - meadow) * rest + farm * farm_bare + road * (1 - trees)
    streets = _streets(fields.streets, built * rest)
    shade = 0.30 * trees * np.clip(0.6 + 0.55 * vegetation.grain, 0, 1.6)
    needles = (trees - shade) * vegetation.conifers
    broad = trees - shade - needles
    tilled = farmed * np.float32(0.8) * (fields.farms.property(8) - np.float32(0.5))
    bright = np.clip(soil.bright + tilled + road * np.float32(0.35) + 0.30 * bare, 0, 1) * (1 - 0.45 * wetness.soil)
    red = soil.red * (1 - bright * 0.5)
    shares = {
        "grass": grass,
        "broadleaf": broad * leaves,
        "conifer": needles,
        "straw": straw + broad * (1 - leaves) * 0.5,
        "bright soil": naked * (1 - red) * bright,
        "red soil": naked * red,
        "dark soil": naked * (1 - red) * (1 - bright) + broad * (1 - leaves) * 0.5,
        **streets,
        "clear water": water * rest * (1 - wetness.turbidity),
        "muddy water": water * rest * wetness.turbidity,
        "snow": ice * rest,
        "shade": shade,
    }
    stack = np.empty((len(MATERIALS), *classes.shape), np.float32)
    for number, name in enumerate(MATERIALS):
        stack[number] = shares[name]
    if wetness.snow:
        _snow(stack, wetness.snow, vegetation, classes)
    stack /= stack.sum(axis=0)
    return Surface(
        shares=stack,
        greenness=(grass + 0.35 * straw).astype(np.float32),
        roughness=choose(farmed, 0.15 + 0.85 * fields.farms.property(5), 0.45),
        structure=farmed * np.float32(7.0) * (fields.farms.property(9) - np.float32(0.5)),
        corners=streets["bright roof"] + 0.35 * streets["red roof"],
    )


def _ragged(stream: Stream, classes: np.ndarray) -> np.ndarray:
    """Look the class up one or two pixels aside: outlines in the scene are rougher than on the map."""
    side = classes.shape[0]
    down, right = (np.rint(1.3 * stream.field(axis, (70, 30))) for axis in ("outline down", "outline right"))
    index = np.arange(side, dtype=np.float32)
    row, column = np.clip(index[:, None] + down, 0, side - 1), np.clip(index[None, :] + right, 0, side - 1)
    return classes.ravel().take((row * side + column).astype(np.intp))


def _trees(share: np.ndarray, crops: np.ndarray, vegetation: Vegetation, fields: Fields) -> np.ndarray:
    """Trees stand in clumps, a share t as whole crowns on about t of the pixels, and in hedges between parcels."""
    grown = smoothstep(vegetation.clumps + 2.6 * (share - 0.5), -0.25, 0.25)
    trees = np.minimum(share * (0.35 + 0.65 * grown / (share + 0.1)), 0.97)
    hedge = (fields.farms.border < 8) & (fields.farms.property(7) < fields.hedges) & (vegetation.clumps > -0.5)
    return choose(hedge & (crops > 0.5), 0.75, trees)


def _meadow(
    low: np.ndarray, bare: np.ndarray, climate: Climate, green: float, vegetation: Vegetation, parcels: Parcels
) -> tuple[np.ndarray, np.ndarray]:
    """(share of low vegetation, how green it is): dense in wet climates, there mown or grazed parcel by parcel."""
    humid = float(np.clip((climate.rain - 0.3) / 0.4, 0, 1))
    density = (0.85 + 0.45 * vegetation.vigour + 0.12 * vegetation.grain) * (0.45 + 0.55 * climate.rain)
    pasture = 1.8 * humid * (parcels.property(10) - np.float32(0.5))
    lush = np.clip(green * (1.1 + 0.5 * vegetation.vigour + pasture), 0, 1)
    return np.clip(low * density * (1 + 0.6 * humid), 0, low + bare), lush


def _farm(
    farms: Parcels, vegetation: Vegetation, phase: float, climate: Climate, green: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(green, dry, bare) shares of crops per pixel, summing to one: crop and calendar differ by parcel."""
    kind, shift, strength, ploughed = (farms.property(n) for n in range(4))
    winter, annual = kind < 0.36, kind < 0.72
    peak = choose(winter, 0.37, choose(annual, 0.56, 0.50))
    peak = peak + np.float32(0.10) * (shift - 0.5) + np.float32(0.06 * climate.wet_season)
    width = choose(annual, 0.11, 0.40)
    ahead = np.float32(phase) - peak + np.float32(0.5)
    ahead = ahead - np.floor(ahead) - np.float32(0.5)
    cover = np.exp(-((ahead / width) ** 2))
    # winter cereals are sown in autumn and stand green until spring
    cover = choose(winter & (np.abs(ahead) > 0.2), np.maximum(cover, 0.3 + 0.5 * shift), cover)
    cover = smoothstep(cover, 0.1, 0.75) * (0.75 + 0.25 * strength) * np.float32(0.62 + 0.38 * green)
    always = np.float32(0.30 * climate.rain * green)
    furrows = 0.05 * np.sin(farms.along * (0.35 + 0.2 * strength))
    cover = np.clip(cover + always * (kind > 0.3) + 0.10 * vegetation.vigour + furrows, 0, 1)
    cover = choose(kind > 0.93, 0.06 * (1 + vegetation.vigour * 0.4), cover)
    straw = np.clip((smoothstep(ahead, 0.06, 0.11) - smoothstep(ahead, 0.2, 0.3)) * (ploughed < 0.55) + 0.04, 0, 1)
    dry = (1 - cover) * straw
    return cover, dry, 1 - cover - dry


def _streets(draw: Callable[[], Parcels], built: np.ndarray) -> dict[str, np.ndarray]:
    """Built share split into asphalt and roofs: streets around blocks, a roof colour per lot."""
    if not built.any():
        return dict.fromkeys(("bright roof", "red roof", "asphalt"), built)
    streets = draw()
    colour, size = streets.property(0), streets.property(1)
    house = smoothstep(streets.border, 1.0, 7.0) * (0.4 + 0.6 * size)
    house = house * (streets.block_border >= 7)
    bright = house * choose(colour < 0.16, 0.25 + 4.0 * colour, 0.03)
    red = house * choose(colour > 0.55, 0.55, 0.10)
    return {
        "bright roof": built * bright,
        "red roof": built * red,
        "asphalt": built * np.clip(1 - bright - red, 0, 1),
    }


def _snow(shares: np.ndarray, cover: float, vegetation: Vegetation, classes: np.ndarray) -> None:
    """Cover open land with snow; trees, water and streets shed it."""
    open_ground = [MATERIALS.index(n) for n in ("grass", "straw", "bright soil", "red soil", "dark soil")]
    shedding = [MATERIALS.index(n) for n in ("asphalt", "bright roof", "red roof", "broadleaf", "conifer")]
    lying = smoothstep(vegetation.vigour + 5.0 * (cover - 0.6), -1.0, 1.5) * (classes != 1)
    snow = MATERIALS.index("snow")
    for group, share in ((open_ground, 0.95), (shedding, 0.35)):
        for material in group:
            moved = shares[material] * lying * np.float32(share)
            shares[material] -= moved
            shares[snow] += moved
