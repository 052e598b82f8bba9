"""Where cells and patches lie: Major TOM grid cells on UTM squares.

Projection: Krueger's series of the transverse Mercator (Karney 2011, to n^3: better than a millimetre inside a zone).
Zones are the regular ones of 6 degrees, without the exceptions of Norway and Svalbard.
"""

import functools

import numpy as np

from copgen_jax.data.majortom.grid import cell_at, cell_named
from copgen_jax.data.world.noise import CELL_PIXELS, PIXEL
from copgen_jax.rasters.ground import Ground

_A, _F, _SCALE = 6378137.0, 1 / 298.257223563, 0.9996
_N = _F / (2 - _F)
_RADIUS = _A / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64)
_FORWARD = (_N / 2 - 2 * _N**2 / 3 + 5 * _N**3 / 16, 13 * _N**2 / 48 - 3 * _N**3 / 5, 61 * _N**3 / 240)
_BACKWARD = (_N / 2 - 2 * _N**2 / 3 + 37 * _N**3 / 96, _N**2 / 48 + _N**3 / 15, 17 * _N**3 / 480)
_LATITUDE = (2 * _N - 2 * _N**2 / 3 - 2 * _N**3, 7 * _N**2 / 3 - 8 * _N**3 / 5, 56 * _N**3 / 15)


def zone_of(longitude: float) -> int:
    """UTM zone, 1 to 60."""
    return int((longitude + 180.0) % 360.0 // 6.0) + 1


def to_utm(latitude: float, longitude: float, zone: int) -> tuple[float, float]:
    """(easting, northing) in metres of a place in degrees; northing counts from 10,000 km in the south."""
    phi, dlambda = np.radians(latitude), np.radians((longitude - (6 * zone - 183) + 180.0) % 360.0 - 180.0)
    e = 2 * np.sqrt(_N) / (1 + _N)
    t = np.sinh(np.arctanh(np.sin(phi)) - e * np.arctanh(e * np.sin(phi)))
    xi, eta = np.arctan2(t, np.cos(dlambda)), np.arctanh(np.sin(dlambda) / np.hypot(1, t))
    north, east = xi, eta
    for j, a in enumerate(_FORWARD, start=1):
        north = north + a * np.sin(2 * j * xi) * np.cosh(2 * j * eta)
        east = east + a * np.cos(2 * j * xi) * np.sinh(2 * j * eta)
    return float(500_000 + _SCALE * _RADIUS * east), float((latitude < 0) * 1e7 + _SCALE * _RADIUS * north)


def from_utm(easting: float, northing: float, zone: int, *, south: bool) -> tuple[float, float]:
    """(latitude, longitude) in degrees; the inverse of `to_utm`."""
    xi = (northing - (1e7 if south else 0.0)) / (_SCALE * _RADIUS)
    eta = (easting - 500_000) / (_SCALE * _RADIUS)
    north, east = xi, eta
    for j, b in enumerate(_BACKWARD, start=1):
        north = north - b * np.sin(2 * j * xi) * np.cosh(2 * j * eta)
        east = east - b * np.cos(2 * j * xi) * np.sinh(2 * j * eta)
    conformal = np.arcsin(np.sin(north) / np.cosh(east))
    phi = conformal + sum(d * np.sin(2 * j * conformal) for j, d in enumerate(_LATITUDE, start=1))
    longitude = 6 * zone - 183 + np.degrees(np.arctan2(np.sinh(east), np.cos(north)))
    return float(np.degrees(phi)), float((longitude + 180.0) % 360.0 - 180.0)


def cell_ground(latitude: float, longitude: float) -> Ground:
    """The square of 10.68 km around a cell's centre, its corner on multiples of 60 m so that all grids nest."""
    zone = zone_of(longitude)
    easting, northing = to_utm(latitude, longitude, zone)
    half = CELL_PIXELS * PIXEL / 2
    left, top = (60.0 * round(v / 60.0) for v in (easting - half, northing + half))
    return Ground(f"EPSG:{327 if latitude < 0 else 326}{zone:02d}", left, top, CELL_PIXELS * PIXEL)


def part_of(ground: Ground, row: int, column: int, pixels: int) -> Ground:
    """The square of `pixels` at 10 m that starts at (row, column) of a larger one."""
    return Ground(ground.crs, ground.left + column * PIXEL, ground.top - row * PIXEL, pixels * PIXEL)


def centre_of(ground: Ground) -> tuple[float, float]:
    """(latitude, longitude) of the centre of a UTM square, without a projection library's start-up time."""
    code = int(ground.crs.removeprefix("EPSG:"))
    half = ground.extent / 2
    return from_utm(ground.left + half, ground.top - half, code % 100, south=code > 32700)


def random_cell(rng: np.random.Generator) -> str:
    """Name of a cell drawn uniformly from the globe between 56 degrees south and 70 degrees north."""
    low, high = np.sin(np.radians([-56.0, 70.0]))
    latitude = float(np.degrees(np.arcsin(rng.uniform(low, high))))
    return cell_at(latitude, float(rng.uniform(-180.0, 180.0))).name


@functools.lru_cache(maxsize=256)
def ground_of(cell: str) -> Ground:
    """The square of a cell given by its name."""
    return cell_ground(*cell_named(cell).centre)
