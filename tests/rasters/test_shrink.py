import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from copgen_jax.rasters.given.nodata import fill_nearest
from copgen_jax.rasters.given.shrink import repetition_phase, shrink

FACTORS = st.sampled_from([1, 2, 3, 6])
SMALL = hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-1e4, 1e4))


@given(SMALL, FACTORS)
def test_repetition_is_undone_exactly(small, factor):
    large = small.repeat(factor, 0).repeat(factor, 1)
    found = shrink(large, np.ones(large.shape, bool), factor)
    np.testing.assert_array_equal(found.values, small)
    assert found.valid.all()
    assert found.exact


@given(SMALL, FACTORS, st.data())
def test_repeated_gaps_stay_gaps(small, factor, data):
    valid = data.draw(hnp.arrays(bool, small.shape))
    large, known = (a.repeat(factor, 0).repeat(factor, 1) for a in (small, valid))
    found = shrink(np.where(known, large, np.nan), known, factor)
    np.testing.assert_array_equal(found.valid, valid)
    np.testing.assert_array_equal(found.values[valid], small[valid])
    assert found.exact


@given(st.integers(1, 5), st.integers(1, 5), st.sampled_from([2, 3, 6]), st.integers(0, 2**32 - 1))
def test_means_are_over_valid_pixels(h, w, factor, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(h * factor, w * factor))
    valid = rng.random(values.shape) > 0.3
    found = shrink(values, valid, factor)
    for i in range(h):
        for j in range(w):
            block = np.s_[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            assert found.valid[i, j] == valid[block].any()
            if valid[block].any():
                np.testing.assert_allclose(found.values[i, j], values[block][valid[block]].mean())
    assert not found.exact


@given(st.sampled_from([2, 3, 6]), st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_phase_of_a_cut_enlargement_is_found(factor, up, left, seed):
    up, left = up % factor, left % factor
    small = np.random.default_rng(seed).integers(0, 10000, (12, 12)).astype(float)
    cut = small.repeat(factor, 0).repeat(factor, 1)[up:, left:]
    assert repetition_phase(cut, factor) == ((factor - up) % factor, (factor - left) % factor)


@given(st.sampled_from([2, 3, 6]), st.integers(0, 2**32 - 1))
def test_noise_was_not_enlarged(factor, seed):
    assert repetition_phase(np.random.default_rng(seed).normal(size=(24, 24)), factor) is None


def test_a_single_step_on_flat_land_proves_no_phase():
    flat = np.zeros((192, 192))
    assert repetition_phase(flat, 3) == (0, 0)
    flat[:, 100:] = 1
    assert repetition_phase(flat, 3) is None


@given(SMALL, st.data())
def test_filling_takes_the_nearest_valid_value(values, data):
    valid = data.draw(hnp.arrays(bool, values.shape).filter(np.any))
    filled = fill_nearest(values, valid)
    np.testing.assert_array_equal(filled[valid], values[valid])
    places = np.argwhere(valid)
    for at in np.argwhere(~valid):
        distances = ((places - at) ** 2).sum(axis=1)
        nearest = places[distances == distances.min()]
        assert filled[tuple(at)] in values[nearest[:, 0], nearest[:, 1]]
