"""Where the DN offset of a Sentinel-2 input comes from."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from raster_scenes import channel_last, product_on_10_m, scene, write_tif

from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN
from copgen_jax.rasters.given.reading import read_given
from copgen_jax.rasters.given.sentinel2 import offset_of_baseline, offsets_by_product

SCENE = scene()
L2A = product_on_10_m(SCENE, "S2L2A")
OLD = "S2A_MSIL2A_20180610T074621_N0208_R135_T36MXB_20180610T120000"
NEW = "S2B_MSIL2A_20180610T074621_N0500_R135_T36MXB_20230810T120000"


@pytest.mark.parametrize(
    ("baseline", "offset"),
    [
        ("04.00", 1000), ("05.09", 1000), ("5.11", 1000), ("0400", 1000), ("N0511", 1000), ("10.00", 1000),
        ("03.01", 0), ("02.08", 0), ("N0301", 0), ("0208", 0),
        ("99.99", None), ("N9999", None), ("", None), ("newest", None), ("4", None),
    ],
)  # fmt: skip
def test_baselines(baseline, offset):
    assert offset_of_baseline(baseline) == offset


@given(st.integers(0, 98), st.integers(0, 99))
def test_every_way_to_write_a_baseline_means_the_same(major, minor):
    written = (f"{major:02d}.{minor:02d}", f"N{major:02d}{minor:02d}", f"{major:02d}{minor:02d}")
    assert {offset_of_baseline(text) for text in written} == {1000 if major >= 4 else 0}


@given(st.text(max_size=12))
def test_any_text_is_a_baseline_or_none(text):
    assert offset_of_baseline(text) in (None, 0, 1000)


@pytest.mark.parametrize(
    ("about", "offset"),
    [
        ({"tags": {"PROCESSING_BASELINE": "05.09"}}, 1000),
        ({"tags": {"processing_baseline": "02.08"}}, 0),
        ({"tags": {"PRODUCT_URI": NEW + ".SAFE"}}, 1000),
        ({"tags": {"product_id": OLD}}, 0),
        ({"tags": {"s2_offset": "1000"}}, 1000),
        ({"scale": (1e-4, -0.1)}, 1000),
        ({"scale": (1e-4, 0.0)}, 0),
        ({"scale": (1e-4, -0.1), "tags": {"product_id": NEW, "processing_baseline": "05.00"}}, 1000),
    ],
)
def test_what_a_file_says_decides(tmp_path, about, offset):
    (place,) = read_given({"S2L2A": write_tif(tmp_path / "a.tif", L2A, **about)}, COPGEN)
    assert place.offsets == {"S2L2A": offset}
    np.testing.assert_allclose(place.values["S2L2A_10m"], channel_last(SCENE["S2L2A_10m"]), rtol=1e-6)


def test_attributes_of_a_stac_item_decide():
    array = xr.DataArray(L2A, dims=("band", "y", "x"), attrs={"s2:processing_baseline": "05.10"})
    assert read_given({"S2L2A": array}, COPGEN).offsets == {"S2L2A": 1000}


def test_the_products_folder_decides(tmp_path):
    folder = tmp_path / f"{NEW}.SAFE" / "R10m"
    folder.mkdir(parents=True)
    for band, values in zip(COPGEN["S2L2A_10m"].bands, SCENE["S2L2A_10m"], strict=True):
        write_tif(folder / f"T36MXB_20180610T074621_{band}_10m.tif", values)
    (place,) = read_given({"S2L2A": folder}, COPGEN)
    assert place.offsets == {"S2L2A": 1000}
    assert any(f"product name {NEW.split('_T36')[0]}" in note for note in place.notes)


@pytest.mark.parametrize(
    "about",
    [
        {"scale": (1e-4, 0.0), "tags": {"product_id": NEW}},
        {"tags": {"processing_baseline": "02.08", "product_id": NEW}},
        {"tags": {"s2_offset": "0", "processing_baseline": "05.00"}},
    ],
)
def test_statements_that_differ_are_refused_unless_the_user_decides(tmp_path, about):
    path = write_tif(tmp_path / "a.tif", L2A, **about)
    with pytest.raises(InputError, match=r"two DN offsets.*--s2-offset S2L2A=1000"):
        read_given({"S2L2A": path}, COPGEN)
    for offset in (0, 1000):
        (place,) = read_given({"S2L2A": path}, COPGEN, s2_offset={"S2L2A": offset})
        assert place.offsets == {"S2L2A": offset}
        np.testing.assert_allclose(place.values["S2L2A_10m"], channel_last(SCENE["S2L2A_10m"]), rtol=1e-6)


def test_one_file_that_says_and_one_that_does_not(tmp_path):
    says = write_tif(tmp_path / "a.tif", SCENE["S2L2A_10m"], names=COPGEN["S2L2A_10m"].bands, scale=(1e-4, -0.1))
    silent = write_tif(tmp_path / "b.tif", SCENE["S2L2A_60m"], names=COPGEN["S2L2A_60m"].bands, pixel=60)
    with pytest.raises(InputError, match=r"a\.tif has the DN offset 1000 .*b\.tif says nothing"):
        read_given({"S2L2A": [says, silent]}, COPGEN)


def test_two_products_may_differ(tmp_path):
    given = {
        "S2L2A": write_tif(tmp_path / "a.tif", L2A - 800, tags={"processing_baseline": "02.08"}),
        "S2L1C": write_tif(tmp_path / "b.tif", product_on_10_m(SCENE, "S2L1C"), tags={"processing_baseline": "05.10"}),
    }
    (place,) = read_given(given, COPGEN)
    assert place.offsets == {"S2L1C": 1000, "S2L2A": 0}
    without = place.in_convention(COPGEN, s2_offset=0)
    np.testing.assert_array_equal(without["S2L2A_10m"], channel_last(SCENE["S2L2A_10m"]) - 800.0)
    np.testing.assert_array_equal(without["S2L1C_10m"], channel_last(SCENE["S2L1C_10m"]) - 1000.0)


@pytest.mark.parametrize(
    "tags", [{}, {"processing_baseline": "99.99"}, {"datetime": "2023-01-01"}, {"product_id": "S2A"}]
)
def test_neither_dates_nor_dark_pixels_decide(tmp_path, tags):
    path = write_tif(tmp_path / "a.tif", L2A, tags=tags)
    with pytest.raises(InputError, match=r"does not say whether .*--s2-offset S2L2A=1000.*suggests 1000"):
        read_given({"S2L2A": path}, COPGEN)


def test_reflectance_ignores_the_baseline(tmp_path):
    path = write_tif(tmp_path / "a.tif", (L2A - 1000.0) / 10000, tags={"product_id": NEW, "units": "reflectance"})
    (place,) = read_given({"S2L2A": path}, COPGEN)
    dn = place.in_convention(COPGEN, s2_offset=1000)["S2L2A_10m"]
    np.testing.assert_allclose(dn, channel_last(SCENE["S2L2A_10m"]), atol=1e-2)


def test_reflectance_may_be_said_to_hold_the_offset_still():
    (place,) = read_given({"S2L2A": L2A / 10000}, COPGEN, units={"S2L2A": "reflectance"}, s2_offset=1000)
    dn = place.in_convention(COPGEN, s2_offset=1000)["S2L2A_10m"]
    np.testing.assert_allclose(dn, channel_last(SCENE["S2L2A_10m"]), rtol=1e-6)


@pytest.mark.parametrize(
    ("stated", "result"),
    [
        (None, {}),
        (1000, {"S2L1C": 1000, "S2L2A": 1000}),
        ({"S2L2A": 0}, {"S2L2A": 0}),
        (1000.0, {"S2L1C": 1000, "S2L2A": 1000}),
    ],
)
def test_the_users_statement(stated, result):
    assert offsets_by_product(stated, ["S2L1C", "S2L2A"]) == result


@pytest.mark.parametrize("stated", [{"S2": 0}, {"DEM": 0}, 0.5, "1000", True, {"S2L2A": None}, -20000, float("nan")])
def test_statements_that_are_none(stated):
    with pytest.raises(InputError, match="s2_offset"):
        offsets_by_product(stated, ["S2L1C", "S2L2A"])
