"""Calibration scores against brute-force definitions, closed forms and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics import ensemble, ranks

numbers = st.floats(-10, 10)


def brute_crps(members, truth, fair):
    n = len(members)
    between = sum(abs(a - b) for a in members for b in members)
    return np.mean([abs(x - truth) for x in members]) - between / (2 * n * (n - 1 if fair else n))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 7).flatmap(lambda n: arrays(np.float64, (n,), elements=numbers)), numbers)
def test_crps_by_its_definition(members, truth):
    truth = np.float64(truth)
    assert ensemble.crps(members, truth) == pytest.approx(brute_crps(members, truth, False), abs=1e-9)
    assert ensemble.fair_crps(members, truth) == pytest.approx(brute_crps(members, truth, True), abs=1e-9)
    assert ensemble.energy_score(members[:, None], truth[None]) == pytest.approx(
        brute_crps(members, truth, True), abs=1e-9
    )


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (5,), elements=numbers), numbers)
def test_crps_is_the_integral_of_the_squared_step(members, truth):
    """Independent form: integral of (F(x) - 1[x >= y])^2."""
    ends = np.sort(np.append(members, truth))
    middle = (ends[1:] + ends[:-1]) / 2
    step = ((members[None] <= middle[:, None]).mean(axis=1) - (truth <= middle)) ** 2
    assert ensemble.crps(members, np.float64(truth)) == pytest.approx((step * np.diff(ends)).sum(), abs=1e-9)


def test_fair_crps_of_a_gaussian_at_any_size():
    """E = closed form of the Gaussian's score, sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)), for every n."""
    rng = np.random.default_rng(0)
    for n in (2, 5, 16):
        truth = np.full(60_000, 0.7)
        score = ensemble.fair_crps(rng.standard_normal((n, 60_000)), truth).mean()
        closed = 0.7 * (2 * norm.cdf(0.7) - 1) + 2 * norm.pdf(0.7) - 1 / np.sqrt(np.pi)
        assert score == pytest.approx(closed, abs=0.01)


def test_the_ideal_is_the_score_of_fresh_draws():
    rng = np.random.default_rng(1)
    members, truths = rng.standard_normal((2, 8, 40_000))
    score = ensemble.fair_crps(members, truths[0]).mean()
    assert score == pytest.approx(ensemble.ideal_crps(truths).mean(), abs=0.01)
    assert score == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)
    for wrong in (0.5 * members, 2 * members, members + 0.4):
        assert ensemble.fair_crps(wrong, truths[0]).mean() > score + 0.02


def test_energy_score_by_its_definition():
    rng = np.random.default_rng(2)
    members, truth = rng.standard_normal((6, 4)), rng.standard_normal(4)
    own = np.mean([np.linalg.norm(a - b) for i, a in enumerate(members) for j, b in enumerate(members) if i != j])
    wanted = np.mean([np.linalg.norm(x - truth) for x in members]) - own / 2
    assert ensemble.energy_score(members, truth) == pytest.approx(wanted)


def test_spread_skill_of_calibrated_ensembles_is_one_at_any_size():
    rng = np.random.default_rng(3)
    for n in (2, 4, 16):
        total = ensemble.SpreadSkill()
        for _ in range(40):
            total += ensemble.spread_skill(rng.standard_normal((n, 500)), rng.standard_normal(500))
        assert total.ratio == pytest.approx(1, abs=0.02)
        assert total.ratio == pytest.approx(np.sqrt(1 + 1 / n) * total.spread / total.error)
        half = ensemble.spread_skill(0.7 * rng.standard_normal((n, 20_000)), rng.standard_normal(20_000))
        assert half.ratio == pytest.approx(0.7 * np.sqrt((1 + 1 / n) / (1 + 0.49 / n)), abs=0.03)


def test_nan_and_single_members():
    members, truth = np.ones((1, 3)), np.zeros(3)
    assert np.isnan(ensemble.fair_crps(members, truth)).all()
    assert np.isnan(ensemble.ideal_crps(members)).all()
    np.testing.assert_array_equal(ensemble.crps(members, truth), 1)
    assert np.isnan(ensemble.energy_score(members, truth))
    with pytest.raises(InputError, match="at least 2 members, got 1"):
        ensemble.spread_skill(members, truth)
    with pytest.raises(InputError, match="differ in shape"):
        ensemble.crps(np.ones((4, 3)), np.ones(4))
    members = np.arange(6.0).reshape(2, 3)
    members[0, 1] = np.nan
    np.testing.assert_array_equal(np.isnan(ensemble.fair_crps(members, truth)), [False, True, False])
    assert ensemble.spread_skill(members, truth).ignored == 1


def histogram(scale: float, shift: float = 0.0, cells: int = 300, n: int = 8, alike: bool = False):
    rng = np.random.default_rng(4)
    by_cell = []
    for _ in range(cells):
        size = (n, 9)
        members = scale * rng.standard_normal(size) + shift
        truth = rng.standard_normal(9)
        if alike:
            members, truth = np.repeat(members[:, :1], 9, axis=1), np.repeat(truth[:1], 9)
        by_cell.append(ranks.ranks(members, truth, rng))
    return ranks.rank_histogram(by_cell, n)


def test_rank_histograms_tell_calibrated_narrow_wide_and_biased_apart():
    flat = histogram(1.0)
    assert flat.enough
    assert flat.counts.sum() == 300 * 9
    assert abs(flat.bias) < 0.02
    assert flat.width == pytest.approx(1, abs=0.05)
    assert flat.p_value > 0.01
    assert histogram(0.5).width > 1.3
    assert histogram(3.0).width < 0.6
    assert histogram(1.0, shift=-0.5).bias > 0.1
    for wrong in (histogram(0.5), histogram(3.0), histogram(1.0, shift=-0.5)):
        assert wrong.p_value < 1e-6


def test_pixels_that_are_all_alike_count_once():
    alike = histogram(1.0, alike=True)
    assert alike.design_effect == pytest.approx(9, rel=0.15)
    assert alike.p_value > 0.001
    assert histogram(1.0).design_effect < 1.2


def test_p_values_of_flat_histograms_are_uniform():
    rng = np.random.default_rng(5)
    values = []
    for _ in range(200):
        by_cell = [rng.integers(0, 9, size=4) for _ in range(200)]
        values.append(ranks.rank_histogram(by_cell, 8).p_value)
    assert 0.35 < np.mean(values) < 0.75
    assert np.mean(np.array(values) < 0.05) < 0.1


def test_ties_are_broken_evenly():
    rng = np.random.default_rng(6)
    drawn = ranks.ranks(np.zeros((4, 10_000)), np.zeros(10_000), rng)
    np.testing.assert_allclose(np.bincount(drawn) / 10_000, 0.2, atol=0.02)
    assert (ranks.ranks(np.zeros((4, 5)), np.ones(5), rng) == 4).all()
    with pytest.raises(InputError, match="1 of 5 pixels are NaN"):
        ranks.ranks(np.zeros((4, 5)), np.array([0, 0, np.nan, 0, 0]), rng)


def test_spaced_pixels_are_far_apart():
    rows, columns = ranks.spaced_pixels(192, 192, 3, np.random.default_rng(7))
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == 9
    apart = np.hypot(rows[:, None] - rows, columns[:, None] - columns)[~np.eye(9, dtype=bool)]
    assert apart.min() == 64
    assert rows.max() < 192
    with pytest.raises(InputError, match="do not fit"):
        ranks.spaced_pixels(4, 4, 5, np.random.default_rng(0))
