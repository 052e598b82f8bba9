"""Calibration of an ensemble: does the truth look like one more member?

Members are [n, ...], the truth [...]: scores are per trailing index, in the unit of the data. "Fair" scores (Ferro
2014) judge the distribution that members were drawn from: their expectation does not depend on n, so ensembles of
different size compare. NaN in a member or the truth makes the score there NaN.
"""

import dataclasses
import math

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.distribution import distances
from copgen_jax.evaluation.metrics.explanation import Explanation


def crps(members: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of the empirical distribution of the members: [n, ...], [...] -> [...].

    mean_i |x_i - y| - 1/(2 n^2) sum_ij |x_i - x_j|. It favours members that are drawn too narrow when n is small.
    """
    n = _members(members, truth)
    return _mean_error(members, truth) - _half_difference(members) * (n - 1) / n


def fair_crps(members: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fair score: mean_i |x_i - y| - 1/(2 n (n-1)) sum_ij |x_i - x_j|. NaN for one member. It can be negative."""
    n = _members(members, truth)
    if n == 1:
        return np.full(np.shape(truth), np.nan)
    return _mean_error(members, truth) - _half_difference(members)


def ideal_crps(truths: np.ndarray) -> np.ndarray:
    """Fair score that a perfect model expects, from draws of the truth itself: [k, ...] -> [...].

    Half the mean difference of two of them. NaN for one draw.
    """
    truths = np.asarray(truths, np.float64)
    return _half_difference(truths) if len(truths) > 1 else np.full(truths.shape[1:], np.nan)


def energy_score(members: np.ndarray, truth: np.ndarray) -> float:
    """Fair energy score of vectors [n, D] against [D]: the multivariate form, with Euclidean distances.

    mean_i |x_i - y| - 1/(2 n (n-1)) sum_ij |x_i - x_j|. NaN for one member.
    """
    members = np.asarray(members, np.float64)
    n = _members(members, truth)
    if members.ndim != 2:
        raise InputError(f"the energy score takes vectors [members, values], got members of shape {members.shape}")
    if n == 1:
        return math.nan
    return float(distances(members, truth[None]).mean() - distances(members, members).sum() / (2 * n * (n - 1)))


def _members(members: np.ndarray, truth: np.ndarray) -> int:
    if np.shape(members)[1:] != np.shape(truth):
        raise InputError(
            f"members {np.shape(members)} and truth {np.shape(truth)} differ in shape; members have one axis "
            f"more, first"
        )
    if not len(members):
        raise InputError("an ensemble without members cannot be scored")
    return len(members)


def _mean_error(members: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.abs(np.asarray(members, np.float64) - truth).mean(axis=0)


def _half_difference(members: np.ndarray) -> np.ndarray:
    """1/(2n(n-1)) sum_ij |x_i - x_j|, by sorting: sum_{i<j} (x_(j) - x_(i)) = sum_i (2i - n + 1) x_(i)."""
    n = len(members)
    if n == 1:
        return np.zeros(np.shape(members)[1:])
    weights = 2.0 * np.arange(n) - n + 1
    return np.tensordot(weights, np.sort(np.asarray(members, np.float64), axis=0), axes=1) / (n * (n - 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpreadSkill:
    """Sums from which spread, error and their ratio come; those of several cells add up, whatever their n."""

    variance: float = 0.0
    """Unbiased ensemble variance."""
    inflated: float = 0.0
    """The same times 1 + 1/n: what a perfect ensemble's mean errs."""
    square_error: float = 0.0
    """Of the ensemble mean."""
    pixels: int = 0
    ignored: int = 0
    """Pixels with NaN, not in the sums."""

    def __add__(self, other: "SpreadSkill") -> "SpreadSkill":
        return SpreadSkill(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)})

    @property
    def spread(self) -> float:
        """Root mean ensemble variance."""
        return math.sqrt(self.variance / self.pixels) if self.pixels else math.nan

    @property
    def error(self) -> float:
        """Root mean square error of the ensemble mean."""
        return math.sqrt(self.square_error / self.pixels) if self.pixels else math.nan

    @property
    def ratio(self) -> float:
        """sqrt(1 + 1/n) spread / error: 1 if calibrated, below if overconfident. NaN without error."""
        return math.sqrt(self.inflated / self.square_error) if self.square_error > 0 else math.nan


def spread_skill(members: np.ndarray, truth: np.ndarray) -> SpreadSkill:
    """Sums over all trailing indices of members [n, ...] and truth [...].

    Raises:
        InputError: fewer than two members have no spread.
    """
    n = _members(members, truth)
    if n < 2:
        raise InputError(f"spread needs at least 2 members, got {n}")
    members = np.asarray(members, np.float64)
    variance, error = members.var(axis=0, ddof=1), (members.mean(axis=0) - truth) ** 2
    known = ~(np.isnan(variance) | np.isnan(error))
    total = float(np.sum(variance, where=known))
    return SpreadSkill(
        variance=total,
        inflated=total * (1 + 1 / n),
        square_error=float(np.sum(error, where=known)),
        pixels=int(known.sum()),
        ignored=int((~known).sum()),
    )


EXPLANATIONS = (
    Explanation(
        name="fair_crps",
        title="Fair continuous ranked probability score",
        question="calibrated",
        better="lower",
        unit="as the data",
        measures="Distance between the distribution of the samples and the truth, pixel by pixel: the mean "
        "absolute error minus a reward for spread, so that neither blur nor needless noise pays. The fair form "
        "does not depend on n.",
        ideal="Not 0: a perfect model scores half the mean difference between two draws of the truth, .564 standard "
        "deviations for a Gaussian.",
        misleads="It looks at pixels one by one: a model without any spatial structure can score perfectly. "
        "Bright, variable bands and classes dominate an average.",
    ),
    Explanation(
        name="energy_score",
        title="Fair energy score",
        question="calibrated",
        better="lower",
        unit="as the data",
        measures="The same for whole vectors (spectra, images): mean distance to the truth minus half the mean "
        "distance between samples.",
        ideal="Not 0: half the mean distance between two draws of the truth.",
        misleads="It notices wrong means and widths well and wrong correlations hardly, the less the longer the "
        "vector.",
    ),
    Explanation(
        name="spread_skill",
        title="Spread over error",
        question="calibrated",
        better="ideal",
        measures="Standard deviation of the samples over the error of their mean, times sqrt(1 + 1/n) for the "
        "sample size.",
        ideal="1. Below, the model is overconfident; above, too wide. It takes many cells: the squared sums are "
        "averaged first.",
        misleads="A bias counts as error, so a biased model looks overconfident; too wide here and too narrow "
        "there can cancel: look at it per band and class.",
        ideal_value=lambda n, m: 1.0,
    ),
)
