"""Solvers of the sampling ODE as tables of coefficients, and the one loop that runs them all.

Notation of DPM-Solver++ (Lu et al. 2022): with the data prediction D(x, t), an estimate of x_0, and with
lam = log(alpha / sigma), the solution of the ODE from time s to t is

    x_t = (sigma_t / sigma_s) x_s + sigma_t * integral from lam_s to lam_t of exp(lam) D dlam

so every solver is a rule that replaces D by something integrable, and every new state is a linear combination of one
earlier state and of data predictions. All solvers here evaluate D at the grid points t_0 > t_1 > .. > t_(N-1), in this
order, once each; the result is the state at t_N. Evaluation i makes D_i at (x, t_i) and then

    x    <- next_row_i . (base, D_i, D_(i-1), ..)        the state at which D is evaluated next
    base <- base_row_i . (base, D_i, D_(i-1), ..)        the state that later combinations start from

Rows are computed on the host in float64. A singlestep method keeps its base while it probes the points inside an
update; a multistep method has equal rows; UniPC's base is the corrected state and its x the predicted one. The loop is
one `lax.scan` with one call of the network in its body, whatever the solver and the number of evaluations.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from copgen_jax.diffusion.schedule import NETWORK_TIME, NoiseSchedule
from copgen_jax.errors import InputError, suggestion

State = Any
"""A pytree of float arrays: what is sampled."""

PredictData = Callable[[State, Float[Array, ""]], State]
"""(x, network time) -> estimate of x_0, like x."""

Spacing = Literal["time_uniform", "logsnr_uniform"]
"""How grid points are spread: equal steps of t (as published), or of the log-SNR (where orders can be measured)."""

Row = list[float]
"""Coefficients of the base and of the data predictions, newest first."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class SolverTable:
    """A solver made ready for one schedule and number of evaluations N; a pytree, so that it can be traced."""

    network_time: Any
    """(N,) time that the network is told at each evaluation."""
    next_row: Any
    """(N, 1 + K) coefficients of the state to evaluate next, or of the result."""
    base_row: Any
    """(N, 1 + K) coefficients of the next base."""

    def __len__(self) -> int:
        return len(self.network_time)

    def __getitem__(self, chunk: slice) -> "SolverTable":
        """The evaluations of a slice: what `advance` runs at a time."""
        return jax.tree.map(lambda values: values[chunk], self)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run of a solver stands between two evaluations; a pytree."""

    x: State
    """The state at the next grid point: the result after the last evaluation."""
    base: State
    history: tuple[State, ...]
    """The last K data predictions, newest first."""


def solve(table: SolverTable, predict_data: PredictData, x_start: State) -> State:
    """The state at the end of the grid, from `x_start` at t = 1; in the dtypes of `x_start`."""
    return advance(table, predict_data, start(table, x_start)).x


def start(table: SolverTable, x_start: State) -> Progress:
    """Before the first evaluation of `table`."""
    nothing = jax.tree.map(jnp.zeros_like, x_start)
    return Progress(x=x_start, base=x_start, history=(nothing,) * (table.next_row.shape[1] - 1))


def advance(table: SolverTable, predict_data: PredictData, progress: Progress) -> Progress:
    """Run the evaluations in `table`, a whole one or `table[i:j]`: chunks give what one run gives.

    Chunks of one length share a compilation if the table is an argument of the jitted function.
    """
    time_dtype = jnp.result_type(*jax.tree.leaves(progress.x))

    def evaluate(progress: Progress, evaluation: SolverTable) -> tuple[Progress, None]:
        data = predict_data(progress.x, evaluation.network_time)
        history = (data, *progress.history[:-1])
        return Progress(
            x=_combine(evaluation.next_row, progress.base, history),
            base=_combine(evaluation.base_row, progress.base, history),
            history=history,
        ), None

    rows = jax.tree.map(lambda values: jnp.asarray(values, time_dtype), table)
    with jax.named_scope("solver"):
        return jax.lax.scan(evaluate, progress, rows)[0]


def _combine(row: Float[Array, " terms"], base: State, history: tuple[State, ...]) -> State:
    """Linear combination, leaf by leaf, in the leaf's dtype; elementwise, so that no matrix unit rounds it."""

    def combine(*terms: Array) -> Array:
        weighted = [coefficient.astype(term.dtype) * term for coefficient, term in zip(row, terms, strict=True)]
        return functools.reduce(jnp.add, weighted)

    return jax.tree.map(combine, base, *history)


# Grids, and the two rules that replace D.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """The points t_0 = 1 > .. > t_N, and the schedule there. All fields have shape (N + 1,)."""

    t: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    lam: np.ndarray

    @property
    def evaluations(self) -> int:
        """N: one evaluation at every point but the last."""
        return len(self.t) - 1


def make_grid(schedule: NoiseSchedule, evaluations: int, spacing: Spacing = "time_uniform") -> Grid:
    """N + 1 points from t = 1 to the schedule's first step."""
    if spacing == "time_uniform":
        t = np.linspace(1.0, schedule.t_end, evaluations + 1)
    else:
        inner = np.linspace(schedule.lam(1.0), schedule.lam(schedule.t_end), evaluations + 1)[1:-1]
        t = np.concatenate([[1.0], schedule.t_of_lam(inner), [schedule.t_end]])
    alpha, sigma, lam = (np.asarray(curve(t)) for curve in (schedule.alpha, schedule.sigma, schedule.lam))
    return Grid(t=t, alpha=alpha, sigma=sigma, lam=lam)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)


def _interpolated(grid: Grid, s: int, t: int, nodes: Sequence[int]) -> Row:
    """From point s to point t with D the polynomial in lam through its values at `nodes` (any order, exact on those).

    The integral of exp(lam) times each Lagrange polynomial is a quadrature with 32 nodes: exact to rounding, and
    without the cancellation that closed forms have at small steps.
    """
    step = grid.lam[t] - grid.lam[s]
    lam = grid.lam[s] + step * (1 + _NODES) / 2
    density = grid.alpha[t] * np.exp(lam - grid.lam[t]) * step * _WEIGHTS / 2
    row = [grid.sigma[t] / grid.sigma[s]]
    for j in nodes:
        others = [k for k in nodes if k != j]
        basis = np.prod([(lam - grid.lam[k]) / (grid.lam[j] - grid.lam[k]) for k in others], axis=0)
        row.append(np.sum(density * basis))
    return row


def _halved(grid: Grid, s: int, t: int, other: int) -> Row:
    """From point s to point t with the slope of D from `other`, in the cheaper second-order rule of DPM-Solver++.

    The slope's integral is replaced by B(h) / 2, with B(h) = expm1(-h) in the words of UniPC.
    """
    step = grid.lam[t] - grid.lam[s]
    whole = -grid.alpha[t] * np.expm1(-step)
    slope = whole / 2 * step / (grid.lam[other] - grid.lam[s])
    gains = {s: whole - slope, other: slope}
    return [grid.sigma[t] / grid.sigma[s], gains[max(gains)], gains[min(gains)]]


def _extrapolated(grid: Grid, s: int, order: int) -> Row:
    """From point s to the next with D from `order` points up to s; two of them by the halved rule."""
    if order == 2:
        return _halved(grid, s, s + 1, s - 1)
    return _interpolated(grid, s, s + 1, range(s, s - order, -1))


def _usable_order(grid: Grid, s: int, order: int) -> int:
    """The order at which to extrapolate from point s: at most `order`, and no further than the past reaches.

    A polynomial is not trusted over a step much longer than those it comes from: the last steps of a grid uniform in t
    double in log-SNR each, and a parabola there is worse than a constant. Log-SNR-uniform grids are never affected.
    """
    order = min(order, s + 1)
    steps = np.diff(grid.lam)
    while order > 1 and steps[s] > 1.5 * np.min(steps[s - order + 1 : s]):
        order -= 1
    return order


# The solvers: a pair (base_row, next_row) per evaluation.

Rows = list[tuple[Row, Row]]

_KEEP: Row = [1.0]
"""The base stays: an update is under way."""


def _ddim(grid: Grid) -> Rows:
    """DDIM (Song et al. 2021): D is constant during a step."""
    rows = [_interpolated(grid, i, i + 1, [i]) for i in range(grid.evaluations)]
    return [(row, row) for row in rows]


def published_orders(evaluations: int) -> list[int]:
    """Orders of the published method's updates: thirds, and a remainder so that evaluations add up exactly."""
    if evaluations % 3 == 0:
        return [3] * (evaluations // 3 - 1) + [2, 1]
    return [3] * (evaluations // 3) + [evaluations % 3]


def _published(grid: Grid) -> Rows:
    """DPM-Solver++ singlestep (3S), as the published model is sampled.

    An update of order k goes from grid point s to s + k and probes the points in between. Its third-order formula uses
    D_s and the last probe only, and is of third order where that probe lies at two thirds of the update's log-SNR.
    """
    rows: Rows = []
    s = 0
    for order in published_orders(grid.evaluations):
        to_first = _interpolated(grid, s, s + 1, [s])
        if order == 1:
            rows += [(to_first, to_first)]
        elif order == 2:
            to_end = _halved(grid, s, s + 2, s + 1)
            rows += [(_KEEP, to_first), (to_end, to_end)]
        else:
            to_second = _interpolated(grid, s, s + 2, [s + 1, s])
            base, from_second, from_s = _interpolated(grid, s, s + 3, [s + 2, s])
            to_end = [base, from_second, 0.0, from_s]
            rows += [(_KEEP, to_first), (_KEEP, to_second), (to_end, to_end)]
        s += order
    return rows


def _dpmpp_2m(grid: Grid) -> Rows:
    """DPM-Solver++ multistep (2M): the slope of D from the step before."""
    rows = [_extrapolated(grid, i, _usable_order(grid, i, 2)) for i in range(grid.evaluations)]
    return [(row, row) for row in rows]


def _dpmpp_3m(grid: Grid) -> Rows:
    """Multistep third order (3M): D is the parabola through its last three values.

    The parabola is integrated exactly, and the first three steps all start from t_0, as in a singlestep update: the
    usual opening with one first-order step leaves an error of second order in the state for good.
    """
    opening = min(3, grid.evaluations)
    probes = [_interpolated(grid, 0, i + 1, range(i, -1, -1)) for i in range(opening)]
    later = [_extrapolated(grid, i, _usable_order(grid, i, 3)) for i in range(opening, grid.evaluations)]
    return [(_KEEP, row) for row in probes[:-1]] + [(row, row) for row in (*probes[-1:], *later)]


def _unipc(grid: Grid) -> Rows:
    """UniPC of order 3 (Zhao et al. 2023), data prediction, B(h) = expm1(-h).

    D at the predicted state serves twice: it corrects the step that led there and predicts the next one. Solved exactly
    for its coefficients UniPC is integration of the polynomial through the last values of D; the B(h) shows only where
    it prescribes 1/2 instead: predictor and corrector from two values. The last step is not corrected.
    """
    rows: Rows = []
    order = 0
    for i in range(grid.evaluations):
        if i == 0:
            corrected = _KEEP
        elif order == 1:
            corrected = _halved(grid, i - 1, i, i)
        else:
            corrected = _interpolated(grid, i - 1, i, range(i, i - 1 - order, -1))
        order = _usable_order(grid, i, 3)
        decay, *gains = _extrapolated(grid, i, order)
        predicted = decay * _padded(corrected, 5) + _padded([0.0, *gains], 5)
        rows.append((corrected, list(predicted)))
    return rows


def _padded(row: Sequence[float] | np.ndarray, length: int) -> np.ndarray:
    return np.pad(np.asarray(row, np.float64), (0, length - len(row)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solver:
    """How a named solver makes its rows, and what is known of it."""

    rows: Callable[[Grid], Rows]
    order: int
    """Global order on a grid uniform in log-SNR (for the published method: evaluations with remainder 2)."""
    spacing: Spacing
    """The grid it is used with unless asked otherwise."""


SOLVERS: Mapping[str, Solver] = {
    "published": Solver(rows=_published, order=3, spacing="time_uniform"),
    "dpmpp_2m": Solver(rows=_dpmpp_2m, order=2, spacing="logsnr_uniform"),
    "dpmpp_3m": Solver(rows=_dpmpp_3m, order=3, spacing="logsnr_uniform"),
    "unipc": Solver(rows=_unipc, order=3, spacing="logsnr_uniform"),
    "ddim": Solver(rows=_ddim, order=1, spacing="logsnr_uniform"),
}
"""By the name that a model's configuration and the command line use."""


def solver_table(
    name: str, schedule: NoiseSchedule, evaluations: int, *, spacing: Spacing | None = None
) -> SolverTable:
    """The table of solver `name` for `evaluations` network calls, in float64; on the solver's own grid by default.

    Raises:
        InputError: an unknown solver, or no evaluation.
    """
    if name not in SOLVERS:
        raise InputError(f"unknown solver {name!r}: {suggestion(name, SOLVERS)}")
    if evaluations < 1:
        raise InputError(f"solver {name} with {evaluations} evaluations: it needs at least one")
    solver = SOLVERS[name]
    grid = make_grid(schedule, evaluations, spacing or solver.spacing)
    base, following = zip(*solver.rows(grid), strict=True)
    length = max(len(row) for row in (*base, *following))
    return SolverTable(
        network_time=NETWORK_TIME * grid.t[:-1],
        next_row=np.stack([_padded(row, length) for row in following]),
        base_row=np.stack([_padded(row, length) for row in base]),
    )
