"""Distribution metrics: other libraries, symmetries, ideal values by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics import distribution as d

numbers = st.floats(-3, 3, width=32)
vectors = st.integers(1, 9).flatmap(lambda n: arrays(np.float32, (n, 2), elements=numbers))


@settings(max_examples=60, deadline=None)
@given(vectors, vectors)
def test_wasserstein_equals_scipy(real, fake):
    wanted = [wasserstein_distance(real[:, c], fake[:, c]) for c in range(2)]
    np.testing.assert_allclose(d.wasserstein(real, fake), wanted, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(vectors, vectors)
def test_precision_and_recall_change_places_with_the_sets(real, fake):
    precision, recall = d.precision_recall(real, fake)
    np.testing.assert_equal(d.precision_recall(fake, real), (recall, precision))
    assert d.mmd2(real, fake) == pytest.approx(d.mmd2(fake, real), abs=1e-9, nan_ok=True)


def test_ideal_values_are_what_equal_distributions_score():
    rng = np.random.default_rng(1)
    for n, m in ((16, 16), (6, 16)):
        cells = [(rng.standard_normal((n, 3)), rng.standard_normal((m, 3))) for _ in range(1500)]
        accuracy = np.mean([d.nn_accuracy(*cell) for cell in cells])
        assert accuracy == pytest.approx(d.ideal_nn_accuracy(n, m), abs=0.01)
        moved = np.mean([d.wasserstein(*cell).mean() for cell in cells])
        assert moved == pytest.approx(d.ideal_wasserstein(n, m), abs=0.01)
        covered = np.mean([d.coverage(*cell).mean() for cell in cells])
        assert covered == pytest.approx(d.ideal_coverage(n, m), abs=0.01)
        assert np.mean([d.mmd2(*cell) for cell in cells]) == pytest.approx(0, abs=0.01)
    assert d.ideal_nn_accuracy(16, 16) == pytest.approx(15 / 31)
    assert d.ideal_coverage(16, 16) == pytest.approx(0.84, abs=0.01)


def test_how_they_mislead():
    """Precision of a collapsed model and recall of an over-dispersed one are 1: what the explanations say."""
    rng = np.random.default_rng(2)
    real = rng.standard_normal((16, 3))
    collapsed, wide = np.zeros((16, 3)) + 0.01 * rng.standard_normal((16, 3)), 5 * rng.standard_normal((16, 3))
    assert d.precision_recall(real, collapsed)[0] == 1
    assert d.precision_recall(real, wide)[1] == 1
    assert (d.coverage(real, wide) == 1).all()


def test_nan_makes_every_metric_nan():
    rng = np.random.default_rng(3)
    real, fake = rng.standard_normal((2, 6, 3))
    fake[2, 1] = np.nan
    assert np.isnan(d.nn_accuracy(real, fake))
    assert np.isnan(d.precision_recall(real, fake)).all()
    assert np.isnan(d.mmd2(real, fake))
    assert np.isnan(d.intra_set(fake))
    for values in (d.wasserstein(real, fake), d.coverage(real, fake)):
        np.testing.assert_array_equal(np.isnan(values), [False, True, False])


def test_sets_of_other_bands_are_refused():
    with pytest.raises(InputError, match=r"\(12,\) and \(13,\); both sets need the same bands"):
        d.mmd2(np.zeros((4, 12)), np.zeros((4, 13)))
    with pytest.raises(InputError, match=r"expected \[samples, bands, height, width\]"):
        d.pool_spectra(np.zeros((12, 4, 4)))
