"""Solvers against exact flows of the sampling ODE, and the identities every one of them must keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from copgen_jax.config import ScheduleConfig
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.diffusion.solvers import SOLVERS, advance, make_grid, published_orders, solve, solver_table, start
from copgen_jax.errors import InputError

SCHEDULE = NoiseSchedule(ScheduleConfig())
QUANTILES = norm.ppf((np.arange(16) + 0.5) / 16)


class Problem:
    """A distribution of data whose posterior mean and exact flow are known."""

    def predict_data(self, x, network_time):
        return self.data(x, *SCHEDULE.alpha_sigma(network_time))


class Gaussian(Problem):
    """Data N(mean, scale^2): the ODE keeps every point at its number of standard deviations."""

    def __init__(self, mean, scale):
        self.mean, self.scale = mean, scale

    def data(self, x, alpha, sigma):
        gain = alpha * self.scale**2 / (alpha**2 * self.scale**2 + sigma**2)
        return self.mean + gain * (x - alpha * self.mean)

    def flow(self, t):
        alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
        return alpha * self.mean + np.sqrt(alpha**2 * self.scale**2 + sigma**2) * QUANTILES


class TwoGaussians(Problem):
    """Data N(+m, s^2) or N(-m, s^2) with equal odds: in one dimension the ODE keeps every point at its quantile."""

    def __init__(self, mean, scale):
        self.mean, self.scale = mean, scale

    def data(self, x, alpha, sigma):
        variance = alpha**2 * self.scale**2 + sigma**2
        sign = (np if isinstance(x, np.ndarray) else jnp).tanh(alpha * self.mean * x / variance)
        return sign * self.mean + alpha * self.scale**2 / variance * (x - alpha * sign * self.mean)

    def flow(self, t):
        alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
        spread = np.sqrt(alpha**2 * self.scale**2 + sigma**2)
        low, high = np.full_like(QUANTILES, -20), np.full_like(QUANTILES, 20)
        for _ in range(100):
            middle = (low + high) / 2
            below = sum(norm.cdf((middle + s * alpha * self.mean) / spread) for s in (1, -1)) / 2 < norm.cdf(QUANTILES)
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2


PROBLEMS = {
    "narrow Gaussian": Gaussian(0.5, 0.3),
    "wide Gaussian": Gaussian(-1.0, 2.0),
    "two Gaussians": TwoGaussians(0.8, 0.4),
}


def unrolled(table, problem, x):
    """The table run in NumPy, evaluation by evaluation."""
    base, history = x, [np.zeros_like(x)] * (table.next_row.shape[1] - 1)
    for time, next_row, base_row in zip(table.network_time, table.next_row, table.base_row, strict=True):
        data = problem.data(x, SCHEDULE.alpha(time / 1000), SCHEDULE.sigma(time / 1000))
        history = [data, *history[:-1]]
        x, base = (row @ np.stack([base, *history]) for row in (next_row, base_row))
    return x


def error(name, problem, evaluations, spacing=None):
    table = solver_table(name, SCHEDULE, evaluations, spacing=spacing)
    x = unrolled(table, problem, problem.flow(1.0))
    return np.sqrt(np.mean((x - problem.flow(SCHEDULE.t_end)) ** 2))


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", SOLVERS)
def test_measured_order(name, problem):
    """Counts leave remainder 2 by three: there the published method ends with a second-order update."""
    counts = (401, 800)
    errors = [error(name, PROBLEMS[problem], n, "logsnr_uniform") for n in counts]
    slope = -np.log(errors[1] / errors[0]) / np.log(counts[1] / counts[0])
    assert slope > {1: 0.95, 2: 1.9, 3: 2.8}[SOLVERS[name].order]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", SOLVERS)
def test_error_falls_on_both_grids(name, problem):
    for spacing in ("time_uniform", "logsnr_uniform"):
        few, many = (error(name, PROBLEMS[problem], n, spacing) for n in (20, 200))
        assert many < 0.2 * few
        assert few < 0.15


def test_unipc_gains_by_its_corrector():
    """Same evaluations and polynomials as 3M; the corrector's extra value is worth an order on a nonlinear problem."""
    assert error("unipc", PROBLEMS["two Gaussians"], 60) < error("dpmpp_3m", PROBLEMS["two Gaussians"], 60) / 2


ANY_RUN = (st.sampled_from(list(SOLVERS)), st.integers(1, 60), st.sampled_from(["time_uniform", "logsnr_uniform"]))


@settings(max_examples=80, deadline=None)
@given(*ANY_RUN)
def test_exact_where_the_data_is_one_point(name, evaluations, spacing):
    """D constant in x and t: x_t = alpha c + sigma eps at every grid point, whatever the solver."""
    table = solver_table(name, SCHEDULE, evaluations, spacing=spacing)
    point, noise = 1.7, np.array([-2.0, 0.0, 0.3])
    base = x = SCHEDULE.alpha(1.0) * point + SCHEDULE.sigma(1.0) * noise
    t = np.append(table.network_time / 1000, SCHEDULE.t_end)
    for i in range(evaluations):
        values = [base] + [np.full(3, point)] * (table.next_row.shape[1] - 1)
        x, base = table.next_row[i] @ values, table.base_row[i] @ values
        np.testing.assert_allclose(x, SCHEDULE.alpha(t[i + 1]) * point + SCHEDULE.sigma(t[i + 1]) * noise, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(*ANY_RUN)
def test_history_is_not_used_before_it_exists(name, evaluations, spacing):
    table = solver_table(name, SCHEDULE, evaluations, spacing=spacing)
    for rows in (table.next_row, table.base_row):
        for i, row in enumerate(rows):
            assert (row[i + 2 :] == 0).all()


@settings(max_examples=60, deadline=None)
@given(*ANY_RUN)
def test_times_fall_from_noise_and_stop_before_the_end(name, evaluations, spacing):
    table = solver_table(name, SCHEDULE, evaluations, spacing=spacing)
    assert len(table) == evaluations
    assert table.network_time[0] == 1000
    assert (np.diff(table.network_time) < 0).all()
    assert table.network_time[-1] > 1000 * SCHEDULE.t_end


@given(st.integers(1, 1000))
def test_published_orders_add_up(evaluations):
    orders = published_orders(evaluations)
    assert sum(orders) == evaluations
    assert set(orders[:-2]) <= {3}
    assert min(orders) >= 1


def test_ddim_is_the_textbook_formula():
    """x_t = alpha_t D + sigma_t eps with the noise that D implies (Song et al. 2021, equation 12, eta = 0)."""
    grid = make_grid(SCHEDULE, 7)
    table = solver_table("ddim", SCHEDULE, 7, spacing="time_uniform")
    x, data = 0.37, -1.2
    for i in range(7):
        noise = (x - grid.alpha[i] * data) / grid.sigma[i]
        expected = grid.alpha[i + 1] * data + grid.sigma[i + 1] * noise
        np.testing.assert_allclose(table.next_row[i] @ [x, data], expected, rtol=1e-12)


def test_2m_is_the_textbook_formula():
    """Algorithm 2 of DPM-Solver++: D = (1 + 1 / 2r) D_i - (1 / 2r) D_(i-1), r the ratio of log-SNR steps."""
    grid = make_grid(SCHEDULE, 9, "logsnr_uniform")
    table = solver_table("dpmpp_2m", SCHEDULE, 9)
    x, newest, older = 0.37, -1.2, 0.8
    for i in range(1, 9):
        h, before = grid.lam[i + 1] - grid.lam[i], grid.lam[i] - grid.lam[i - 1]
        data = (1 + h / before / 2) * newest - h / before / 2 * older
        expected = grid.sigma[i + 1] / grid.sigma[i] * x - grid.alpha[i + 1] * np.expm1(-h) * data
        np.testing.assert_allclose(table.next_row[i] @ [x, newest, older], expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "opening", "used"), [("dpmpp_3m", 3, 3), ("unipc", 2, 3)])
def test_multistep_predictors_are_exact_on_parabolas(name, opening, used):
    """D = 1 + lam / 3 - lam^2 / 5 along the grid is integrated exactly, by fine quadrature of exp(lam) D."""

    def data(lam):
        return 1 + lam / 3 - lam**2 / 5

    grid = make_grid(SCHEDULE, 12, "logsnr_uniform")
    table = solver_table(name, SCHEDULE, 12)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    exact = [0.0]
    for i in range(12):
        lam = (grid.lam[i] + grid.lam[i + 1]) / 2 + (grid.lam[i + 1] - grid.lam[i]) / 2 * nodes
        gain = np.sum(weights * np.exp(lam) * data(lam)) * (grid.lam[i + 1] - grid.lam[i]) / 2
        exact.append(grid.sigma[i + 1] * (exact[-1] / grid.sigma[i] + gain))
    columns = table.next_row.shape[1] - 1
    for i in range(opening, 12):
        history = [data(grid.lam[i - k]) if k <= i else 0.0 for k in range(columns)]
        corrected = name == "unipc"
        base = exact[i - 1] if corrected else exact[i]
        assert np.count_nonzero(table.next_row[i][1:]) >= used
        np.testing.assert_allclose(table.next_row[i] @ [base, *history], exact[i + 1], rtol=1e-10)


@pytest.mark.parametrize("name", SOLVERS)
def test_scan_equals_the_unrolled_loop(name):
    table = solver_table(name, SCHEDULE, 11)
    problem = PROBLEMS["two Gaussians"]
    with jax.enable_x64(True):
        scanned = solve(table, problem.predict_data, jnp.asarray(problem.flow(1.0)))
        np.testing.assert_allclose(scanned, unrolled(table, problem, problem.flow(1.0)), rtol=1e-11, atol=1e-12)


def test_jit_vmap_and_pytrees_do_not_matter():
    table = solver_table("unipc", SCHEDULE, 8)
    problem = PROBLEMS["wide Gaussian"]
    x = jnp.asarray(problem.flow(1.0), jnp.float32)

    def run(x):
        return solve(table, problem.predict_data, x)

    def run_tree(x):
        def predict_data(tree, time):
            return jax.tree.map(lambda leaf: problem.predict_data(leaf, time), tree)

        return solve(table, predict_data, {"a": x, "b": (x[:4, None],)})

    plain, tree = run(x), run_tree(x)
    np.testing.assert_allclose(jax.jit(run)(x), plain, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(run)(x), plain, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(tree["a"], plain, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(tree["b"][0][:, 0], plain[:4], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SOLVERS)
def test_chunks_share_one_trace_and_equal_one_run(name):
    table = solver_table(name, SCHEDULE, 12)
    problem = PROBLEMS["two Gaussians"]
    x = jnp.asarray(problem.flow(1.0), jnp.float32)
    traces = 0

    @jax.jit
    def chunk(rows, progress):
        nonlocal traces
        traces += 1
        return advance(rows, problem.predict_data, progress)

    progress = start(table, x)
    for i in range(0, 12, 4):
        progress = chunk(table[i : i + 4], progress)
    assert traces == 1
    np.testing.assert_allclose(progress.x, solve(table, problem.predict_data, x), rtol=1e-6, atol=1e-6)


def test_program_does_not_grow_with_evaluations():
    def calls(evaluations):
        count = 0

        def predict_data(x, time):
            nonlocal count
            count += 1
            return x * time

        table = solver_table("published", SCHEDULE, evaluations)
        text = jax.jit(lambda table, x: solve(table, predict_data, x)).lower(table, jnp.ones(3)).as_text()
        return count, len(text.splitlines())

    assert calls(5) == calls(500)
    assert calls(5)[0] == 1


@pytest.mark.parametrize(
    ("name", "evaluations", "message"),
    [
        ("dpmpp_4m", 10, "unknown solver 'dpmpp_4m': did you mean dpmpp_"),
        ("euler", 10, "expected one of published, dpmpp_2m, dpmpp_3m, unipc, ddim"),
        ("unipc", 0, "0 evaluations: it needs at least one"),
    ],
)
def test_bad_input_is_one_sentence(name, evaluations, message):
    with pytest.raises(InputError, match=message):
        solver_table(name, SCHEDULE, evaluations)
