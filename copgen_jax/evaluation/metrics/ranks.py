"""Rank histograms: among n members the truth takes each of the n + 1 ranks equally often, if it is one of them.

Pixels of a cell are alike, so few and distant ones are taken, and the test allows for what remains by counting per
cell.
"""

import dataclasses

import numpy as np
from scipy.stats import chi2

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.explanation import Explanation

LEAST_CELLS = 200
"""Below this many cells a histogram says little: `RankHistogram.enough`."""


def spaced_pixels(height: int, width: int, per_side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of per_side^2 pixels on a regular grid with a random offset: equally far from each other."""
    if not 1 <= per_side <= min(height, width):
        raise InputError(f"{per_side} pixels a side do not fit an image of {height} x {width} px")
    rows, columns = (
        rng.integers(size // per_side) + np.arange(per_side) * (size // per_side) for size in (height, width)
    )
    rows, columns = np.meshgrid(rows, columns, indexing="ij")
    return rows.ravel(), columns.ravel()


def ranks(members: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rank of the truth [...] among the members [n, ...]: int [...], 0 (below all) to n (above all); ties at random.

    Raises:
        InputError: shapes differ, or there is a NaN: choose the pixels among valid ones.
    """
    if np.shape(members)[1:] != np.shape(truth):
        raise InputError(f"members {np.shape(members)} and truth {np.shape(truth)} differ in shape")
    broken = np.isnan(truth) | np.isnan(members).any(axis=0)
    if broken.any():
        raise InputError(
            f"{int(broken.sum())} of {broken.size} pixels are NaN; choose the pixels to rank among valid ones"
        )
    below, equal = (members < truth).sum(axis=0), (members == truth).sum(axis=0)
    return below + rng.integers(0, equal + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankHistogram:
    """Ranks of many cells, and what they say."""

    by_cell: np.ndarray
    """int [cells, n + 1]: how often each rank came up in each cell."""

    @property
    def counts(self) -> np.ndarray:
        """int [n + 1], over all cells."""
        return self.by_cell.sum(axis=0)

    @property
    def members(self) -> int:
        """n."""
        return self.by_cell.shape[1] - 1

    @property
    def enough(self) -> bool:
        """Whether there are at least 200 cells."""
        return len(self.by_cell) >= LEAST_CELLS

    @property
    def bias(self) -> float:
        """Mean rank over n, less one half: positive if the truth tends to lie above the members. Flat: 0."""
        return float(self._mean_of(np.arange(self.members + 1)) / self.members - 0.5)

    @property
    def width(self) -> float:
        """Mean squared distance of the rank from the middle, over that of a flat histogram: n (n + 2) / 12.

        1 if flat; above, the truth is too often at the ends (U shape: overconfident); below, in the middle (dome: too
        wide).
        """
        n = self.members
        return float(self._mean_of((np.arange(n + 1) - n / 2) ** 2) / (n * (n + 2) / 12))

    @property
    def chi_squared(self) -> float:
        """Pearson's statistic against a flat histogram; n on average if flat and all ranks are independent."""
        expected = self.counts.sum() / (self.members + 1)
        return float(((self.counts - expected) ** 2).sum() / expected)

    @property
    def design_effect(self) -> float:
        """By how much counting pixels of one cell together inflates the statistic (Rao and Scott, first order).

        The variance of the counts between cells over that of independent ranks; at least 1, NaN for one cell.
        """
        cells, bins = self.by_cell.shape
        if cells < 2:
            return float("nan")
        expected = self.counts.sum() / bins
        between = cells * self.by_cell.var(axis=0, ddof=1)
        return max(1.0, float(between.sum() / (expected * (bins - 1))))

    @property
    def p_value(self) -> float:
        """Chance of a statistic this large if flat, corrected by the design effect; NaN for one cell."""
        return float(chi2.sf(self.chi_squared / self.design_effect, self.members))

    def _mean_of(self, values: np.ndarray) -> float:
        total = self.counts.sum()
        return float((self.counts * values).sum() / total) if total else float("nan")


def rank_histogram(ranks_by_cell: list[np.ndarray], members: int) -> RankHistogram:
    """Histogram of the ranks of each cell (any shape each) among `members` members.

    Raises:
        InputError: no cells, or a rank beyond the number of members: ensembles of another size do not mix.
    """
    if not ranks_by_cell:
        raise InputError("a rank histogram needs at least one cell")
    if any(r.size and r.max() > members for r in ranks_by_cell):
        raise InputError(f"a rank above {members} comes from a larger ensemble; every cell needs {members} members")
    counts = [np.bincount(r.ravel(), minlength=members + 1) for r in ranks_by_cell]
    return RankHistogram(by_cell=np.stack(counts))


EXPLANATIONS = (
    Explanation(
        name="rank_histogram",
        title="Rank histogram",
        question="calibrated",
        better="ideal",
        measures="Where the truth lies among the sorted samples, at a few distant pixels of every cell; ties "
        "are broken at random. Summed up as bias (mean rank), width (U or dome) and a chi-squared test of flatness.",
        ideal="Flat: bias 0, width 1, chi-squared about n. A U shape (width above 1) is overconfident, a dome "
        "too wide, a slope biased.",
        misleads="A flat histogram is necessary, not sufficient: opposite faults in different places cancel. "
        "Under 200 cells it is noise; with thousands, irrelevant deviations become significant.",
    ),
)
