"""Noising and the three kinds of prediction: identities that hold for any latent, noise and time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from copgen_jax.config import ScheduleConfig
from copgen_jax.diffusion.corruption import corrupt, data_prediction, min_snr_weight, target
from copgen_jax.diffusion.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule(ScheduleConfig())
KEYS = jax.random.split(jax.random.key(3), 4)
CLEAN = {"map": jax.random.normal(KEYS[0], (3, 2, 2, 8)), "place": jax.random.normal(KEYS[1], (3, 3))}
NOISE = {"map": jax.random.normal(KEYS[2], (3, 2, 2, 8)), "place": jax.random.normal(KEYS[3], (3, 3))}
TIMES = {"map": jnp.array([1.0, 500.0, 999.5]), "place": jnp.array([1000.0, 0.0, 37.25])}
PREDICTIONS = ["eps", "x0", "v"]


def assert_trees_close(actual, desired, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), actual, desired)


def test_each_sample_and_modality_has_its_own_time():
    noised = corrupt(SCHEDULE, CLEAN, NOISE, TIMES)
    for name, times in TIMES.items():
        for i, time in enumerate(times):
            alpha, sigma = SCHEDULE.alpha(float(time) / 1000), SCHEDULE.sigma(float(time) / 1000)
            expected = alpha * np.asarray(CLEAN[name][i]) + sigma * np.asarray(NOISE[name][i])
            np.testing.assert_allclose(noised[name][i], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(noised["place"][1], CLEAN["place"][1])


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_network_gives_the_data_back(prediction):
    noised = corrupt(SCHEDULE, CLEAN, NOISE, TIMES)
    perfect = target(SCHEDULE, prediction, CLEAN, NOISE, TIMES)
    assert_trees_close(data_prediction(SCHEDULE, prediction, perfect, noised, TIMES), CLEAN, rtol=1e-4, atol=1e-5)


def test_velocity_turns_noise_into_data_at_a_right_angle():
    """(x, v) is (x_0, eps) turned by an angle: their squares add up to the same."""
    noised = corrupt(SCHEDULE, CLEAN, NOISE, TIMES)
    velocity = target(SCHEDULE, "v", CLEAN, NOISE, TIMES)
    for name in CLEAN:
        np.testing.assert_allclose(
            noised[name] ** 2 + velocity[name] ** 2, CLEAN[name] ** 2 + NOISE[name] ** 2, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_time_for_all(prediction):
    shared = jnp.float32(321.0)
    each = {name: jnp.full(3, shared) for name in CLEAN}
    for function in (
        lambda time: corrupt(SCHEDULE, CLEAN, NOISE, time),
        lambda time: target(SCHEDULE, prediction, CLEAN, NOISE, time),
        lambda time: data_prediction(SCHEDULE, prediction, NOISE, CLEAN, time),
    ):
        assert_trees_close(function(shared), function(each), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_caps_the_weight_on_the_data(prediction, gamma):
    """weight x (what a unit error of x_0 does to the prediction)^2 = min(SNR, gamma), by differences."""
    times = jnp.array([1.0, 20.0, 200.0, 600.0, 1000.0])
    weights = min_snr_weight(SCHEDULE, prediction, times, gamma)
    snr = np.exp(2 * SCHEDULE.lam(np.asarray(times) / 1000))
    x = jnp.zeros(len(times))
    one, two = (data_prediction(SCHEDULE, prediction, jnp.full(len(times), value), x, times) for value in (0.0, 1.0))
    np.testing.assert_allclose(np.asarray(weights), np.minimum(snr, gamma) * np.asarray(two - one) ** 2, rtol=1e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_is_finite_on_clean_data(prediction):
    assert np.isfinite(min_snr_weight(SCHEDULE, prediction, jnp.zeros(2), 5.0)).all()
