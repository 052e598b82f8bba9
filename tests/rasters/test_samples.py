import numpy as np
import pytest
import rasterio
from drawn_samples import GROUNDS, PROVENANCE, draw_arrays, draw_samples

from copgen_jax.modalities import BETA, COPGEN, DEMO
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.samples import build_samples, concatenate


def test_samples_are_a_mapping_of_labelled_arrays():
    samples = draw_samples(members=[3, 5], time=np.datetime64("2023-06-10"))
    assert list(samples) == list(DEMO.names)
    assert samples.members == (3, 5)
    array = samples["S2L2A_20m"]
    assert array.dims == ("member", "band", "y", "x")
    assert array.shape == (2, 6, 48, 48)
    assert array.dtype == np.float32
    assert list(array.band.values) == ["B05", "B06", "B07", "B8A", "B11", "B12"]
    assert array.time.values == np.datetime64("2023-06-10")
    assert samples["LULC"].dtype == np.uint8
    assert samples["location"].dims == ("member", "coordinate")
    assert list(samples["location"].coordinate.values) == ["latitude", "longitude"]
    assert samples["timestamp"].dims == ("member",)


def test_values_keep_their_place_and_dates_their_day():
    arrays = draw_arrays(DEMO, [0, 1])
    samples = build_samples(arrays, modalities=DEMO, ground=None, members=[0, 1], provenance={})
    for modality in DEMO.images:
        np.testing.assert_array_equal(samples[modality.name].values, np.moveaxis(arrays[modality.name], -1, 1))
    np.testing.assert_array_equal(samples["timestamp"].values.astype("datetime64[D]"), arrays["timestamp"])
    np.testing.assert_array_equal(samples["location"].values, arrays["location"])


def test_provenance_becomes_attributes():
    attributes = draw_samples()["DEM"].attrs
    assert attributes["synthetic"] == "true"
    assert attributes["units"] == "m"
    assert attributes["model_hash"] == PROVENANCE["model_hash"]
    assert attributes["conditions"] == '{"DEM": "dem.tif"}'
    assert draw_samples(synthetic=False)["DEM"].attrs["synthetic"] == "false"


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS.keys())
def test_coordinates_are_pixel_centres_on_the_ground(ground):
    samples = draw_samples(ground=ground, members=[0])
    for modality in DEMO.images:
        array = samples[modality.name]
        x, y = array.x.values, array.y.values
        half = modality.resolution / 2
        assert (x[0] - half, x[-1] + half) == pytest.approx((ground.left, ground.left + ground.extent), abs=1e-6)
        assert (y[0] + half, y[-1] - half) == pytest.approx((ground.top, ground.top - ground.extent), abs=1e-6)
        left, dx, _, top, _, dy = (float(n) for n in array.spatial_ref.attrs["GeoTransform"].split())
        assert (left, dx, top, dy) == (ground.left, modality.resolution, ground.top, -modality.resolution)
        assert rasterio.CRS.from_wkt(array.spatial_ref.attrs["crs_wkt"]) == rasterio.CRS.from_user_input(ground.crs)


def test_without_ground_there_are_pixels_and_no_crs():
    array = draw_samples(ground=None, members=[0])["DEM"]
    assert "spatial_ref" not in array.coords
    np.testing.assert_array_equal(array.x.values, np.arange(32) + 0.5)


def test_thumbnails_without_resolution_lie_on_their_ground():
    samples = draw_samples(BETA, ground=Ground("EPSG:32633", 0.0, 0.0, 2560.0), members=[0])
    assert samples["DEM"].x.values[0] == 5.0


def test_datatree_has_a_node_per_modality():
    samples = draw_samples()
    tree = samples.to_datatree()
    assert set(tree.children) == set(DEMO.names)
    assert tree.attrs["seed"] == 7
    np.testing.assert_array_equal(tree["S1RTC/S1RTC"].values, samples["S1RTC"].values)


def test_chunks_join_and_select_takes_apart():
    whole = draw_samples(members=[0, 1, 2, 3])
    joined = concatenate([whole.select([0, 1]), whole.select([2, 3])])
    for name in whole:
        assert whole[name].identical(joined[name])
    np.testing.assert_array_equal(joined.select([3])["DEM"].values, whole["DEM"].values[3:])


def test_wrong_shapes_and_names_are_bugs_of_the_caller():
    arrays = draw_arrays(DEMO, [0])
    for wrong in ({"DEM": arrays["DEM"][:, :-1]}, {"DEM": arrays["DEM"][[0, 0]]}, {"SLOPE": arrays["DEM"]}):
        with pytest.raises(ValueError, match=r"expected|is not among"):
            build_samples(wrong, modalities=DEMO, ground=None, members=[0], provenance={})
    with pytest.raises(KeyError, match="did you mean S2L2A_10m"):
        draw_samples(members=[0])["S2L2A_10"]


def test_one_member_of_the_published_set_builds():
    assert draw_samples(COPGEN, ground=None, members=[0])["S2L2A_10m"].shape == (1, 4, 192, 192)
