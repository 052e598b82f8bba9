"""Which objects are taken, which band is which, which units: on made-up places."""

import datetime

import numpy as np
import pytest
from raster_scenes import ALL_BANDS, UTM, channel_last, enlarged, product_on_10_m, scene, write_tif

from copgen_jax.errors import InputError
from copgen_jax.modalities import BETA, COPGEN, DEMO
from copgen_jax.rasters.given.reading import dn_to_convention, read_given

SCENE = scene()
L2A = product_on_10_m(SCENE, "S2L2A")
L1C = product_on_10_m(SCENE, "S2L1C")
CODES = {"LULC": "code"}


def only(given, **options):
    """The one place, read."""
    (place,) = read_given(given, COPGEN, **options)
    return place


def assert_scene(place, *names, rtol=0.0):
    for name in names:
        np.testing.assert_allclose(place.values[name], channel_last(SCENE[name]), rtol=rtol)


def refused(words, given, **options):
    with pytest.raises(InputError, match=words) as error:
        read_given(given, COPGEN, **options).check()
    text = str(error.value)
    assert "\n" not in text
    return text


# Objects


def test_bare_native_arrays_by_modality():
    place = only(SCENE, s2_offset=1000, units=CODES)
    assert_scene(place, *SCENE)
    assert place.ground is None
    assert place.place_id == "0"
    assert place.values["LULC"].dtype == np.int32
    assert place.values["S2L2A_10m"].dtype == np.float32


def test_bare_arrays_by_product_all_at_10_m():
    given = {
        "S2L2A": L2A,
        "S2L1C": L1C,
        "S1RTC": SCENE["S1RTC"],
        "DEM": enlarged(SCENE["DEM"], 3)[0],
        "LULC": SCENE["LULC"][0],
        "cloud_mask": SCENE["cloud_mask"],
    }
    place = only(given, s2_offset=1000, units=CODES)
    assert_scene(place, *SCENE)
    assert tuple(place.values) == tuple(n for n in COPGEN.names if n in SCENE)


def test_a_mapping_of_bands_on_their_own_grids(tmp_path):
    given = {}
    for modality in COPGEN.of_product("S2L2A"):
        for band, values in zip(modality.bands, SCENE[modality.name], strict=True):
            path = tmp_path / f"x_{band}.tif"
            given[band] = write_tif(path, values, pixel=modality.resolution)
    names = ("S2L2A_10m", "S2L2A_20m", "S2L2A_60m")
    assert_scene(only({"S2L2A": given}, s2_offset=1000), *names)
    assert_scene(only({"S2L2A": list(given.values())}, s2_offset=1000), *names)
    assert_scene(only({"S2L2A": tmp_path}, s2_offset=1000), *names)
    arrays = {b: v for m in COPGEN.of_product("S2L2A") for b, v in zip(m.bands, SCENE[m.name], strict=True)}
    assert_scene(only({"S2L2A": arrays}, s2_offset=1000), *names)


def test_bytes_of_a_file(tmp_path):
    path = tmp_path / "dem.tif"
    write_tif(path, SCENE["DEM"], pixel=30)
    assert_scene(only({"DEM": path.read_bytes()}), "DEM")


def test_nothing_given_is_a_place_without_ground():
    (place,) = read_given({}, COPGEN)
    assert dict(place.values) == {}
    assert place.ground is None


@pytest.mark.parametrize("descriptions", ["B{}", "Band {}", "{}_gamma", "b{} (reflectance)"])
def test_descriptions_decide_the_order(tmp_path, descriptions):
    shuffled = np.random.default_rng(1).permutation(12)
    bands = [band for band in ALL_BANDS if band != "B10"]
    form = descriptions.replace("B{}", "{}").replace("b{}", "{}")
    names = [form.format(bands[i]) for i in shuffled]
    place = only({"S2L2A": write_tif(tmp_path / "a.tif", L2A[shuffled], names=names)}, s2_offset=1000)
    assert_scene(place, "S2L2A_10m", "S2L2A_20m", "S2L2A_60m")


def test_some_bands_of_a_product_are_the_modalities_they_make_up(tmp_path):
    path = write_tif(tmp_path / "rgbn.tif", SCENE["S2L2A_10m"], names=["B4", "B3", "B2", "B8"])
    place = only({"S2L2A": path}, s2_offset=1000)
    assert tuple(place.values) == ("S2L2A_10m",)
    assert_scene(place, "S2L2A_10m")
    assert_scene(only({"S2L2A_10m": path}, s2_offset=1000), "S2L2A_10m")


def test_bands_that_the_model_lacks_are_left_out_and_noted(tmp_path):
    pixels = np.concatenate([SCENE["S2L2A_10m"], SCENE["LULC"].astype(np.uint16)])
    path = write_tif(tmp_path / "a.tif", pixels, names=["B04", "B03", "B02", "B08", "SCL"])
    place = only({"S2L2A": path}, s2_offset=1000)
    assert_scene(place, "S2L2A_10m")
    assert any("SCL" in note and "not used" in note for note in place.notes)


def test_a_vv_vh_file_in_any_order(tmp_path):
    path = write_tif(tmp_path / "a.tif", SCENE["S1RTC"][::-1].copy(), names=["Gamma0_VH", "Gamma0_VV"])
    assert_scene(only({"S1RTC": path}), "S1RTC")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"S2": L2A}, "unknown product or modality 'S2'"),
        ({"S2L2A": L2A[:4]}, "12"),
        ({"S2L2A": L1C}, "13 bands without names"),
        ({"S2L1C": L2A}, "12 bands without names"),
        ({"S1RTC": SCENE["S1RTC"][:1]}, "1 bands without names"),
        ({"S2L2A": {"B99": L2A[0]}}, "no band 'B99'"),
        ({"S2L2A": {"B04": L2A[3], "B03": L2A[2], "B02": L2A[1]}}, "not B08"),
        ({"S2L2A": {"B04": L2A[:2]}}, "expected one"),
        ({"S2L2A": {}}, "empty"),
        ({"DEM": []}, "empty"),
        ({"DEM": 3.5}, "DEM is a float"),
        ({"DEM": None}, "DEM is a NoneType"),
        ({"DEM": np.zeros((2, 2, 2, 2))}, "band, H, W"),
        ({"DEM": np.array([["a"]])}, "expected numbers"),
        ({"DEM": SCENE["DEM"].astype(complex)}, "expected numbers"),
        ({"DEM": np.zeros((2, 64, 64))}, "2 bands without names"),
        ({"S2L2A": L2A, "S2L2A_10m": SCENE["S2L2A_10m"]}, "given twice"),
        ({"DEM": "nowhere.tif"}, "does not exist"),
        ({"DEM": "/vsimem/a.tif"}, "plain local path"),
    ],
)
def test_objects_and_bands_that_are_refused(given, words):
    refused(words, given, s2_offset=1000)


def test_a_band_twice_is_refused(tmp_path):
    paths = [write_tif(tmp_path / f"{i}_B04.tif", L2A[3]) for i in range(2)]
    refused("B04 twice", {"S2L2A": paths}, s2_offset=0)


def test_four_bands_without_names_in_a_file_are_refused(tmp_path):
    path = write_tif(tmp_path / "a.tif", SCENE["S2L2A_10m"])
    refused("4 bands without names", {"S2L2A_10m": path}, s2_offset=1000)


# Units


def test_decibels_reflectance_and_indices_become_power_dn_and_codes():
    codes = np.array(COPGEN["LULC"].codes)
    indices = np.searchsorted(codes, SCENE["LULC"]).astype(np.uint8)
    given = {
        "S1RTC": 10 * np.log10(SCENE["S1RTC"]),
        "S2L2A": (L2A.astype(np.float64) - 1000) / 10000,
        "LULC": indices,
    }
    place = only(given, units={"S1RTC": "dB", "S2L2A": "reflectance", "LULC": "index"})
    assert_scene(place, "S1RTC", rtol=1e-5)
    assert_scene(place, "LULC")
    assert place.offsets == {"S2L2A": 0}
    dn = place.in_convention(COPGEN, s2_offset=1000)
    np.testing.assert_allclose(dn["S2L2A_10m"], channel_last(SCENE["S2L2A_10m"]), atol=1e-2)


def test_zero_and_negative_reflectance_are_values():
    reflectance = (L2A.astype(np.float64) - 1000) / 10000
    reflectance[:, ::2] = 0.0
    reflectance[:, 1::2, ::2] = -0.02
    place = only({"S2L2A": reflectance}, units={"S2L2A": "reflectance"})
    dn = place.in_convention(COPGEN, s2_offset=1000)["S2L2A_10m"]
    np.testing.assert_allclose(dn[::2], 1000)
    np.testing.assert_allclose(dn[1::2, ::2], 800, rtol=1e-6)


@pytest.mark.parametrize("word", ["db", "DB", "decibels", " dB "])
def test_units_are_spelt_as_people_spell_them(word):
    assert_scene(only({"S1RTC": 10 * np.log10(SCENE["S1RTC"])}, units={"S1RTC": word}), "S1RTC", rtol=1e-5)


def test_tags_state_units(tmp_path):
    decibel = write_tif(tmp_path / "s1.tif", 10 * np.log10(SCENE["S1RTC"]), tags={"units": "dB"})
    cover = write_tif(tmp_path / "lulc.tif", SCENE["LULC"], tags={"units": "code"})
    place = only({"S1RTC": decibel, "LULC": cover})
    assert_scene(place, "S1RTC", rtol=1e-5)
    assert any("tag units=dB" in note for note in place.notes)
    refused("is stated as linear", {"S1RTC": decibel}, units={"S1RTC": "linear"})


def test_only_codes_can_hold_ten_and_eleven():
    place = only({"LULC": SCENE["LULC"]})
    assert_scene(place, "LULC")
    both = np.where(SCENE["LULC"] > 9, 9, SCENE["LULC"])
    refused("valid both as class codes and as indices.*--units LULC=index", {"LULC": both})
    refused("3, which is no LULC code.*LULC=index", {"LULC": np.where(both == 1, 3, both)})
    refused("holds 3, which is no LULC code", {"LULC": np.where(SCENE["LULC"] == 1, 3, SCENE["LULC"])})
    refused("holds 3, which is no LULC code", {"LULC": np.where(both == 1, 3, both)}, units=CODES)


@pytest.mark.parametrize(
    ("given", "units", "words"),
    [
        ({"S1RTC": 10 * np.log10(SCENE["S1RTC"])}, {}, "100% of it is negative.*--units S1RTC=dB"),
        ({"S1RTC": SCENE["S1RTC"] + 0.01}, {"S1RTC": "dB"}, "--units S1RTC=linear"),
        ({"S1RTC": SCENE["S1RTC"] * 1e5}, {}, "median"),
        ({"S2L2A": L2A}, {"S2L2A": "reflectance"}, "stated as reflectance but reaches"),
        ({"S2L2A": L2A / 10000}, {}, "--units S2L2A=reflectance"),
        ({"S2L2A": L2A * 20.0}, {}, "stated as DN but reaches"),
        ({"S2L2A": np.maximum(L2A // 100, 1)}, {}, "negative reflectance in 100%.*--s2-offset"),
        ({"LULC": SCENE["LULC"]}, {"LULC": "index"}, "expected class indices 0 to 9"),
        ({"LULC": SCENE["LULC"] + np.uint8(100)}, {}, "no LULC code; expected 0, 1, 2, 4"),
        ({"LULC": SCENE["LULC"] + 0.5}, CODES, "no LULC code"),
        ({"cloud_mask": SCENE["cloud_mask"] + 1}, {}, "4, which is no cloud_mask code; expected 0, 1, 2, 3"),
        ({"DEM": SCENE["DEM"] * 100}, {}, "expected heights on Earth"),
        ({"DEM": SCENE["DEM"]}, {"DEM": "feet"}, "unknown unit 'feet' for DEM"),
        ({"DEM": SCENE["DEM"]}, {"DEMM": "m"}, "unknown product or modality"),
        ({"DEM": SCENE["DEM"]}, {"location": "m"}, "it has none"),
        ({"S1RTC": SCENE["S1RTC"]}, {"S1RTC": "reflectance"}, "unknown unit"),
    ],
)
def test_values_that_contradict_their_unit(given, units, words):
    refused(words, given, units=units, s2_offset=1000)


def test_two_files_tagged_in_different_units(tmp_path):
    vv = write_tif(tmp_path / "vv.tif", SCENE["S1RTC"][0], tags={"units": "dB"})
    vh = write_tif(tmp_path / "vh.tif", SCENE["S1RTC"][1], tags={"units": "linear"})
    text = refused("different units", {"S1RTC": [vv, vh]})
    assert "dB in" in text
    assert "linear in" in text


# No data


@pytest.mark.parametrize(
    ("name", "hole"),
    [
        ("S2L2A_10m", 0),
        ("S1RTC", np.nan),
        ("S1RTC", 0.0),
        ("S1RTC", -1e-4),
        ("DEM", -32767),
        ("DEM", np.nan),
        ("DEM", np.inf),
    ],
)
def test_little_without_data_is_filled_from_the_nearest(name, hole):
    array = SCENE[name].astype(np.float32 if not float(hole).is_integer() else SCENE[name].dtype)
    array[0, 10, 20] = hole
    place = only({name: array}, s2_offset=1000)
    value = place.values[name][10, 20, 0]
    assert value in array[0, [9, 11, 10, 10], [20, 20, 19, 21]]
    np.testing.assert_array_equal(np.delete(place.values[name].ravel(), _flat(place, name)), _others(array, name))
    assert any("without data, filled" in note for note in place.notes)


def _flat(place, name):
    return np.ravel_multi_index((10, 20, 0), place.values[name].shape)


def _others(array, name):
    last = channel_last(array).astype(np.float32)
    return np.delete(last.ravel(), np.ravel_multi_index((10, 20, 0), last.shape))


@pytest.mark.parametrize(("rows", "passes"), [(0, True), (3, True), (4, False), (32, False), (64, False)])
def test_more_than_a_twentieth_without_data_is_refused(rows, passes):
    heights = SCENE["DEM"].copy()
    heights[:, :rows] = np.nan
    if passes:
        assert np.isfinite(only({"DEM": heights}).values["DEM"]).all()
    else:
        refused("no data", {"DEM": heights})


@pytest.mark.parametrize("name", ["DEM", "S1RTC", "S2L2A_10m"])
def test_all_without_data_is_refused(name):
    nothing = np.full_like(SCENE[name], np.nan, np.float32)
    refused("holds no data at all", {name: nothing}, s2_offset=1000)
    if name != "DEM":
        refused("holds no data at all", {name: np.zeros_like(SCENE[name])}, s2_offset=1000)


def test_one_band_without_data_is_refused():
    pixels = SCENE["S2L2A_10m"].copy()
    pixels[2] = 0
    refused("S2L2A_10m band B02 of .* holds no data at all", {"S2L2A_10m": pixels}, s2_offset=1000)


def test_a_files_nodata_value_counts(tmp_path):
    cover = SCENE["LULC"].copy()
    cover[0, :5, :5] = 255
    path = write_tif(tmp_path / "lulc.tif", cover, nodata=255)
    place = only({"LULC": path})
    assert set(np.unique(place.values["LULC"])) <= set(COPGEN["LULC"].codes)
    cover[0, :12] = 255
    refused("6", {"LULC": write_tif(tmp_path / "more.tif", cover, nodata=255)})


def test_sea_at_height_zero_is_data():
    assert not only({"DEM": np.zeros((64, 64))}).values["DEM"].any()


# Place and date


@pytest.mark.parametrize(
    ("location", "degrees"),
    [
        ((46.5, 8.25), (46.5, 8.25)),
        ("46.5,8.25", (46.5, 8.25)),
        ("-33.9, 18.4", (-33.9, 18.4)),
        (np.array([0, 180]), (0, 180)),
    ],
)
def test_location_by_value(location, degrees):
    np.testing.assert_array_equal(only({"location": location}).values["location"], degrees)


@pytest.mark.parametrize(
    "location", [(91, 0), (0, 181), (1,), (1, 2, 3), "here", "", "1;2", (np.nan, 0), None, 5, "1,2,3", "inf,0"]
)
def test_locations_that_are_refused(location):
    refused("location is", {"location": location})


def test_location_needs_a_georeference():
    refused("no given raster has a georeference", {"location": "auto", "DEM": SCENE["DEM"]})
    refused("location=auto", {"location": (0, 0), "DEM": scene(384)["DEM"], "LULC": scene(384)["LULC"]}, window="all")


@pytest.mark.parametrize(
    "date",
    [
        "2023-06-10",
        "2023-06-10T23:59:59Z",
        "2023-06-11T01:00:00+02:00",
        datetime.date(2023, 6, 10),
        datetime.datetime(2023, 6, 10, 12),
        datetime.datetime(2023, 6, 10, 22, tzinfo=datetime.timezone(datetime.timedelta(hours=-1))),
        np.datetime64("2023-06-10T07:46:21.000000000"),
        np.array(["2023-06-10"], "datetime64[ns]"),
    ],
)
def test_dates_by_value(date):
    day = only({"timestamp": date}).values["timestamp"]
    assert day.dtype == "datetime64[D]"
    assert str(day) == "2023-06-10"


@pytest.mark.parametrize(
    "date", ["2023-02-30", "June", "", "1949-12-31", "2051-01-01", 2023, None, "2023", np.datetime64("NaT")]
)
def test_dates_that_are_refused(date):
    refused("timestamp is", {"timestamp": date})


def test_the_date_lies_between_radar_and_optical(tmp_path):
    radar = write_tif(tmp_path / "s1.tif", SCENE["S1RTC"], tags={"datetime": "2023-06-05T00:00:00.000000000"})
    names = [band for band in ALL_BANDS if band != "B10"]
    tags = {"PRODUCT_ID": "S2A_MSIL2A_20230610T074621_N0509_R135_T36MXB_20230610T120000"}
    optical = write_tif(tmp_path / "s2.tif", L2A, tags=tags, names=names)
    place = only({"S1RTC": radar, "S2L2A": optical, "timestamp": "auto"})
    assert str(place.values["timestamp"]) == "2023-06-07"
    assert str(only({"S1RTC": radar, "timestamp": "auto"}).values["timestamp"]) == "2023-06-05"
    assert str(only({"S2L2A": optical, "timestamp": "auto"}).values["timestamp"]) == "2023-06-10"


# Names


def test_place_ids():
    dem, cover = SCENE["DEM"], SCENE["LULC"]
    assert read_given({"DEM": dem}, COPGEN).place_ids == ("0",)
    assert read_given({"DEM": dem}, COPGEN, name="here").place_ids == ("here",)
    places = read_given({"DEM": dem, "LULC": cover}, DEMO, window="all", name="here")
    assert places.place_ids == ("here_patch_0", "here_patch_1", "here_patch_2", "here_patch_3")


def test_models_without_ground_resolution_take_no_rasters():
    with pytest.raises(InputError, match="no ground resolution"):
        read_given({"DEM": np.zeros((3, 256, 256))}, BETA)


def test_dn_shifts_and_keeps_negative_reflectance():
    dn = np.array([1.0, 500.0, 1000.0, 1500.0], np.float32)
    np.testing.assert_array_equal(dn_to_convention(dn, offset=1000, to_offset=0), [-999, -500, 0, 500])
    np.testing.assert_array_equal(dn_to_convention(dn, offset=0, to_offset=1000), [1001, 1500, 2000, 2500])


def test_place_ids_of_files_are_the_ground(tmp_path):
    path = write_tif(tmp_path / "dem.tif", SCENE["DEM"], pixel=30)
    place = only({"DEM": path})
    assert place.place_id == f"{UTM} 500040.000 4999980.000"
