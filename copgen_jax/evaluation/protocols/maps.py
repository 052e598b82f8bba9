"""Maps of places on plain longitude and latitude, with climate zones from a GeoJSON file that the user gives."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from copgen_jax.errors import InputError
from copgen_jax.evaluation.report.drawing import Plot, Point
from copgen_jax.rasters.read import local_file

ZONES: Mapping[str, str] = {"A": "c2", "B": "c4", "C": "c0", "D": "c6", "E": "c5"}
"""First letter of a Köppen class -> colour of the palette: tropical, dry, temperate, continental, polar."""
LEAST_AREA = 0.4
"""Square degrees below which a polygon is not drawn: it is smaller than a dot."""


def read_climate(path: str | Path) -> dict[str, Any]:
    """A GeoJSON FeatureCollection of polygons with a property `climate`, such as "Cfb".

    Raises:
        InputError: not that.
    """
    try:
        data = json.loads(local_file(path).read_text())
        features = data["features"]
        if not any("climate" in feature["properties"] for feature in features):
            raise InputError(f"{path} has no property climate; expected Köppen classes such as Cfb")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no GeoJSON of climate zones: {error!r}") from error
    return data


def place_map(clouds: Mapping[str, Sequence[Point]], truths: Sequence[Point], climate: Mapping[str, Any] | None) -> str:
    """Dots per source at (latitude, longitude), crosses at the truths, on the world's extent."""
    plot = Plot((-180, 180), (-90, 90), width=960, height=520, x_label="longitude", y_label="latitude")
    for zone, rings in _polygons(climate):
        plot.shape([[(x, y) for x, y in ring] for ring in rings], f"zone {ZONES.get(zone[:1], 'c7')}")
    for series, (name, places) in enumerate(clouds.items()):
        known = [(lon, lat) for lat, lon in places if math.isfinite(lat) and math.isfinite(lon)]
        plot.points(known, series, name, radius=2.6)
    for latitude, longitude in truths:
        plot.cross(longitude, latitude)
    return plot.svg("map of generated places")


def zone_at(climate: Mapping[str, Any], latitude: float, longitude: float) -> str:
    """Climate class of a place; empty where no polygon holds it."""
    for zone, rings in _polygons(climate, least=0.0):
        if _inside(rings, longitude, latitude):
            return zone
    return ""


def _polygons(climate: Mapping[str, Any] | None, least: float = LEAST_AREA) -> Iterator[tuple[str, list[list[Point]]]]:
    """(class, rings) of every polygon with at least so much area."""
    for feature in (climate or {}).get("features", ()):
        geometry = feature.get("geometry") or {}
        zone = str(feature.get("properties", {}).get("climate", ""))
        kind, coordinates = geometry.get("type"), geometry.get("coordinates", [])
        many = coordinates if kind == "MultiPolygon" else [coordinates] if kind == "Polygon" else []
        for rings in many:
            plain = [[(float(p[0]), float(p[1])) for p in ring] for ring in rings if len(ring) > 2]
            if plain and abs(_area(plain[0])) >= least:
                yield zone, plain


def _area(ring: Sequence[Point]) -> float:
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs) / 2


def _inside(rings: Sequence[Sequence[Point]], x: float, y: float) -> bool:
    """Even-odd rule over all rings, holes included."""
    crossings = 0
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
                crossings += 1
    return crossings % 2 == 1
