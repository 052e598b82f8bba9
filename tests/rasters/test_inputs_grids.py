"""Grids: pixel sizes, corners, enlarged bands, windows, memory."""

import resource

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_scenes import CORNER, UTM, channel_last, enlarged, product_on_10_m, scene, write_tif

from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, DEMO
from copgen_jax.rasters.given.reading import read_given

SCENE = scene()
LARGE = scene(1068)


def files(folder, arrays, **options):
    """A file per modality on its native grid."""
    return {
        name: write_tif(
            folder / f"{name}.tif", array, pixel=COPGEN[name].resolution, names=COPGEN[name].bands, **options
        )
        for name, array in arrays.items()
    }


def refused(words, given, **options):
    with pytest.raises(InputError, match=words) as error:
        read_given(given, COPGEN, s2_offset=1000, **options).check()
    assert "\n" not in str(error.value)


def test_native_files_of_one_place(tmp_path):
    (place,) = read_given(files(tmp_path, SCENE), COPGEN, s2_offset=1000)
    for name, array in SCENE.items():
        np.testing.assert_array_equal(place.values[name], channel_last(array))
    assert (place.ground.crs, place.ground.left, place.ground.top, place.ground.extent) == (UTM, *CORNER, 1920)


def test_every_patch_of_a_cell_is_cut_as_major_tom_cells_are(tmp_path):
    names = ("DEM", "LULC", "S2L2A_60m", "S2L2A_20m")
    places = read_given(files(tmp_path, {n: LARGE[n] for n in names}), COPGEN, s2_offset=1000, window="all")
    offsets = {10: [0, 192, 384, 576, 768, 876], 20: [0, 96, 192, 288, 384, 438], 30: [0, 64, 128, 192, 256, 292]}
    offsets[60] = [0, 32, 64, 96, 128, 146]
    assert len(places) == 36
    for n, place in enumerate(places):
        row, column = divmod(n, 6)
        for name in names:
            step = int(COPGEN[name].resolution)
            top, left, side = offsets[step][row], offsets[step][column], COPGEN[name].pixels
            expected = LARGE[name][:, top : top + side, left : left + side]
            np.testing.assert_array_equal(place.values[name], channel_last(expected))
        assert place.ground.left == CORNER[0] + 10 * offsets[10][column]
        assert place.ground.top == CORNER[1] - 10 * offsets[10][row]


@given(st.integers(192, 700), st.integers(192, 700))
@settings(max_examples=30, deadline=None)
def test_all_patches_cover_what_the_lattice_reaches(height, width):
    places = read_given({"LULC": np.ones((height, width), np.uint8)}, COPGEN, units={"LULC": "code"}, window="all")
    covered = np.zeros((height, width), bool)
    for row, column in places.windows:
        assert row % 6 == 0
        assert column % 6 == 0
        assert row + 192 <= height
        assert column + 192 <= width
        covered[row : row + 192, column : column + 192] = True
    reach = [192 + (size - 192) // 6 * 6 for size in (height, width)]
    assert covered[: reach[0], : reach[1]].all()
    assert list(places.windows) == sorted(set(places.windows))


@pytest.mark.parametrize("as_files", [False, True])
@pytest.mark.parametrize("phase", [(0, 0), (1, 0), (4, 5), (2, 3)])
def test_enlarged_bands_cut_off_their_grid_start_where_their_blocks_do(tmp_path, phase, as_files):
    big = scene(204, seed=3)
    stack = product_on_10_m(big, "S2L2A")
    up, left = ((6 - p) % 6 for p in phase)
    cut = np.ascontiguousarray(stack[:, up:, left:])
    given = {"S2L2A": write_tif(tmp_path / "a.tif", cut) if as_files else cut}
    (place,) = read_given(given, COPGEN, s2_offset=1000)
    skip = [1 if p else 0 for p in phase]
    for modality in COPGEN.of_product("S2L2A"):
        k, side = int(modality.resolution) // 10, modality.pixels
        row, column = (6 // k * s for s in skip)
        expected = big[modality.name][:, row : row + side, column : column + side]
        np.testing.assert_array_equal(place.values[modality.name], channel_last(expected))
    assert any("nothing was lost" in note for note in place.notes)
    if as_files:
        assert (place.ground.left, place.ground.top) == (CORNER[0] + 10 * phase[1], CORNER[1] - 10 * phase[0])
        if phase != (0, 0):
            refused(f"{phase[0]}, {phase[0] + 6}, ", given, window=(phase[0] + 1, phase[1]))


def test_interpolated_bands_are_brought_back_by_means(tmp_path):
    bands = np.random.default_rng(5).uniform(1000, 3000, (4, 192, 192)).astype(np.float32)
    (place,) = read_given({"S2L2A": {"B01": bands[0], "B09": bands[1]}}, COPGEN, s2_offset=1000)
    means = bands[:2].reshape(2, 32, 6, 32, 6).mean(axis=(2, 4))
    np.testing.assert_allclose(place.values["S2L2A_60m"], channel_last(means), rtol=1e-6)
    assert any("by block means" in note for note in place.notes)


def test_heights_repeated_by_three_come_back_exactly_whatever_the_land():
    flat = np.zeros((64, 64), np.float32)
    flat[:, 40:] = 1.0
    for heights in (SCENE["DEM"][0], flat):
        (place,) = read_given({"DEM": enlarged(heights, 3)}, COPGEN)
        np.testing.assert_array_equal(place.values["DEM"][..., 0], heights)
        assert any("nothing was lost" in note for note in place.notes)


@pytest.mark.parametrize(
    ("name", "pixel", "words"),
    [
        ("S2L2A_20m", 15, "expected 10 m or 20 m pixels, got 15 m in"),
        ("S2L2A_60m", 30, "expected 10 m or 20 m or 60 m pixels, got 30 m in"),
        ("DEM", 20, "expected 10 m or 30 m pixels, got 20 m in"),
        ("LULC", 20, "expected 10 m pixels, got 20 m in"),
        ("S2L2A_10m", 10.01, "expected 10 m pixels, got 10.01 m in"),
    ],
)
def test_other_pixel_sizes_are_refused(tmp_path, name, pixel, words):
    path = write_tif(tmp_path / "a.tif", SCENE[name], pixel=pixel, names=COPGEN[name].bands)
    refused(words, {name: path})


def test_a_whole_product_at_20_m_lacks_its_10_m_bands(tmp_path):
    stack = product_on_10_m(scene(), "S2L2A")[:, ::2, ::2]
    path = write_tif(tmp_path / "a.tif", stack, pixel=20)
    refused("expected 10 m pixels, got 20 m in", {"S2L2A": path})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crs": "EPSG:32634"}, r"EPSG:32633 and .* EPSG:32634|EPSG:32634 and .* EPSG:32633"),
        ({"corner": (CORNER[0] + 30, CORNER[1])}, r"different ground.*500070\.00|500070\.00.*different"),
        ({"corner": (CORNER[0], CORNER[1] + 4380)}, "different ground"),
        ({"crs": "EPSG:4326"}, "is in EPSG:4326 .degrees.*UTM"),
        ({"crs": "EPSG:2227"}, "metres"),
        ({"crs": None}, "spans 1920 x 1920 m|different|without"),
    ],
)
def test_inputs_on_other_ground_are_refused(tmp_path, change, words):
    cover = write_tif(tmp_path / "lulc.tif", LARGE["LULC"])
    dem = LARGE["DEM"] if change != {"crs": None} else SCENE["DEM"]
    refused(words, {"LULC": cover, "DEM": write_tif(tmp_path / "dem.tif", dem, pixel=30, **change)})


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (Affine(10, 1, 500000, 1, -10, 5000000), "rotated"),
        (Affine(10, 0, 500000, 0, 10, 5000000), "north-up"),
        (Affine(10, 0, 500000, 0, -20, 5000000), "pixels of 10 x 20 m"),
    ],
)
def test_crooked_grids_are_refused(tmp_path, transform, words):
    refused(words, {"LULC": write_tif(tmp_path / "a.tif", SCENE["LULC"], transform=transform)})


def test_rounded_corners_are_the_same_place(tmp_path):
    given = {
        "LULC": write_tif(tmp_path / "lulc.tif", SCENE["LULC"]),
        "DEM": write_tif(tmp_path / "dem.tif", SCENE["DEM"], pixel=30, corner=(CORNER[0] + 1e-7, CORNER[1] - 1e-3)),
    }
    assert len(read_given(given, COPGEN)) == 1


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ((0, 882), r"row 0, column 882 is outside .*LULC.*1068 x 1068 pixels of 10 m"),
        ((-6, 0), "outside"),
        ((0, 3), "column 3 is not where the grids of all bands meet; choose one of 0, 6, 12"),
        ((100000, 0), "outside|not where"),
        ("every", "expected a row and a column"),
        ((1,), "expected a row and a column"),
        ((0.5, 0), "expected a row and a column"),
    ],
)
def test_windows_that_are_refused(tmp_path, window, words):
    refused(words, files(tmp_path, {"LULC": LARGE["LULC"]}), window=window)


def test_a_window_needs_a_raster():
    refused("no raster", {"location": (0, 0)}, window=(0, 0))


@pytest.mark.parametrize(("name", "side"), [("LULC", 191), ("DEM", 63), ("S2L2A_60m", 31)])
def test_rasters_smaller_than_a_patch_are_refused(tmp_path, name, side):
    array = np.ascontiguousarray(SCENE[name][:, :side])
    refused(f"{side} x .* smaller than a patch", files(tmp_path, {name: array}))
    refused("smaller than a patch", {name: array})


def test_bare_arrays_must_span_the_same_ground():
    refused("span the same ground", {"LULC": LARGE["LULC"], "S1RTC": SCENE["S1RTC"]})
    refused("nothing tells which", {"DEM": LARGE["DEM"].repeat(2, axis=1).repeat(2, axis=2)})
    places = read_given({"LULC": LARGE["LULC"], "DEM": LARGE["DEM"]}, COPGEN, window=(600, 876))
    np.testing.assert_array_equal(places[0].values["DEM"], channel_last(LARGE["DEM"][:, 200:264, 292:356]))


def test_an_array_may_join_a_file_of_the_same_span(tmp_path):
    given = {"DEM": LARGE["DEM"], **files(tmp_path, {"LULC": LARGE["LULC"]})}
    (place,) = read_given(given, COPGEN, window=(6, 12))
    assert place.ground.left == CORNER[0] + 120
    assert any("without georeference, taken as 30 m pixels" in note for note in place.notes)


@pytest.mark.parametrize("crs", ["EPSG:32601", "EPSG:32660", "EPSG:32755", "EPSG:3035", "EPSG:5041"])
def test_any_metric_crs_is_kept(tmp_path, crs):
    path = write_tif(tmp_path / "a.tif", SCENE["LULC"], crs=crs, corner=(2000000.0, 2500000.0))
    assert read_given({"LULC": path}, COPGEN)[0].ground.crs == crs


def test_a_crs_without_code_is_kept_as_wkt(tmp_path):
    wkt = rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=12.3 +lon_0=4.5 +ellps=WGS84 +units=m").to_wkt()
    path = write_tif(tmp_path / "a.tif", SCENE["LULC"], crs=wkt)
    (place,) = read_given({"LULC": path, "location": "auto"}, COPGEN)
    assert place.ground.crs.startswith("PROJCRS")
    assert np.isfinite(place.values["location"]).all()


def test_only_the_window_of_a_large_raster_is_read(tmp_path):
    path = tmp_path / "large.tif"
    profile = {
        "driver": "GTiff",
        "dtype": "uint16",
        "crs": UTM,
        "transform": Affine(10, 0, *CORNER[:1], 0, -10, CORNER[1]),
    }
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "SPARSE_OK": "TRUE"}
    with rasterio.open(path, "w", count=4, height=20000, width=20000, **profile) as file:
        file.descriptions = COPGEN["S2L2A_10m"].bands
        file.write(SCENE["S2L2A_10m"], window=((6000, 6192), (12000, 12192)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (place,) = read_given({"S2L2A_10m": str(path)}, COPGEN, s2_offset=1000, window=(6000, 12000))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    np.testing.assert_array_equal(place.values["S2L2A_10m"], channel_last(SCENE["S2L2A_10m"]))
    assert grown < 200, f"{grown:.0f} MiB for a patch of 0.3 MiB in a raster of 3 GiB"


def test_a_smaller_model_takes_smaller_patches(tmp_path):
    places = read_given(files(tmp_path, {"LULC": SCENE["LULC"], "DEM": SCENE["DEM"]}), DEMO, window="all")
    assert places.windows == ((0, 0), (0, 96), (96, 0), (96, 96))
    np.testing.assert_array_equal(places[3].values["DEM"], channel_last(SCENE["DEM"][:, 32:, 32:]))
    assert places[1].ground.extent == 960
