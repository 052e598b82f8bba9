"""The published solver against golden runs of a closed noise predictor: evaluations, updates, result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_vectors import ROOT, load_json, present, recipe

from copgen_jax.config import ScheduleConfig
from copgen_jax.diffusion.corruption import data_prediction
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.diffusion.solvers import advance, published_orders, solve, solver_table, start

SCHEDULE = NoiseSchedule(ScheduleConfig())
SPEC = load_json("sampler/cases.json")["analytic"] if present("sampler/cases.json") else {"evaluations": []}
TRAJECTORIES = [SPEC["trajectory"]] if "trajectory" in SPEC else []


@pytest.fixture(scope="module")
def golden():
    return np.load(ROOT / "sampler" / SPEC["file"])


def predict_noise(x, network_time):
    return jnp.tanh(0.7 * x) + 0.1 * jnp.sin(3 * network_time / 1000)


def predict_data(x, network_time):
    return data_prediction(SCHEDULE, "eps", predict_noise(x, network_time), x, network_time)


@jax.jit
def evaluate(row, progress):
    return advance(row, predict_data, progress)


@pytest.mark.parametrize("evaluations", SPEC["evaluations"])
def test_float64_result(golden, evaluations):
    with jax.enable_x64(True):
        table = solver_table("published", SCHEDULE, evaluations)
        x = solve(table, predict_data, jnp.asarray(golden["x_T"], jnp.float64))
        np.testing.assert_allclose(x, golden[f"final64_{evaluations}"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("evaluations", SPEC["evaluations"])
def test_float32_result_under_jit(golden, evaluations):
    table = solver_table("published", SCHEDULE, evaluations)
    x = jax.jit(lambda x: solve(table, predict_data, x))(jnp.asarray(golden["x_T"]))
    assert x.dtype == jnp.float32
    np.testing.assert_allclose(x, golden[f"final_{evaluations}"], rtol=1e-5, atol=3e-5)
    np.testing.assert_allclose(x, golden[f"final64_{evaluations}"], rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("evaluations", SPEC["evaluations"])
def test_evaluation_times_in_order(golden, evaluations):
    times = solver_table("published", SCHEDULE, evaluations).network_time
    np.testing.assert_allclose(times, golden[f"eval_time_{evaluations}"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("evaluations", TRAJECTORIES)
def test_every_evaluation_and_update_in_float64(golden, evaluations):
    with jax.enable_x64(True):
        table = solver_table("published", SCHEDULE, evaluations)
        progress = start(table, jnp.asarray(golden["x_T"], jnp.float64))
        seen, bases = [], [progress.base]
        for i in range(evaluations):
            seen.append(progress.x)
            progress = evaluate(table[i : i + 1], progress)
            bases.append(progress.base)
        updates = np.cumsum([0, *published_orders(evaluations)])
        np.testing.assert_allclose(np.stack(seen), golden[f"eval_x64_{evaluations}"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            np.stack([bases[i] for i in updates]), golden[f"state64_{evaluations}"], rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("evaluations", TRAJECTORIES)
def test_every_evaluation_in_float32(golden, evaluations):
    table = solver_table("published", SCHEDULE, evaluations)
    progress = start(table, jnp.asarray(golden["x_T"]))
    for i in range(evaluations):
        np.testing.assert_allclose(progress.x, golden[f"eval_x_{evaluations}"][i], rtol=1e-5, atol=3e-5)
        noise = predict_noise(progress.x, jnp.float32(table.network_time[i]))
        np.testing.assert_allclose(noise, golden[f"eval_eps_{evaluations}"][i], rtol=1e-5, atol=3e-5)
        progress = evaluate(table[i : i + 1], progress)


@pytest.mark.parametrize("name", [SPEC["name"]] if SPEC["evaluations"] else [])
def test_start_noise_is_the_recipe(golden, name):
    np.testing.assert_array_equal(golden["x_T"], recipe.inputs(golden["x_T"].shape, SPEC["seed"], name))
