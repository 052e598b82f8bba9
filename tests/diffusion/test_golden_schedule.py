"""The noise schedule against the golden tables, in float64 on the host and in float32 when traced."""

import jax.numpy as jnp
import numpy as np
import pytest
from golden_vectors import ROOT, cases, present, recipe

from copgen_jax.config import ScheduleConfig
from copgen_jax.diffusion.objective import Objective, make_example
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.diffusion.solvers import make_grid, published_orders
from copgen_jax.modalities import COPGEN

SCHEDULE = NoiseSchedule(ScheduleConfig())
GRIDS = present(*(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "sampler").glob("schedule_*.npz"))))


@pytest.mark.parametrize("path", present("sampler/noise_schedule.npz"))
def test_knots_are_the_published_ones(path):
    golden = np.load(ROOT / path)
    np.testing.assert_allclose(SCHEDULE.betas, golden["betas"], rtol=1e-12)
    np.testing.assert_allclose(SCHEDULE.log_alpha(golden["t"]), golden["log_alpha"], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("path", GRIDS)
def test_published_grid(path):
    golden = np.load(ROOT / path)
    evaluations = len(golden["t"]) - 1
    grid = make_grid(SCHEDULE, evaluations)
    for name in ("t", "alpha", "sigma", "lam"):
        np.testing.assert_allclose(getattr(grid, name), golden[name], rtol=1e-9, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(SCHEDULE.t_of_lam(golden["lam"]), golden["t"], rtol=1e-9)
    orders = published_orders(evaluations)
    assert orders == golden["orders"].tolist()
    assert np.cumsum([0, *orders]).tolist() == golden["outer_index"].tolist()


@pytest.mark.parametrize("path", GRIDS)
def test_traced_alpha_and_sigma_in_float32(path):
    golden = np.load(ROOT / path)
    alpha, sigma = SCHEDULE.alpha_sigma(jnp.asarray(golden["network_time"], jnp.float32))
    assert alpha.dtype == sigma.dtype == jnp.float32
    np.testing.assert_allclose(alpha, golden["alpha"], rtol=2e-6)
    np.testing.assert_allclose(sigma, golden["sigma"], rtol=2e-6)


@pytest.mark.parametrize("path", present("training/abar.npz"))
def test_discrete_steps_of_training(path):
    golden = np.load(ROOT / path)
    np.testing.assert_allclose(SCHEDULE.abar, golden["abar"], rtol=1e-12)
    alpha, sigma = SCHEDULE.alpha_sigma(jnp.arange(len(golden["abar"]), dtype=jnp.float32))
    np.testing.assert_allclose(alpha, np.sqrt(golden["abar"]), rtol=1e-6)
    np.testing.assert_allclose(sigma, np.sqrt(golden["one_minus_abar"]), rtol=1e-6)
    assert (alpha[0], sigma[0]) == (1, 0)


@pytest.mark.parametrize("case", cases("training", kind="loss"), ids=lambda case: case["file"])
def test_noised_inputs_of_training(case):
    golden = np.load(ROOT / "training" / case["file"])
    rows = [m.published_key for m in COPGEN]
    names = [name.removeprefix("xn/") for name in golden.files if name.startswith("xn/")]
    assert names
    clean, noise = (
        {
            name: jnp.asarray(recipe.inputs(golden[f"xn/{name}"].shape, case["data_seed"], f"{what}/{name}"))
            for name in names
        }
        for what in ("x0", "eps")
    )
    times = {name: jnp.asarray(golden["n"][rows.index(name)], jnp.float32) for name in names}
    example = make_example(Objective(schedule=SCHEDULE), clean, noise, times)
    for name in names:
        np.testing.assert_allclose(example.inputs[name], golden[f"xn/{name}"], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(example.network_time[name], golden["n"][rows.index(name)])
        np.testing.assert_array_equal(example.targets[name], noise[name])
        assert (np.asarray(example.weights[name]) == 1).all()
