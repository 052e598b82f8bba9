"""Where a patch lies, in any zone and hemisphere and across the date line."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from raster_scenes import scene, write_tif

from copgen_jax.modalities import COPGEN
from copgen_jax.rasters.given.reading import read_given
from copgen_jax.rasters.ground import Ground

ZONES = st.sampled_from([f"EPSG:{base + zone}" for base in (32600, 32700) for zone in range(1, 61)])


@given(ZONES, st.floats(170_000, 830_000), st.floats(1_100_000, 9_000_000))
@settings(max_examples=80, deadline=None)
def test_the_centre_is_half_the_extent_from_the_corner(crs, left, top):
    ground = Ground(crs=crs, left=left, top=top, extent=1920.0)
    latitude, longitude = ground.centre
    assert -90 < latitude < 90
    assert -180 <= longitude < 180
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
    np.testing.assert_allclose((x, y), (left + 960, top - 960), atol=1e-3)
    assert (latitude < 0) == crs.startswith("EPSG:327") or abs(y) > 9_000_000 or y < 1_000_000 or y > 10_000_000 - 1


@pytest.mark.parametrize(
    ("crs", "latitude", "longitude"),
    [
        ("EPSG:32601", 66.0, -179.99), ("EPSG:32660", 66.0, 179.99), ("EPSG:32701", -17.0, -179.999),
        ("EPSG:32760", -17.0, 179.999), ("EPSG:32601", 52.0, 179.99), ("EPSG:32660", 52.0, -179.99),
        ("EPSG:32718", -38.83, -72.48), ("EPSG:32736", -3.4, 34.06), ("EPSG:32633", 0.001, 15.0),
        ("EPSG:32733", -0.001, 15.0),
    ],
)  # fmt: skip
def test_centres_beside_the_date_line_and_the_equator(tmp_path, crs, latitude, longitude):
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
    path = write_tif(tmp_path / "a.tif", scene()["LULC"], crs=crs, corner=(x - 960, y + 960))
    (place,) = read_given({"LULC": path, "location": "auto"}, COPGEN)
    np.testing.assert_allclose(place.values["location"], (latitude, longitude), atol=1e-7)
    assert place.ground.crs == crs


@given(ZONES, st.floats(200_000, 800_000), st.floats(2_000_000, 8_000_000), st.sampled_from([10.0, 20.0, 30.0, 60.0]))
@settings(max_examples=40, deadline=None)
def test_every_grid_shares_the_corners(crs, left, top, resolution):
    ground = Ground(crs=crs, left=left, top=top, extent=1920.0)
    transform = ground.transform(resolution)
    side = round(1920 / resolution)
    assert transform @ (0, 0) == (left, top)
    np.testing.assert_allclose(transform @ (side, side), (left + 1920, top - 1920))
    x, y = ground.coordinates(resolution)
    assert len(x) == len(y) == side
    np.testing.assert_allclose((x[0], y[0]), transform @ (0.5, 0.5))
    np.testing.assert_allclose((x[-1], y[-1]), transform @ (side - 0.5, side - 0.5))
    assert transform == Affine(resolution, 0, left, 0, -resolution, top)


def test_a_patch_is_as_large_on_the_ellipsoid_as_it_says():
    ground = Ground(crs="EPSG:32633", left=500000 - 960, top=5000960, extent=1920.0)
    east = Ground(crs="EPSG:32633", left=500000 + 960, top=5000960, extent=1920.0)
    (lat0, lon0), (lat1, lon1) = ground.centre, east.centre
    _, _, metres = Geod(ellps="WGS84").inv(lon0, lat0, lon1, lat1)
    assert metres * 0.9996 == pytest.approx(1920, abs=0.5)


def test_names_of_places_tell_them_apart():
    a = Ground(crs="EPSG:32633", left=500000.0, top=5000000.0, extent=1920.0)
    same = Ground(crs="EPSG:32633", left=500000.0000001, top=5000000.0, extent=1920.0)
    others = [
        Ground(crs="EPSG:32634", left=500000.0, top=5000000.0, extent=1920.0),
        Ground(crs="EPSG:32633", left=500010.0, top=5000000.0, extent=1920.0),
        Ground(crs="EPSG:32633", left=500000.0, top=5000010.0, extent=1920.0),
    ]
    assert a.place_id == same.place_id
    assert a.place_code == same.place_code
    assert len({g.place_code for g in (a, *others)}) == 4


def test_a_crs_as_wkt_is_placed_like_its_code():
    wkt = CRS.from_epsg(32718).to_wkt()
    by_code = Ground(crs="EPSG:32718", left=717729.8, top=5700093.3, extent=1920.0)
    by_text = Ground(crs=wkt, left=717729.8, top=5700093.3, extent=1920.0)
    np.testing.assert_allclose(by_text.centre, by_code.centre, atol=1e-9)
