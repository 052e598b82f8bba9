"""How much each added condition narrows what a model generates: the paper's figure as numbers.

Per scenario (a set of conditions) and cell, samples [n, C, H, W]. Between members at the same pixel is uncertainty;
pooled over pixels, as in the figure, the texture of the scene is added to it. If conditions inform, the variance
between members falls on average over cells (law of total variance); in a single cell it may rise.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.bootstrap import Interval, bootstrap
from copgen_jax.evaluation.metrics.distribution import wasserstein
from copgen_jax.evaluation.metrics.explanation import Explanation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
    """Width of one cell's samples, per band [C], in the unit of the data."""

    std: np.ndarray
    """Root mean variance between members at the same pixel."""
    iqr: np.ndarray
    """Mean interquartile range between members at the same pixel."""
    pooled_std: np.ndarray
    """Standard deviation of all pixels of all members, as the published figure shows."""
    pooled_iqr: np.ndarray
    """Interquartile range of the same."""
    pooled_wasserstein: np.ndarray | None
    """Distance of all those pixels to all pixels of the truth; None if none was given."""


def spread(samples: np.ndarray, truth: np.ndarray | None = None) -> Spread:
    """Spread of samples [n, C, H, W]; truth [C, H, W] may be larger than they are. NaN propagates.

    Raises:
        InputError: fewer than two samples, or other bands in the truth.
    """
    if samples.ndim != 4 or len(samples) < 2:
        raise InputError(
            f"samples of shape {samples.shape}; expected [members, bands, height, width], 2 members or more"
        )
    samples = samples.astype(np.float64)
    pooled = samples.transpose(0, 2, 3, 1).reshape(-1, samples.shape[1])
    moved = None
    if truth is not None:
        if len(truth) != samples.shape[1]:
            raise InputError(f"the truth has {len(truth)} bands, the samples {samples.shape[1]}")
        # Band by band: a full tile against 25 samples is two million pixels each.
        moved = np.array([wasserstein(band.ravel(), ours) for band, ours in zip(truth, pooled.T, strict=True)])
    return Spread(
        std=np.sqrt(samples.var(axis=0, ddof=1).mean(axis=(1, 2))),
        iqr=_iqr(samples).mean(axis=(1, 2)),
        pooled_std=pooled.std(axis=0),
        pooled_iqr=_iqr(pooled),
        pooled_wasserstein=moved,
    )


def _iqr(values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    return high - low


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One scenario of a growing set of conditions."""

    scenario: str
    width: Interval
    """Root mean square over cells."""
    of_first: Interval
    """Width over that of the first scenario."""
    of_previous: Interval
    """Width over that of the scenario before: below 1 where the added condition narrows."""
    narrowed: float
    """Share of cells that are narrower than in the scenario before."""


def narrowing(widths: Mapping[str, np.ndarray], rng: np.random.Generator, *, draws: int = 1000) -> list[Step]:
    """Steps through scenarios in the order given, from one width [cells] per cell; the same cells in each.

    Intervals draw whole cells, the same for both scenarios of a ratio.

    Raises:
        InputError: scenarios of different cells, NaN, or a first scenario without any width.
    """
    table = {name: np.asarray(values, np.float64) for name, values in widths.items()}
    sizes = {name: len(values) for name, values in table.items()}
    if len(set(sizes.values())) > 1:
        raise InputError(f"scenarios have different cells: {sizes}; keep those that all have")
    broken = [name for name, values in table.items() if np.isnan(values).any()]
    if broken:
        raise InputError(f"scenario {broken[0]}: a cell has no width (NaN); leave that cell out of all scenarios")
    flat = [name for name, values in table.items() if not values.any()]
    if flat:
        raise InputError(f"scenario {flat[0]}: all samples are equal in every cell; there is nothing to narrow")
    first = previous = next(iter(table.values()))
    steps = []
    for name, values in table.items():

        def width(chosen, values=values):
            return float(np.sqrt((values[chosen] ** 2).mean()))

        def ratio(chosen, values=values, base=first):
            return float(np.sqrt((values[chosen] ** 2).mean() / (base[chosen] ** 2).mean()))

        def change(chosen, values=values, base=previous):
            return float(np.sqrt((values[chosen] ** 2).mean() / (base[chosen] ** 2).mean()))

        cells = len(values)
        steps.append(
            Step(
                scenario=name,
                width=bootstrap(width, cells, rng, draws=draws),
                of_first=bootstrap(ratio, cells, rng, draws=draws),
                of_previous=bootstrap(change, cells, rng, draws=draws),
                narrowed=float((values < previous).mean()),
            )
        )
        previous = values
    return steps


EXPLANATIONS = (
    Explanation(
        name="narrowing",
        title="Narrowing with added conditions",
        question="calibrated",
        better="ideal",
        measures="Spread between samples at the same pixel with a growing list of conditions, over the spread "
        "before the last was added; intervals over cells.",
        ideal="At most 1 on average over cells, and as far below as the condition informs; the synthetic world "
        "knows how far.",
        misleads="A collapsed model narrows just as well. The published figure pools pixels, so the scene's own "
        "texture, which no condition removes, hides most of the narrowing. The order of conditions matters.",
    ),
)
