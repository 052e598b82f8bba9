"""Outlines of a square of ground in degrees, for GeoJSON and STAC.

An outline that crosses the date line is cut there into two, as RFC 7946 asks, and its box then has a west larger than
its east.
"""

from typing import Any

import numpy as np

from copgen_jax.rasters.ground import Ground

Ring = list[tuple[float, float]]
_POINTS_PER_SIDE = 4


def outline(ground: Ground) -> dict[str, Any]:
    """GeoJSON Polygon of the square, counter-clockwise from its lower left corner; MultiPolygon over the date line."""
    ring = _ring(ground)
    parts = [part for part in (_cut(ring, keep_west=True), _cut(ring, keep_west=False)) if part]
    polygons = [[[list(point) for point in _closed(part)]] for part in parts]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def box(ground: Ground) -> list[float]:
    """[west, south, east, north] in degrees; west > east over the date line."""
    longitudes, latitudes = np.asarray(_ring(ground)).T
    west, east = longitudes.min(), longitudes.max()
    return [_wrapped(west), float(latitudes.min()), _wrapped(east, upper=180.0), float(latitudes.max())]


def _ring(ground: Ground) -> Ring:
    """Points along the sides in degrees; longitudes run on beyond 180 instead of jumping, and start in [-180, 180)."""
    from pyproj import Transformer

    steps = np.arange(_POINTS_PER_SIDE) / _POINTS_PER_SIDE
    zero, one = np.zeros_like(steps), np.ones_like(steps)
    right = np.concatenate([steps, one, 1 - steps, zero]) * ground.extent
    up = np.concatenate([zero, steps, one, 1 - steps]) * ground.extent
    to_degrees = Transformer.from_crs(ground.crs, "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(ground.left + right, ground.top - ground.extent + up)
    longitude = np.unwrap(np.asarray(longitude), period=360.0)
    longitude = longitude - 360.0 * np.floor((longitude.min() + 180.0) / 360.0)
    return [(float(x), float(y)) for x, y in zip(longitude, latitude, strict=True)]


def _cut(ring: Ring, *, keep_west: bool) -> Ring:
    """The part of the ring up to longitude 180, or beyond it moved to -180 (Sutherland and Hodgman's clipping)."""

    def inside(point: tuple[float, float]) -> bool:
        return point[0] <= 180.0 if keep_west else point[0] > 180.0

    kept: Ring = []
    for start, end in zip(ring, [*ring[1:], ring[0]], strict=True):
        if inside(start):
            kept.append(start)
        if inside(start) != inside(end):
            share = (180.0 - start[0]) / (end[0] - start[0])
            kept.append((180.0, start[1] + share * (end[1] - start[1])))
    return kept if keep_west else [(longitude - 360.0, latitude) for longitude, latitude in kept]


def _closed(ring: Ring) -> Ring:
    return [*ring, ring[0]]


def _wrapped(longitude: float, *, upper: float = -180.0) -> float:
    """In [-180, 180); exactly 180 stays where `upper` is 180."""
    if longitude == 180.0 and upper == 180.0:
        return 180.0
    return float((longitude + 180.0) % 360.0 - 180.0)
