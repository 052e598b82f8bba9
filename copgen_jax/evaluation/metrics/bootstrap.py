"""How sure a mean over cells is: percentile intervals by drawing cells with replacement.

Cells are the independent units: pixels of a cell are not, so they are never drawn alone.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from copgen_jax.errors import InputError

DRAWS = 1000
LEVEL = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A statistic over cells with its confidence interval."""

    value: float
    low: float
    high: float
    cells: int
    """Cells that it is made of."""


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    cells: int,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Interval:
    """The statistic of all cells and the interval of its values over resampled ones.

    Args:
        statistic: of the indices int[cells] of the cells to use, with repetitions.
        cells: how many there are. Of one cell nothing is known: the interval is NaN.
        rng: draws the cells.
        draws: how often.
        level: share of the draws inside the interval.
    """
    if not cells:
        raise InputError("a statistic over cells needs at least one cell")
    value = float(statistic(np.arange(cells)))
    if cells == 1:
        return Interval(value=value, low=np.nan, high=np.nan, cells=1)
    drawn = [statistic(rng.integers(cells, size=cells)) for _ in range(draws)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high), cells=cells)


def mean_interval(values: np.ndarray, rng: np.random.Generator, **how) -> Interval:
    """Mean of one value per cell [cells], and its interval.

    Raises:
        InputError: a value is NaN: leave the cell out and say so.
    """
    values = np.asarray(values, np.float64)
    if np.isnan(values).any():
        missing = int(np.isnan(values).sum())
        raise InputError(f"{missing} of {len(values)} cells have no value; leave them out and say so")
    return bootstrap(lambda chosen: float(values[chosen].mean()), len(values), rng, **how)
