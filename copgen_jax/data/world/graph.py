"""The causes of the world: which quantity is drawn from which.

Static: location, relief, ground, moisture -> LULC -> DEM (a surface model: it sees trees). An acquisition: the date,
then weather, soil, vegetation, fields (none of which knows relief, ground or moisture), then the images. So what shapes
the land cover acts on images only through land cover, height and location. `docs/world.md` shows the graph.
"""

import numpy as np

from copgen_jax.data.world import atmosphere, clouds, landcover, optics, radar, surface, terrain
from copgen_jax.data.world.causes import Causes, Variable
from copgen_jax.data.world.climate import climate_at, season, temperature_on
from copgen_jax.data.world.noise import Stream
from copgen_jax.data.world.places import centre_of, part_of
from copgen_jax.data.world.sun import overpass_sun
from copgen_jax.modalities import ModalitySet

STATIC = ("location", "DEM", "LULC")
"""The modalities that make a place."""

OBSERVED = ("timestamp", "cloud_mask", "S1RTC", "S2L1C", "S2L2A")
"""The products of an acquisition."""

FIRST_DATE, LAST_DATE = np.datetime64("2017-01-01"), np.datetime64("2024-12-31")

HIGHEST_ZENITH = 80.0
"""Dates with a lower sun do not occur."""


def causes_of(modalities: ModalitySet) -> Causes:
    """The graph for patches with the grids of `modalities`."""
    top, ground = (tuple(m for m in modalities if m.product == product) for product in ("S2L1C", "S2L2A"))
    every = (*ground, *top)

    def observe(stream, scene, air, location, timestamp):
        return optics.observe(stream, scene, air, _sun(location, timestamp)[0], every)

    def s2l2a(stream, reflectance, scene, air, location, timestamp):
        del stream
        return optics.surface_product(reflectance, scene, air, _sun(location, timestamp)[0], ground)

    def s2l1c(stream, reflectance, scene, air, location, timestamp):
        return optics.top_product(stream, reflectance, scene, air, _sun(location, timestamp)[0], top)

    table = (
        ("location", (), _location),
        ("relief", (), terrain.draw_relief),
        ("ground", ("relief",), terrain.draw_ground),
        ("moisture", (), landcover.draw_moisture),
        ("LULC", ("location", "relief", "ground", "moisture"), _landcover),
        ("DEM", ("relief", "ground", "LULC"), _height),
        ("timestamp", ("location",), _date),
        ("sky", ("location",), _sky),
        ("cloud_mask", ("sky", "location", "timestamp"), _mask),
        ("light", ("cloud_mask",), lambda stream, mask: clouds.draw_light(stream, mask[..., 0])),
        ("air", ("location", "timestamp", "DEM"), _air),
        ("soil", ("location",), lambda stream, place: surface.draw_soil(stream, climate_at(*place))),
        ("vegetation", ("location",), lambda stream, place: surface.draw_vegetation(stream, climate_at(*place))),
        ("fields", (), surface.draw_fields),
        ("wetness", ("location", "timestamp", "DEM"), _wetness),
        ("surface", ("LULC", "location", "timestamp", "DEM", "soil", "vegetation", "fields", "wetness"), _surface),
        ("scene", ("surface", "light", "DEM", "location", "timestamp"), _scene),
        ("reflectance", ("scene", "air", "location", "timestamp"), observe),
        ("S2L2A", ("reflectance", "scene", "air", "location", "timestamp"), s2l2a),
        ("S2L1C", ("reflectance", "scene", "air", "location", "timestamp"), s2l1c),
        ("orbit", (), lambda stream: bool(stream.scalars().random() < 0.5)),
        ("S1RTC", ("surface", "wetness", "DEM", "orbit"), _radar),
    )
    return Causes(tuple(Variable(name=name, parents=parents, draw=draw) for name, parents, draw in table))


def _location(stream: Stream) -> tuple[float, float]:
    window = stream.window
    return centre_of(part_of(window.ground, window.row, window.column, window.pixels))


def _landcover(stream, location, relief, ground, moisture) -> np.ndarray:
    classes = landcover.draw_landcover(stream, climate_at(*location), relief, ground, moisture)
    return classes[..., None]


def _height(stream, relief, ground, classes) -> np.ndarray:
    inner = ground[terrain.MARGIN : -terrain.MARGIN, terrain.MARGIN : -terrain.MARGIN]
    noise = stream.pixels("height").standard_normal(inner.shape, np.float32)
    return terrain.surface_model(inner, relief, landcover.canopy(stream, classes[..., 0]), noise)[..., None]


def _date(stream, location) -> np.datetime64:
    """Uniform over the days on which the sun stands high enough at the overpass."""
    rng = stream.scalars()
    days = int((LAST_DATE - FIRST_DATE).astype(int)) + 1
    while True:
        date = FIRST_DATE + np.timedelta64(int(rng.integers(days)), "D")
        if overpass_sun(location[0], location[1], date)[0] < HIGHEST_ZENITH:
            return date


def _sun(location, timestamp) -> tuple[float, float]:
    return overpass_sun(location[0], location[1], timestamp)


def _sky(stream, location) -> clouds.Sky:
    return clouds.draw_sky(stream, 0.2 + 0.3 * climate_at(*location).rain)


def _mask(stream, sky, location, timestamp) -> np.ndarray:
    return clouds.draw_mask(stream, sky, *_sun(location, timestamp))[..., None]


def _air(stream, location, timestamp, height) -> atmosphere.Air:
    climate = climate_at(*location)
    return atmosphere.draw_air(stream, temperature_on(climate, season(location[0], timestamp), float(np.mean(height))))


def _wetness(stream, location, timestamp, height) -> surface.Wetness:
    return surface.draw_wetness(stream, climate_at(*location), timestamp, float(np.mean(height)))


def _surface(stream, classes, location, timestamp, height, soil, vegetation, fields, wetness) -> surface.Surface:
    mean = float(np.mean(height))
    climate = climate_at(*location)
    return surface.compose(stream, classes[..., 0], climate, timestamp, mean, soil, vegetation, fields, wetness)


def _scene(stream, shares, light, height, location, timestamp) -> optics.Scene:
    del stream
    return optics.compose_scene(shares, light, height[..., 0], *_sun(location, timestamp))


def _radar(stream, shares, wetness, height, ascending) -> np.ndarray:
    mean = radar.mean_backscatter(stream, shares, wetness, height[..., 0], ascending)
    return mean * radar.speckle(stream, mean.shape[:2])
