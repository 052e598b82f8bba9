"""The three real tiles and every trap that their README names."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform as warped

from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, DEMO
from copgen_jax.rasters.given.reading import read_given

TILES = Path(__file__).parents[3] / "shared" / "tiles"
NAMES = sorted(f.stem for f in (TILES / "DEM").glob("*.tif"))
WITH_OFFSET = "433D_629L_3_1"
UNITS = {"S1RTC": "dB", "LULC": "index"}
PRODUCTS = ("DEM", "LULC", "S1RTC", "S2L1C", "S2L2A")
ESRI = np.array([0, 1, 2, 4, 5, 7, 8, 9, 10, 11])

pytestmark = pytest.mark.skipif(not NAMES, reason=f"the real tiles are not at {TILES}")


def tile(name, *products):
    return {product: str(TILES / product / f"{name}.tif") for product in products or PRODUCTS}


def pixels(product, name):
    with rasterio.open(TILES / product / f"{name}.tif") as file:
        return file.read().astype(np.float64), file.transform, file.crs


@pytest.mark.parametrize("name", NAMES)
def test_a_tile_is_read_on_its_native_grids(name):
    offset = 1000 if name == WITH_OFFSET else 0
    given = {**tile(name), "location": "auto", "timestamp": "auto"}
    (place,) = read_given(given, COPGEN, units=UNITS, s2_offset=offset)

    assert tuple(place.values) == tuple(n for n in COPGEN.names if n != "cloud_mask")
    for modality in COPGEN.images:
        if modality.name in place.values:
            side = modality.pixels
            assert place.values[modality.name].shape == (side, side, len(modality.bands))
    order = {"S2L1C": ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]}
    order["S2L2A"] = [band for band in order["S2L1C"] if band != "B10"]
    for product, bands in order.items():
        raw, _, _ = pixels(product, name)
        for modality in COPGEN.of_product(product):
            step = int(modality.resolution // 10)
            native = raw[[bands.index(band) for band in modality.bands], :192:step, :192:step]
            np.testing.assert_array_equal(place.values[modality.name], np.moveaxis(native, 0, -1))
    assert place.offsets == {"S2L1C": offset, "S2L2A": offset}
    heights, transform, crs = pixels("DEM", name)
    means = heights[0, :192, :192].reshape(64, 3, 64, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(place.values["DEM"][..., 0], means, rtol=1e-6)
    decibel, _, _ = pixels("S1RTC", name)
    np.testing.assert_allclose(
        10 * np.log10(place.values["S1RTC"]), np.moveaxis(decibel[:, :192, :192], 0, -1), atol=1e-4
    )
    indices, _, _ = pixels("LULC", name)
    np.testing.assert_array_equal(place.values["LULC"][..., 0], ESRI[indices[0, :192, :192].astype(int)])

    assert place.ground.crs == f"EPSG:{crs.to_epsg()}"
    assert (place.ground.left, place.ground.top) == pytest.approx((transform.c, transform.f), abs=0.01)
    assert place.ground.extent == 1920
    notes = "\n".join(place.notes)
    assert "DEM brought to 30 m, by block means" in notes
    assert "B05 B06 B07 B8A B11 B12 brought to 20 m, every pixel repeated" in notes
    assert "names no bands; taken as VV VH" in notes


@pytest.mark.parametrize("name", NAMES)
def test_centre_of_a_tile_agrees_with_gdal(name):
    (place,) = read_given({**tile(name, "LULC"), "location": "auto"}, COPGEN, units=UNITS)
    with rasterio.open(TILES / "LULC" / f"{name}.tif") as file:
        x, y = file.transform @ (96, 96)
        (lon,), (lat,) = warped(file.crs, "EPSG:4326", [x], [y])
    np.testing.assert_allclose(place.values["location"], (lat, lon), atol=1e-7)


@pytest.mark.parametrize("product", ["S2L1C", "S2L2A"])
@pytest.mark.parametrize("name", NAMES)
def test_the_offset_must_be_stated(product, name):
    with pytest.raises(InputError, match=f"--s2-offset {product}=1000") as refused:
        read_given(tile(name, product), COPGEN)
    assert ("suggests 1000" in str(refused.value)) == (name == WITH_OFFSET)


def test_tiles_of_either_convention_meet_in_the_models():
    means = []
    for name, offset in ((WITH_OFFSET, 1000), (NAMES[0], 0)):
        (place,) = read_given(tile(name, "S2L2A"), COPGEN, s2_offset={"S2L2A": offset})
        with_offset = place.in_convention(COPGEN, s2_offset=1000)["S2L2A_10m"]
        without = place.in_convention(COPGEN, s2_offset=0)["S2L2A_10m"]
        np.testing.assert_allclose(with_offset - without, 1000.0)
        np.testing.assert_array_equal(with_offset if offset else without, place.values["S2L2A_10m"])
        means.append(without[..., 0].mean() / 10000)
    assert max(means) < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_decibels_taken_for_power_are_refused(name):
    with pytest.raises(InputError, match="--units S1RTC=dB"):
        read_given(tile(name, "S1RTC"), COPGEN).check()


@pytest.mark.parametrize("name", NAMES)
def test_class_indices_must_be_stated(name):
    with pytest.raises(InputError, match="--units LULC=index"):
        read_given(tile(name, "LULC"), COPGEN)


@pytest.mark.parametrize("name", NAMES)
def test_the_time_tag_dates_the_place(name):
    expected = {"38D_378R_2_3": "2023-06-10", "433D_629L_3_1": "2020-04-08", "637U_59R_1_3": "2017-10-30"}
    places = read_given({**tile(name, "LULC"), "timestamp": "auto"}, COPGEN, units=UNITS)
    assert str(places[0].values["timestamp"]) == expected[name]
    with pytest.raises(InputError, match="give a date"):
        read_given({**tile(name, "DEM", "S2L2A"), "timestamp": "auto"}, COPGEN, s2_offset=0)


def test_the_centre_of_a_tile_is_on_no_common_grid():
    with pytest.raises(InputError, match="0, 6, 12"):
        read_given(tile(NAMES[0], "DEM"), COPGEN, window=(16, 16))
    (place,) = read_given(tile(NAMES[0], "DEM"), COPGEN, window=(12, 18))
    heights, transform, _ = pixels("DEM", NAMES[0])
    means = heights[0, 12:204, 18:210].reshape(64, 3, 64, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(place.values["DEM"][..., 0], means, rtol=1e-6)
    assert (place.ground.left, place.ground.top) == pytest.approx((transform.c + 180, transform.f - 120))


@pytest.mark.parametrize(("modalities", "starts"), [(COPGEN, [0, 30]), (DEMO, [0, 96, 126])])
def test_every_patch_of_a_tile(modalities, starts):
    places = read_given(tile(NAMES[0], "DEM", "S1RTC"), modalities, units=UNITS, window="all")
    assert places.windows == tuple((row, column) for row in starts for column in starts)
    _, transform, _ = pixels("DEM", NAMES[0])
    decibel, _, _ = pixels("S1RTC", NAMES[0])
    for (row, column), place in zip(places.windows, places, strict=True):
        assert place.ground.left == pytest.approx(transform.c + 10 * column)
        assert place.ground.top == pytest.approx(transform.f - 10 * row)
        side = modalities["S1RTC"].pixels
        expected = decibel[:, row : row + side, column : column + side]
        np.testing.assert_allclose(10 * np.log10(place.values["S1RTC"]), np.moveaxis(expected, 0, -1), atol=1e-4)
    assert len({place.place_id for place in places}) == len(places)


def test_tiles_of_different_places_do_not_mix():
    first, second = NAMES[:2]
    with pytest.raises(InputError, match=r"EPSG:32736.*EPSG:32718"):
        read_given({**tile(first, "DEM"), **tile(second, "LULC")}, COPGEN, units=UNITS)
