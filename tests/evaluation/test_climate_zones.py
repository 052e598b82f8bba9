"""Köppen zones from files: polygons and rasters say the same; areas are those of a sphere; maps stay small."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from copgen_jax.errors import InputError
from copgen_jax.evaluation.protocols.koppen import NUMBERED, group, read_climate
from copgen_jax.evaluation.protocols.maps import place_map

BANDS = (("EF Polar-Frost", 60, 90), ("Dfc", 30, 60), ("Af", 0, 30))
LAKE = [[20, 40], [24, 40], [24, 44], [20, 44], [20, 40]]


def box(south, north, west=0, east=90):
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def geojson(path):
    """Three zones of the eastern north, with a lake in the middle one."""
    features = [
        {
            "type": "Feature",
            "properties": {"climate": name},
            "geometry": {"type": "Polygon", "coordinates": [box(south, north), *([LAKE] if south == 30 else [])]},
        }
        for name, south, north in BANDS
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def raster(path, side=0.5):
    """The same as numbers on a grid of half degrees."""
    y, x = np.mgrid[90 - side / 2 : -90 : -side, -180 + side / 2 : 180 : side]
    numbers = np.zeros(y.shape, np.uint8)
    for name, south, north in BANDS:
        numbers[(y > south) & (y < north) & (x > 0) & (x < 90)] = 1 + NUMBERED.index(name.split()[0])
    numbers[(y > 40) & (y < 44) & (x > 20) & (x < 24)] = 0
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=1, height=len(y), width=len(x.T), crs="EPSG:4326",
        transform=from_origin(-180, 90, side, side),
    ) as dataset:  # fmt: skip
        dataset.write(numbers, 1)
    return path


@pytest.fixture(params=[geojson, raster])
def climate(request, tmp_path):
    return read_climate(request.param(tmp_path / f"zones.{'tif' if request.param is raster else 'json'}"))


def test_places_are_in_their_zones(climate):
    found = {place: climate.zone_at(*place) for place in [(70, 45), (50, 45), (42, 22), (10, 1), (-10, 45), (50, -45)]}
    assert list(found.values()) == ["EF", "Df", "sea", "Af", "sea", "sea"]


def test_shares_are_of_the_area_on_a_sphere(climate):
    lake = np.radians(4) * (np.sin(np.radians(44)) - np.sin(np.radians(40)))
    areas = {name.split()[0]: np.pi / 2 * np.diff(np.sin(np.radians([s, n])))[0] for name, s, n in BANDS}
    areas["Dfc"] -= lake
    whole = sum(areas.values())
    expected = {"Af": areas["Af"] / whole, "Df": areas["Dfc"] / whole, "EF": areas["EF"] / whole}
    assert list(climate.shares) == ["Af", "Df", "EF"]
    assert climate.shares == pytest.approx(expected, rel=1e-6)


def test_the_map_has_zones_dots_and_a_key(climate):
    root = ET.fromstring(place_map({"a": [(10.0, 20.0), (np.nan, 0.0)]}, [(0.0, 0.0)], climate))
    kinds = [path.attrib["class"] for path in root.iter("{http://www.w3.org/2000/svg}path")]
    assert kinds == ["zone c7", "zone c6", "zone c2", "truth"]  # one path per colour
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 1
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"tropical", "polar", "a"} <= set(words)
    assert len(place_map({}, [], climate)) < 5_000


def test_classes_are_grouped_as_published():
    names = ("ET Polar-Tundra", "Af", "Am Tropical-Monsoon", "BWh", "BSk Arid-Steppe-Cold", "Cfb", "Dwd", "")
    assert [group(name) for name in names] == ["ET", "Af", "Am", "BW", "BS", "Cf", "Dw", ""]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "{", "neither a GeoTIFF nor GeoJSON"),
        ("a.json", '{"features": [{"geometry": null, "properties": {"climate": "Af"}}]}', "no polygon"),
        ("a.json", '{"features": [{"geometry": {"type": "Polygon", "coordinates": [[1]]}, '
         '"properties": {"climate": "Af"}}]}', "neither"),
        ("a.tif", "II", "a.tif"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        read_climate(tmp_path / name)


def test_a_raster_of_other_numbers_or_in_metres_is_refused(tmp_path):
    for crs, values, words in (("EPSG:4326", 99, "no class number"), ("EPSG:32633", 3, "not in degrees")):
        with rasterio.open(
            tmp_path / "a.tif", "w", driver="GTiff", dtype="uint8", count=1, height=4, width=4, crs=crs,
            transform=from_origin(0, 40, 1, 1),
        ) as dataset:  # fmt: skip
            dataset.write(np.full((4, 4), values, np.uint8), 1)
        with pytest.raises(InputError, match=words):
            read_climate(tmp_path / "a.tif")
