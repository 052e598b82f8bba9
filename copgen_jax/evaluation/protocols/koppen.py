"""Köppen-Geiger climate zones from a file that the user gives: polygons, or a raster of class numbers.

Understood are GeoJSON with a property `climate` that begins with the class ("Cfb", "ET Polar-Tundra", as the map beside
the published code), and GeoTIFF in degrees with the numbers 1 to 30 of Beck et al. 2018. Zones are grouped as in the
published figure: polar and tropical classes alone, deserts, steppes, temperate and continental ones by two letters.
"""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.features import shapes

from copgen_jax.errors import InputError
from copgen_jax.rasters.read import local_file, open_raster

NUMBERED = (
    "Af", "Am", "Aw", "BWh", "BWk", "BSh", "BSk", "Csa", "Csb", "Csc", "Cwa", "Cwb", "Cwc", "Cfa", "Cfb", "Cfc",
    "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "Dfa", "Dfb", "Dfc", "Dfd", "ET", "EF",
)  # fmt: skip
"""Classes of a raster's numbers from 1."""
ALONE = ("ET", "EF", "Af", "Am", "Aw")
RASTER_SIDE = 1800
"""A raster is read with at most so many columns: a fifth of a degree, far below a dot on the map."""
SEA = "sea"


@dataclasses.dataclass(frozen=True)
class Polygon:
    """One zone's piece: rings of (longitude, latitude), the outer first."""

    zone: str
    rings: tuple[np.ndarray, ...]

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        west, south = self.rings[0].min(axis=0)
        east, north = self.rings[0].max(axis=0)
        return float(west), float(south), float(east), float(north)

    @cached_property
    def area(self) -> float:
        """On the unit sphere, holes taken off: longitude and the sine of latitude keep areas."""
        outer, *holes = (_shoelace(np.radians(ring[:, 0]), np.sin(np.radians(ring[:, 1]))) for ring in self.rings)
        return max(outer - sum(holes), 0.0)

    def holds(self, latitude: float, longitude: float) -> bool:
        """Even-odd rule over all rings."""
        west, south, east, north = self.bounds
        if not (west <= longitude <= east and south <= latitude <= north):
            return False
        return sum(_crossings(ring, longitude, latitude) for ring in self.rings) % 2 == 1


@dataclasses.dataclass(frozen=True)
class Climate:
    """A map of zones."""

    polygons: tuple[Polygon, ...]

    def zone_at(self, latitude: float, longitude: float) -> str:
        """Zone of a place; "sea" where there is none."""
        return next((p.zone for p in self.polygons if p.holds(latitude, longitude)), SEA)

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """Share of every zone in the area of all of them, largest first."""
        areas: Counter[str] = Counter()
        for polygon in self.polygons:
            areas[polygon.zone] += polygon.area  # pyright: ignore[reportArgumentType]
        total = sum(areas.values())
        return {zone: area / total for zone, area in areas.most_common()}


def read_climate(path: str | Path) -> Climate:
    """The zones of a GeoJSON file or a GeoTIFF.

    Raises:
        InputError: neither, or without climate classes.
    """
    file = local_file(path)
    if file.suffix.lower() in (".tif", ".tiff"):
        return Climate(tuple(_of_raster(file)))
    try:
        features = json.loads(file.read_text())["features"]
        found = tuple(polygon for feature in features for polygon in _of_feature(feature))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path} is neither a GeoTIFF nor GeoJSON of climate zones: {error!r}") from error
    if not found:
        raise InputError(f"{path} has no polygon with a property climate; expected Köppen classes such as Cfb")
    return Climate(found)


def group(name: str) -> str:
    """The published grouping of a class: ET, EF, Af, Am, Aw alone, the others by two letters."""
    first = name.split()[0] if name.split() else ""
    return first if first in ALONE else first[:2]


def _of_feature(feature: Mapping[str, Any]) -> Iterator[Polygon]:
    geometry, zone = feature["geometry"] or {}, group(str(feature["properties"].get("climate", "")))
    kind, coordinates = geometry.get("type"), geometry.get("coordinates", [])
    many = coordinates if kind == "MultiPolygon" else [coordinates] if kind == "Polygon" else []
    for rings in many if zone else []:
        yield Polygon(zone, tuple(_rings(rings)))


def _rings(rings: Iterable[Sequence[Sequence[float]]]) -> Iterator[np.ndarray]:
    for ring in rings:
        yield np.asarray([point[:2] for point in ring], np.float64).reshape(-1, 2)


def _of_raster(path: Path) -> Iterator[Polygon]:
    with open_raster(path) as dataset:
        if dataset.crs is None or not dataset.crs.is_geographic:
            raise InputError(f"{path} is not in degrees of longitude and latitude: {dataset.crs}")
        step = max(1, math.ceil(dataset.width / RASTER_SIDE))
        shape = max(1, dataset.height // step), max(1, dataset.width // step)
        numbers = dataset.read(1, out_shape=shape)
        scaled = dataset.transform @ Affine.scale(dataset.width / shape[1], dataset.height / shape[0])
    known = (numbers >= 1) & (numbers <= len(NUMBERED))
    if not known.any():
        raise InputError(f"{path} has no class number from 1 to {len(NUMBERED)}; expected Köppen classes")
    for geometry, number in shapes(numbers.astype(np.int16), mask=known, transform=scaled):
        yield Polygon(group(NUMBERED[int(number) - 1]), tuple(_rings(geometry["coordinates"])))


def _shoelace(x: np.ndarray, y: np.ndarray) -> float:
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))) / 2


def _crossings(ring: np.ndarray, x: float, y: float) -> int:
    """Edges that a ray to the east meets."""
    (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, axis=0).T
    across = (y0 > y) != (y1 > y)
    at = x0[across] + (x1 - x0)[across] * (y - y0[across]) / (y1 - y0)[across]
    return int((x < at).sum())
