"""Narrowing, and the bootstrap behind its intervals."""

import numpy as np
import pytest

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.bootstrap import bootstrap, mean_interval
from copgen_jax.evaluation.metrics.narrowing import narrowing, spread


def test_spread_tells_uncertainty_from_texture():
    rng = np.random.default_rng(0)
    texture = 0.5 * rng.standard_normal((1, 2, 48, 48))
    samples = texture + 0.1 * rng.standard_normal((20, 2, 48, 48))
    got = spread(samples, texture[0] + 1.0)
    np.testing.assert_allclose(got.std, 0.1, rtol=0.02)
    np.testing.assert_allclose(got.iqr, 0.1 * 1.349, rtol=0.1)
    np.testing.assert_allclose(got.pooled_std, np.hypot(0.5, 0.1), rtol=0.05)
    np.testing.assert_allclose(got.pooled_iqr, 1.349 * np.hypot(0.5, 0.1), rtol=0.05)
    np.testing.assert_allclose(got.pooled_wasserstein, 1.0, rtol=0.01)
    assert spread(samples).pooled_wasserstein is None
    samples[3, 1, 2, 2] = np.nan
    np.testing.assert_array_equal(np.isnan(spread(samples).std), [False, True])
    with pytest.raises(InputError, match="2 members or more"):
        spread(samples[:1])
    with pytest.raises(InputError, match="3 bands, the samples 2"):
        spread(samples, np.zeros((3, 4, 4)))


def test_steps_find_what_narrows():
    rng = np.random.default_rng(1)
    start = rng.uniform(0.5, 1.5, 120)
    widths = {"DEM": start, "+ LULC": 0.6 * start, "+ date": 0.6 * start * np.sqrt(rng.uniform(0.6, 1.4, 120))}
    steps = narrowing(widths, np.random.default_rng(2))
    assert [step.scenario for step in steps] == list(widths)
    assert steps[0].of_first.value == steps[0].of_first.low == 1
    assert steps[1].of_first.value == pytest.approx(0.6)
    assert steps[1].of_previous.high == pytest.approx(0.6)
    assert steps[1].narrowed == 1
    assert steps[2].of_previous.low < 1 < steps[2].of_previous.high
    assert steps[0].width.value == pytest.approx(np.sqrt((start**2).mean()))
    assert steps[0].width.low < steps[0].width.value < steps[0].width.high
    again = narrowing(widths, np.random.default_rng(2))
    assert again == steps, "the same generator draws the same cells"


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"a": np.ones(3), "b": np.ones(4)}, "different cells"),
        ({"a": np.ones(3), "b": np.array([1, np.nan, 1])}, "scenario b: a cell has no width"),
        ({"a": np.zeros(3)}, "nothing to narrow"),
    ],
)
def test_what_cannot_be_compared_is_refused(widths, message):
    with pytest.raises(InputError, match=message):
        narrowing(widths, np.random.default_rng(0))


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        interval = mean_interval(rng.standard_normal(60), rng, draws=200)
        held += interval.low <= 0 <= interval.high
    assert 0.88 <= held / 200 <= 0.99


def test_intervals_of_few_cells():
    rng = np.random.default_rng(0)
    one = mean_interval(np.array([2.0]), rng)
    assert one.value == 2
    assert np.isnan(one.low)
    with pytest.raises(InputError, match="at least one cell"):
        bootstrap(lambda chosen: 0.0, 0, rng)
    with pytest.raises(InputError, match="1 of 2 cells have no value"):
        mean_interval(np.array([1.0, np.nan]), rng)
