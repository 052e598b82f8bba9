import numpy as np
import pytest
from drawn_samples import draw_samples
from hypothesis import given
from hypothesis import strategies as st

from copgen_jax.modalities import DEMO
from copgen_jax.rasters.outputs import statistics
from copgen_jax.rasters.outputs.statistics import (
    EARTH_RADIUS,
    RunningMoments,
    date_statistics,
    image_statistics,
    place_statistics,
    quantile_name,
)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20), st.floats(-1e6, 1e6))
def test_running_moments_equal_numpy(values, shift):
    moments = RunningMoments()
    for value in values:
        moments.update(np.asarray([value + shift]))
    shifted = np.asarray(values) + shift
    np.testing.assert_allclose(moments.mean, [shifted.mean()], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(moments.standard_deviation, [shifted.std(ddof=1)], rtol=1e-6, atol=1e-8)


def test_one_value_has_no_spread():
    moments = RunningMoments()
    moments.update(np.ones(3))
    assert np.isnan(moments.standard_deviation).all()


@pytest.mark.parametrize("working_bytes", [statistics.WORKING_BYTES, 40_000, 1])
def test_image_statistics_equal_numpy_however_little_fits(monkeypatch, working_bytes):
    monkeypatch.setattr(statistics, "WORKING_BYTES", working_bytes)
    samples = draw_samples(DEMO.subset(["S2L2A_20m"]), members=range(7))
    values = samples["S2L2A_20m"].values.astype(np.float64)
    found = image_statistics(samples, DEMO["S2L2A_20m"], quantiles=(0.1, 0.5, 0.975))
    assert set(found) == {"mean", "standard_deviation", "quantile_10", "quantile_50", "quantile_97.5"}
    np.testing.assert_allclose(found["mean"], values.mean(0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found["standard_deviation"], values.std(0, ddof=1), rtol=1e-6, atol=1e-7)
    for quantile in (0.1, 0.5, 0.975):
        np.testing.assert_allclose(found[quantile_name(quantile)], np.quantile(values, quantile, axis=0), rtol=1e-6)


def test_class_statistics_are_frequencies_and_the_first_most_frequent():
    samples = draw_samples(DEMO.subset(["LULC"]), members=range(6))
    codes = np.asarray(DEMO["LULC"].codes)
    found = image_statistics(samples, DEMO["LULC"])
    values = samples["LULC"].values[:, 0]
    expected = np.stack([(values == code).mean(0) for code in codes])
    np.testing.assert_allclose(found["probability"], expected, atol=1e-7)
    np.testing.assert_allclose(found["probability"].sum(0), 1, atol=1e-6)
    np.testing.assert_array_equal(found["mode"][0], codes[expected.argmax(0)])


def test_missing_values_make_statistics_missing():
    samples = draw_samples(DEMO.subset(["DEM"]), members=range(3))
    samples["DEM"].values[1, 0, 4, 5] = np.nan
    found = image_statistics(samples, DEMO["DEM"])
    for values in found.values():
        assert np.isnan(values[0, 4, 5])
        assert np.isfinite(np.delete(values.ravel(), 4 * 32 + 5)).all()


def test_places_on_both_sides_of_the_date_line_meet_there():
    found = place_statistics(np.asarray([[10.0, 179.0], [10.0, -179.0]]))
    assert abs(found["longitude"]) == pytest.approx(180.0)
    assert found["latitude"] == pytest.approx(10.0, abs=0.01)
    one_degree = np.radians(1) * np.cos(np.radians(10)) * EARTH_RADIUS
    assert found["spread_km"] == pytest.approx(one_degree, rel=1e-3)


def test_places_around_the_pole_meet_there():
    found = place_statistics(np.asarray([[80.0, 0.0], [80.0, 90.0], [80.0, 180.0], [80.0, -90.0]]))
    assert found["latitude"] == pytest.approx(90.0)
    assert found["spread_km"] == pytest.approx(np.radians(10) * EARTH_RADIUS)
    assert np.isnan(place_statistics(np.asarray([[0.0, 0.0], [0.0, 180.0]]))["latitude"])


@given(st.floats(-89, 89), st.floats(-180, 180))
def test_one_place_is_its_own_mean(latitude, longitude):
    found = place_statistics(np.asarray([[latitude, longitude]]))
    assert found["latitude"] == pytest.approx(latitude, abs=1e-9)
    assert (found["longitude"] - longitude + 180) % 360 == pytest.approx(180, abs=1e-9)
    assert found["spread_km"] == pytest.approx(0, abs=1e-3)


def test_days_on_both_sides_of_new_year_meet_there():
    found = date_statistics(np.asarray(["2019-12-27", "2020-01-05"], "datetime64[D]"))
    assert min(found["day_of_year"], 365.25 - found["day_of_year"]) < 1.0
    assert found["day_spread"] == pytest.approx(4.5, abs=0.1)
    assert (found["first"], found["last"]) == ("2019-12-27", "2020-01-05")
    assert found["year"] == 2019.5


def test_days_close_together_have_their_usual_mean_and_spread():
    random = np.random.default_rng(0)
    offsets = random.integers(-20, 21, 400)
    found = date_statistics(np.datetime64("2021-07-01") + offsets)
    assert found["day_of_year"] == pytest.approx(182 + offsets.mean(), abs=0.3)
    assert found["day_spread"] == pytest.approx(offsets.std(), rel=0.01)


def test_opposite_days_have_no_mean():
    found = date_statistics(np.asarray(["2020-04-01", "2020-10-01"], "datetime64[D]"))
    assert np.isnan(found["day_of_year"])
    assert np.isinf(found["day_spread"])
