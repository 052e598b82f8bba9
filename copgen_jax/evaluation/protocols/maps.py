"""Maps of places on plain longitude and latitude, on climate zones if the user gives them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from copgen_jax.evaluation.protocols.koppen import Climate
from copgen_jax.evaluation.report.drawing import Plot, Point

ZONES: Mapping[str, str] = {"A": "c2", "B": "c4", "C": "c0", "D": "c6", "E": "c7"}
"""First letter of a Köppen class -> colour of the palette: tropical, dry, temperate, continental, polar."""
NAMES: Mapping[str, str] = {"A": "tropical", "B": "dry", "C": "temperate", "D": "continental", "E": "polar"}
LEAST_SIDE = 0.6
"""Degrees; a polygon of less width and height is smaller than a dot and not drawn."""
DEGREES_PER_PIXEL = 0.4


def place_map(clouds: Mapping[str, Sequence[Point]], truths: Sequence[Point], climate: Climate | None) -> str:
    """Dots per source at (latitude, longitude), crosses at the truths, on the world's extent."""
    plot = Plot(
        (-180, 180), (-90, 90), width=960, height=530, x_label="longitude", y_label="latitude",
        x_ticks=[(float(x), f"{x}") for x in range(-180, 181, 60)], y_ticks=range(-90, 91, 30),
    )  # fmt: skip
    for kind, rings in _zones(climate).items():
        plot.shape(rings, f"zone {kind}")
    for series, (name, places) in enumerate(clouds.items()):
        known = [(lon, lat) for lat, lon in places if math.isfinite(lat) and math.isfinite(lon)]
        plot.points(known, series, name, radius=3)
    for latitude, longitude in truths:
        plot.cross(longitude, latitude)
    if climate:
        plot.key([(f"zone {ZONES[letter]}", name) for letter, name in NAMES.items()])
    return plot.svg("map of generated places")


def _zones(climate: Climate | None) -> dict[str, list[list[Point]]]:
    """Rings of all polygons worth a pixel, by colour: one path each."""
    found: dict[str, list[list[Point]]] = {}
    for polygon in climate.polygons if climate else ():
        west, south, east, north = polygon.bounds
        if max(east - west, north - south) >= LEAST_SIDE:
            rings = [_coarse(ring) for ring in polygon.rings]
            found.setdefault(ZONES.get(polygon.zone[:1], "c7"), []).extend(ring for ring in rings if len(ring) > 2)
    return found


def _coarse(ring: np.ndarray) -> list[Point]:
    """The ring without points that fall on the pixel of the one before."""
    pixels = np.rint(ring / DEGREES_PER_PIXEL)
    new = np.concatenate([[True], (pixels[1:] != pixels[:-1]).any(axis=1)])
    return [(float(x), float(y)) for x, y in ring[new]]
