"""Aligned tiles: the three real ones, and made ones whose answers are known."""

from pathlib import Path

import majortom_files as files
import numpy as np
import pytest

from copgen_jax import units
from copgen_jax.data.majortom import central_patch, cut, open_data, read_all, tally
from copgen_jax.data.majortom.tiles import BANDS
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, DEMO, LULC_CLASSES

REAL = Path(__file__).parents[2].parent / "shared" / "tiles"
OFFSETS = {"S2L2A": 0, "S2L1C": 0, "433D_629L_3_1": 1000}
"""As the tiles' README measures them."""
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} with the three real tiles is not here")

GROUND = {"crs": "EPSG:32718", "left": 700_000.0, "top": 5_700_000.0, "resolution": 10}
SIDE = 224
RESOLUTIONS = {band: round(m.resolution) for m in COPGEN.images for band in m.bands}


def enlarged(band, rng):
    """Random numbers on the band's own grid, each repeated to 10 m."""
    factor = RESOLUTIONS[band] // 10
    small = rng.integers(1, 9000, (SIDE // factor + 1,) * 2)
    return small, np.repeat(np.repeat(small, factor, 0), factor, 1)[:SIDE, :SIDE].astype(np.int16)


def write_tile(root, name="433D_629L_3_1", *, products=tuple(BANDS), **replaced):
    """A tile of all products; returns the small arrays of Sentinel-2 bands by (product, band)."""
    rng = np.random.default_rng(0)
    truth = {}
    for product in products:
        stack = []
        for band in BANDS[product]:
            small, large = enlarged(band, rng)
            truth[product, band] = small
            stack.append(large)
        values = np.stack(stack)
        if product == "S1RTC":
            values = np.full((2, SIDE, SIDE), -10.0) - np.arange(2.0)[:, None, None]
        if product == "LULC":
            values = np.broadcast_to(np.arange(SIDE) % len(LULC_CLASSES), (1, SIDE, SIDE)).astype(np.uint8)
        path = Path(root) / product / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files.geotiff(replaced.get(product, values), **GROUND))
    return truth


def test_bands_come_back_on_their_own_grids(tmp_path):
    truth = write_tile(tmp_path)
    observation = open_data(tmp_path, s2_offset=0).read("433D_629L_3_1")
    assert observation.rasters.keys() == {m.name for m in COPGEN.images} - {"cloud_mask"}
    for modality in COPGEN.images:
        if modality.encoding == "reflectance":
            side = 222 * 10 // round(modality.resolution)
            for i, band in enumerate(modality.bands):
                expected = truth[modality.product, band][:side, :side]
                np.testing.assert_array_equal(observation.rasters[modality.name][..., i], expected)


def test_terrain_comes_back_by_means(tmp_path):
    heights = np.random.default_rng(1).integers(-5, 3000, (1, SIDE, SIDE)).astype(np.int16)
    write_tile(tmp_path, products=("DEM",), DEM=heights)
    raster = open_data(tmp_path).read("433D_629L_3_1").rasters["DEM"]
    expected = heights[0, :222, :222].reshape(74, 3, 74, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(raster[..., 0], expected, rtol=1e-6)


def test_units_of_the_layout(tmp_path):
    write_tile(tmp_path, products=("S1RTC", "LULC"))
    rasters = open_data(tmp_path).read("433D_629L_3_1").rasters
    np.testing.assert_allclose(units.power_to_decibel(rasters["S1RTC"][0, 0]), [-10.0, -11.0], rtol=1e-5)
    assert tuple(rasters["LULC"][0, :10, 0]) == tuple(LULC_CLASSES)


@pytest.mark.parametrize(("modalities", "count"), [(COPGEN, 1), (DEMO, 4)], ids=["published", "demo"])
def test_patches_fit_side_by_side_and_know_their_ground(tmp_path, modalities, count):
    truth = write_tile(tmp_path)
    observation = open_data(tmp_path, modalities=modalities, s2_offset=0).read("433D_629L_3_1")
    patches = list(cut(observation, modalities))
    assert len(patches) == count
    for patch in patches:
        row, column = (GROUND["top"] - patch.ground.top) / 10, (patch.ground.left - GROUND["left"]) / 10
        assert patch.ground.extent == modalities["DEM"].extent
        assert patch.place == patch.ground.centre
        assert patch.images["S2L2A_60m"][0, 0, 0] == truth["S2L2A", "B01"][int(row) // 6, int(column) // 6]
        assert patch.images["S2L2A_10m"][0, 0, 0] == truth["S2L2A", "B04"][int(row), int(column)]
    assert central_patch(observation, modalities).ground == patches[0].ground


@pytest.mark.parametrize(
    ("product", "values", "reason"),
    [
        ("S1RTC", np.full((2, SIDE, SIDE), 0.1), "expected dB"),
        ("LULC", np.full((1, SIDE, SIDE), 11, np.uint8), "expected class indices"),
        ("DEM", np.zeros((2, SIDE, SIDE), np.int16), "has 2 bands, expected the 1 of DEM"),
        ("DEM", np.zeros((1, 100, 100), np.int16), "does not cover the ground"),
    ],
)
def test_what_contradicts_the_layout_is_told_and_left_out(tmp_path, product, values, reason):
    write_tile(tmp_path, products=("LULC", "S1RTC", "DEM", "S2L2A"), **{product: values})
    observation = open_data(tmp_path, s2_offset=0).read("433D_629L_3_1")
    assert not [m for m in observation.rasters if COPGEN[m].product == product]
    (issue,) = [issue for issue in observation.issues if issue.where == product]
    assert reason in issue.reason


def test_broken_and_missing_files_are_told(tmp_path):
    write_tile(tmp_path, "a", products=("DEM", "LULC"))
    write_tile(tmp_path, "b", products=("DEM",))
    path = tmp_path / "DEM" / "a.tif"
    path.write_bytes(path.read_bytes()[:3000])
    a, b = read_all(open_data(tmp_path))
    assert (a.rasters.keys(), tally(a.issues)) == ({"LULC"}, {"broken": 1, "no date": 1})
    assert (b.rasters.keys(), tally(b.issues)) == ({"DEM"}, {"missing": 1, "no date": 1})


def test_the_offset_must_be_stated(tmp_path):
    write_tile(tmp_path)
    with pytest.raises(InputError, match="state it with --s2-offset S2L2A=1000"):
        open_data(tmp_path, s2_offset={"S2L1C": 0})


@real
def test_real_tiles():
    source = open_data(REAL, s2_offset=OFFSETS)
    observations = list(read_all(source))
    assert [str(o.date) for o in observations] == ["2023-06-10", "2020-04-10", "2017-10-30"]
    assert all(o.issues == () for o in observations)
    assert [o.s2_offsets["S2L2A"] for o in observations] == [0, 1000, 0]
    for observation in observations:
        (patch,) = cut(observation, COPGEN)
        network = patch.network_values(COPGEN, s2_offset=1000)
        assert network.keys() == set(COPGEN.names) - {"cloud_mask"}
        for modality in COPGEN:
            if modality.name in network:
                assert np.isfinite(network[modality.name]).all()
                shape = modality.image_shape if modality.is_image else (3,)
                assert network[modality.name].shape == shape


@real
def test_real_tiles_agree_once_their_offsets_are_stated():
    """Dark pixels (shadow, water) have nearly no near infrared everywhere, whatever the processing baseline was."""
    for observation in read_all(open_data(REAL, s2_offset=OFFSETS)):
        (patch,) = cut(observation, COPGEN)
        network = patch.network_values(COPGEN, s2_offset=0)
        darkest = np.quantile(units.to_physical(COPGEN["S2L2A_10m"], network["S2L2A_10m"]), 0.001)
        assert -200 < darkest < 600
