"""Error of the solvers where the sampling ODE has an exact solution, in float64.

For Gaussian data the ODE keeps every point at its number of standard deviations; in one dimension and for any data it
keeps every point at its quantile. So the end of every trajectory is known without integrating anything, and a solver's
error is the root mean square distance from it, over evenly spread quantiles, in units of the data.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from benchmarks import Result
from copgen_jax.config import ScheduleConfig
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.diffusion.solvers import SOLVERS, Progress, SolverTable, Spacing, advance, solver_table, start

SCHEDULE = NoiseSchedule(ScheduleConfig())
CHUNK = 5
"""Evaluations that are compiled together: divides all the counts, so that one program serves them."""

SPACINGS: tuple[Spacing, ...] = ("time_uniform", "logsnr_uniform")


class Mixture:
    """Normal distributions with odds, means and scales; one of them is a Gaussian."""

    def __init__(self, *parts: tuple[float, float, float]):
        self.odds, self.means, self.scales = np.array(parts).T

    def predict_data(self, x: jax.Array, network_time: jax.Array) -> jax.Array:
        """The mean of the data given x: what a perfect network knows."""
        alpha, sigma = SCHEDULE.alpha_sigma(network_time)
        variance = alpha**2 * self.scales**2 + sigma**2
        off = x[:, None] - alpha * self.means
        share = jax.nn.softmax(jnp.log(self.odds / jnp.sqrt(variance)) - off**2 / (2 * variance), axis=-1)
        return jnp.sum(share * (self.means + alpha * self.scales**2 / variance * off), axis=-1)

    def at(self, quantiles: np.ndarray, t: float) -> np.ndarray:
        """The points of noised data at these quantiles, by bisection."""
        alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
        spread = np.sqrt(alpha**2 * self.scales**2 + sigma**2)
        low, high = np.full_like(quantiles, -100.0), np.full_like(quantiles, 100.0)
        for _ in range(100):
            middle = (low + high) / 2
            below = np.sum(self.odds * norm.cdf((middle[:, None] - alpha * self.means) / spread), axis=-1) < quantiles
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2


PROBLEMS = {
    "Gaussian 1": Mixture((1.0, 0.0, 1.0)),
    "Gaussian 0.3": Mixture((1.0, 0.5, 0.3)),
    "Gaussian 2": Mixture((1.0, -1.0, 2.0)),
    "mixture of 2": Mixture((0.3, -1.0, 0.4), (0.7, 0.8, 0.3)),
    "narrow mix of 3": Mixture((0.3, -1.2, 0.05), (0.3, 0.1, 0.05), (0.4, 1.0, 0.1)),
}


def run(quick: bool) -> Result:
    """Every solver on both grids and every problem at 5, 10, 20 and 50 evaluations."""
    evaluations = (5, 10) if quick else (5, 10, 20, 50)
    problems = dict(list(PROBLEMS.items())[-1:]) if quick else PROBLEMS
    with jax.enable_x64(True):
        rows = [
            _row(problem, solver, spacing, evaluations)
            for problem in problems
            for solver in SOLVERS
            for spacing in SPACINGS
        ]
    notes = [
        "Columns 5, 10, ..: evaluations. RMS error at t = 1/1000, float64; Gaussian s has mean of order 1 and scale s.",
        "Grids: uniform in t or in log-SNR; * is the one that the solver uses unless asked otherwise.",
        "The narrow mixture's error is that of few trajectories near the divide between two modes: it falls in jumps.",
    ]
    return Result(title="Solvers against exact flows", rows=rows, notes=notes)


def _row(problem: str, solver: str, spacing: Spacing, evaluations: Sequence[int]) -> dict[str, Any]:
    mark = " *" if SOLVERS[solver].spacing == spacing else ""
    errors = {str(n): _error(PROBLEMS[problem], solver, spacing, n) for n in evaluations}
    grid = spacing.removesuffix("_uniform") + mark
    return {"problem": problem, "solver": solver, "grid": grid, **errors}


def _error(mixture: Mixture, solver: str, spacing: Spacing, evaluations: int) -> float:
    quantiles = (np.arange(64) + 0.5) / 64
    table = solver_table(solver, SCHEDULE, evaluations, spacing=spacing)
    progress = start(table, jnp.asarray(mixture.at(quantiles, 1.0)))
    for i in range(0, evaluations, CHUNK):
        progress = _advance(mixture, table[i : i + CHUNK], progress)
    return float(np.sqrt(np.mean((np.asarray(progress.x) - mixture.at(quantiles, SCHEDULE.t_end)) ** 2)))


@partial(jax.jit, static_argnums=0)
def _advance(mixture: Mixture, rows: SolverTable, progress: Progress) -> Progress:
    return advance(rows, mixture.predict_data, progress)
