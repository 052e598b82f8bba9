"""Invariants of the noise schedule, for any betas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copgen_jax.config import ScheduleConfig
from copgen_jax.diffusion.schedule import NETWORK_TIME, NoiseSchedule

CONFIGS = st.builds(
    lambda low, ratio, steps: ScheduleConfig(beta_start=low, beta_end=low * ratio, steps=steps),
    st.floats(1e-5, 1e-2),
    st.floats(1, 50),
    st.integers(2, 1500),
)


@settings(max_examples=50, deadline=None)
@given(CONFIGS, st.sets(st.integers(1, 5000), min_size=2, max_size=20))
def test_variance_preserving_falling_and_invertible(config, times):
    schedule, t = NoiseSchedule(config), np.sort(list(times)) / 5000
    np.testing.assert_allclose(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, 1, rtol=1e-12)
    assert (np.diff(schedule.lam(t)) < 0).all()
    np.testing.assert_allclose(np.exp(schedule.lam(t)), schedule.alpha(t) / schedule.sigma(t), rtol=1e-12)
    np.testing.assert_allclose(schedule.t_of_lam(schedule.lam(t)), t, rtol=1e-7)


@settings(max_examples=20, deadline=None)
@given(CONFIGS)
def test_knots_are_products_of_one_minus_beta(config):
    schedule = NoiseSchedule(config)
    products = [np.prod(1 - schedule.betas[:n]) for n in range(config.steps + 1)]
    np.testing.assert_allclose(schedule.abar, products, rtol=1e-9)
    np.testing.assert_allclose(schedule.alpha(np.arange(config.steps + 1) / config.steps) ** 2, products, rtol=1e-9)


@pytest.mark.parametrize("config", [ScheduleConfig(), ScheduleConfig(beta_start=0.01, beta_end=0.2, steps=30)])
def test_traced_equals_host(config):
    schedule, t = NoiseSchedule(config), np.random.default_rng(0).uniform(0, 1, 40)
    with jax.enable_x64(True):
        alpha, sigma = jax.jit(schedule.alpha_sigma)(jnp.asarray(t * NETWORK_TIME))
        np.testing.assert_allclose(alpha, schedule.alpha(t), rtol=1e-12)
        np.testing.assert_allclose(sigma, schedule.sigma(t), rtol=1e-10, atol=1e-12)


def test_clean_at_time_zero():
    schedule = NoiseSchedule(ScheduleConfig())
    assert (schedule.alpha(0.0), schedule.sigma(0.0)) == (1, 0)


@pytest.mark.parametrize("time", [jnp.float32(300.5), jnp.array([0.0, 300.5, 1000.0])], ids=["one", "several"])
def test_a_time_is_looked_up_without_loop_and_index(time):
    """XLA would not compile a loop over single times for GPUs that searches in its body (jaxlib 0.11.2)."""
    program = str(jax.make_jaxpr(NoiseSchedule(ScheduleConfig()).alpha_sigma)(time))
    assert "exp" in program
    assert not any(word in program for word in ("while", "scan", "dynamic_slice", "gather"))


def test_times_beyond_the_ends_are_those_of_the_ends():
    schedule = NoiseSchedule(ScheduleConfig())
    beyond, ends = (schedule.alpha_sigma(jnp.array(times)) for times in ([-5.0, 1200.0], [0.0, 1000.0]))
    np.testing.assert_array_equal(beyond, ends)
