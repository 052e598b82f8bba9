import json

import numpy as np
import pytest
from drawn_samples import GROUNDS

from copgen_jax.modalities import DEMO
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.footprint import box, outline
from copgen_jax.rasters.outputs.stac import RasterFile, grid_code, stac_item

DATE_LINE = "zone 60, across the date line"


def item(place="433D_629L_patch_7", ground=GROUNDS["zone 33 north"], dates=("2023-06-10", "2023-06-10")):
    rasters = {m.name: RasterFile(f"{m.name}/{m.name}_member_000.tif", m) for m in DEMO.images}
    rasters |= {
        "LULC_probability": RasterFile("LULC/LULC_probability.tif", DEMO["LULC"], "probability"),
        "S2L2A_10m_mean": RasterFile("S2L2A_10m/S2L2A_10m_mean.tif", DEMO["S2L2A_10m"], "mean"),
    }
    return json.loads(
        json.dumps(
            stac_item(
                place,
                ground=ground,
                modalities=DEMO,
                rasters=rasters,
                others={},
                properties={"synthetic": "true"},
                dates=dates,
            ),
            allow_nan=False,
        )
    )


def test_item_has_what_the_specification_requires():
    found = item()
    assert found["type"] == "Feature"
    assert found["stac_version"] == "1.1.0"
    assert found["id"] == "433D_629L_patch_7"
    assert isinstance(found["links"], list)
    assert found["properties"]["datetime"] == "2023-06-10T00:00:00Z"
    assert found["properties"]["grid:code"] == "MAJORTOM-433D_629L"
    assert found["properties"]["proj:code"] == "EPSG:32633"
    assert found["properties"]["copgen:synthetic"] == "true"
    for extension in ("projection", "eo", "raster", "classification", "grid"):
        assert any(f"/{extension}/" in url for url in found["stac_extensions"])
    for asset in found["assets"].values():
        assert {"href", "type", "roles", "bands"} <= set(asset)
        assert not asset["href"].startswith("/")


def test_assets_lie_on_the_ground():
    ground = GROUNDS["zone 33 north"]
    for key, asset in item()["assets"].items():
        modality = DEMO[key.removesuffix("_mean").removesuffix("_probability")]
        assert asset["proj:shape"] == [modality.pixels, modality.pixels]
        assert asset["proj:transform"] == [modality.resolution, 0.0, ground.left, 0.0, -modality.resolution, ground.top]
        assert asset["raster:spatial_resolution"] == modality.resolution


def test_reflectance_has_a_scale_and_no_offset():
    assets = item()["assets"]
    ten = assets["S2L2A_10m"]
    assert ten["raster:scale"] == 1e-4
    assert "raster:offset" not in ten
    assert ten["data_type"] == "int16"
    assert ten["nodata"] == -32768
    assert [band["eo:common_name"] for band in ten["bands"]] == ["red", "green", "blue", "nir"]
    assert "raster:scale" not in assets["S2L2A_10m_mean"]
    assert assets["S2L2A_10m_mean"]["data_type"] == "float32"
    assert assets["DEM"]["unit"] == "m"


def test_classes_are_listed_with_names_and_colours():
    assets = item()["assets"]
    classes = assets["LULC"]["classification:classes"]
    assert {"value": 1, "name": "water", "title": "water", "color_hint": "419BDF"} in classes
    assert [band["name"] for band in assets["LULC_probability"]["bands"]] == list(DEMO["LULC"].classes)
    assert "classification:classes" not in assets["LULC_probability"]


def test_a_range_of_dates_has_start_and_end():
    properties = item(dates=("2019-01-01", "2020-02-02"))["properties"]
    assert properties["datetime"] is None
    assert properties["start_datetime"] == "2019-01-01T00:00:00Z"
    assert properties["end_datetime"] == "2020-02-02T00:00:00Z"


def test_an_unknown_place_has_no_geometry():
    found = item(place="somewhere", ground=None)
    assert found["geometry"] is None
    assert "bbox" not in found
    assert "grid:code" not in found["properties"]
    assert "proj:shape" not in found["assets"]["DEM"]


def test_a_crs_without_a_code_is_written_out():
    crs = "+proj=utm +zone=33 +ellps=intl +units=m +no_defs"
    properties = item(ground=Ground(crs, 600_000.0, 4_500_000.0, 960.0))["properties"]
    assert properties["proj:code"] is None
    assert "PROJCRS" in properties["proj:wkt2"]


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("433D_629L", "MAJORTOM-433D_629L"),
        ("0U_1L_patch_35", "MAJORTOM-0U_1L"),
        ("433D_629L_3_1", None),
        ("EPSG32633_1_2", None),
    ],
)
def test_only_cells_and_their_patches_have_a_grid_code(place, code):
    assert grid_code(place) == code


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS.keys())
def test_outlines_hold_the_centre_and_stay_within_degrees(ground):
    shape = outline(ground)
    polygons = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
    points = np.concatenate([np.asarray(polygon[0]) for polygon in polygons])
    assert (np.abs(points[:, 0]) <= 180).all()
    latitude, longitude = ground.centre
    assert points[:, 1].min() < latitude < points[:, 1].max()
    west, south, east, north = box(ground)
    assert south < latitude < north
    assert west < longitude < east if west < east else longitude > west or longitude < east
    for polygon in polygons:
        ring = np.asarray(polygon[0])
        np.testing.assert_array_equal(ring[0], ring[-1])
        x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
        assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0
        assert np.ptp(ring[:, 0]) < 1


def test_an_outline_over_the_date_line_is_cut_in_two():
    from pyproj import Transformer

    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True).transform(180.0, -17.0)
    ground = Ground("EPSG:32760", round(x) - 480.0, round(y) + 480.0, 960.0)
    shape = outline(ground)
    assert shape["type"] == "MultiPolygon"
    assert len(shape["coordinates"]) == 2
    west, _, east, _ = box(ground)
    assert west > 179.9
    assert east < -179.9
    areas = []
    for polygon in shape["coordinates"]:
        lon, lat = (np.asarray(polygon[0]) - polygon[0][0]).T
        areas.append((lon[:-1] * lat[1:] - lon[1:] * lat[:-1]).sum() / 2)
    side = 960.0 / 111_320
    assert sum(areas) == pytest.approx(side**2 / np.cos(np.radians(17)), rel=0.01)
