"""What tells models apart in the stochastic benchmark: one set of numbers per source, over its cells.

A number that a cell does not have (NaN pixels, one sample, no land) is left out of the mean and of `Numbers.cells`, so
that every number can be shown with the count of cells that it is made of.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from copgen_jax.evaluation.metrics.calibration import ALL
from copgen_jax.evaluation.metrics.ranks import RankHistogram
from copgen_jax.evaluation.metrics.stochastic import summarise
from copgen_jax.evaluation.protocols.results import Result

COLUMNS: Mapping[str, str] = {
    "precision": "model_spec_precision",
    "recall": "model_spec_recall",
    "recall_centred": "model_spec_recall_centred",
    "nn": "model_spec_nn_accuracy",
}
"""Number -> the record's column of which it is the mean over cells."""

SHARES = ("path radiance negative", "cirrus when clear")
"""Physical numbers that are shares of pixels: their means over cells stand beside those of the real images."""

NOTHING = math.nan, 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers:
    """Of one source. NaN where nothing is known."""

    values: Mapping[str, float]
    cells: Mapping[str, int]
    """Of how many cells each value is made."""
    total: int
    """Cells that were scored."""
    real: float
    """Acquisitions per cell, mean."""
    generated: float
    """Samples per cell, mean; NaN without any."""
    ranks: RankHistogram | None

    def __getitem__(self, name: str) -> float:
        return self.values.get(name, math.nan)


def source_numbers(results: Sequence[Result]) -> Numbers:
    """What tells models apart, over the cells of one source."""
    records = [r.data["record"] for r in results]
    summary = summarise(records)
    found = {name: (summary[c].mean, summary[c].cells) for name, c in COLUMNS.items() if c in summary}
    ranks = histogram(results)
    ranked = len(ranks.by_cell) if ranks else 0
    found |= {
        "ratio": _ratio_of_widths(records),
        "bias": _mean([_cell_bias(r) for r in results]),
        "rank_bias": (ranks.bias, ranked) if ranks else NOTHING,
        "rank_width": (ranks.width, ranked) if ranks else NOTHING,
        **_calibration(results),
        **_physics(results),
    }
    return Numbers(
        values={name: value for name, (value, _) in found.items()},
        cells={name: cells for name, (_, cells) in found.items()},
        total=len(results),
        real=summary["real_n"].mean,
        generated=summary["model_n"].mean,
        ranks=ranks,
    )


def pooled(results: Sequence[Result]) -> dict[tuple[str, int], dict[str, float]]:
    """Sums of calibration over cells by band and class; ("all", ALL) over bands too."""
    total: dict[tuple[str, int], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for result in results:
        for part in result.data["calibration"].get("parts", ()):
            keys = [(part["band"], part["class"])] + ([("all", ALL)] if part["class"] == ALL else [])
            for key in keys:
                for name, value in part.items():
                    if name not in ("band", "class"):
                        total[key][name] += value
    return total


def histogram(results: Sequence[Result]) -> RankHistogram | None:
    """Ranks of all bands, counted per cell; only cells with the most frequent number of members."""
    rows = [np.sum(list(r.data["calibration"]["ranks"].values()), axis=0) for r in results if r.data["calibration"]]
    if not rows:
        return None
    lengths = [len(row) for row in rows]
    usual = max(set(lengths), key=lengths.count)
    return RankHistogram(by_cell=np.stack([row for row in rows if len(row) == usual]).astype(int))


def root_ratio(a: float, b: float) -> float:
    """The root of a / b; NaN where there is none."""
    return math.sqrt(a / b) if a >= 0 and b > 0 else math.nan


def _ratio_of_widths(records: Sequence[Mapping[str, float]]) -> tuple[float, int]:
    """Of sums over cells, so that one cell with hardly any real spread does not decide."""
    columns = ("model_spec_intra_set_dist", "real_spec_intra_set_dist")
    widths = np.array([[record.get(column, math.nan) for column in columns] for record in records])
    known = widths[np.isfinite(widths).all(axis=1)]
    ours, real = known.sum(axis=0)
    return (float(ours / real) if real > 0 else math.nan), len(known)


def _cell_bias(result: Result) -> float:
    parts = [p for p in result.data["calibration"].get("parts", ()) if p["class"] == ALL and p["pixels"]]
    return float(np.mean([p["bias"] / p["pixels"] for p in parts])) if parts else math.nan


def _mean(values: Sequence[float]) -> tuple[float, int]:
    known = [value for value in values if not math.isnan(value)]
    return (float(np.mean(known)), len(known)) if known else NOTHING


def _calibration(results: Sequence[Result]) -> dict[str, tuple[float, int]]:
    """Of sums over all bands and cells."""
    sums = pooled(results).get(("all", ALL))
    if not sums:
        return {}
    cells = sum(bool(r.data["calibration"].get("parts")) for r in results)
    return {
        "spread_skill": (root_ratio(sums["inflated"], sums["square_error"]), cells),
        "crps": (sums["crps"] / sums["ideal"] if sums["ideal"] > 0 else math.nan, cells),
    }


def _physics(results: Sequence[Result]) -> dict[str, tuple[float, int]]:
    """Over cells: NDVI less the real one weighted by pixels, ratios as medians, shares as means beside the real."""
    found = {"ndvi": _ndvi(results)}
    power = _pairs(results, "fine power")
    looks = _pairs(results, "looks")
    found["fine power"] = float(np.median(power[:, 0])) if len(power) else math.nan, len(power)
    found["looks"] = float(np.median(looks[:, 0] / looks[:, 1])) if len(looks) else math.nan, len(looks)
    for name in SHARES:
        pairs = _pairs(results, name)
        ours, real = pairs.mean(axis=0) if len(pairs) else (math.nan, math.nan)
        found |= {name: (float(ours), len(pairs)), f"{name}, real": (float(real), len(pairs))}
    return {name: number for name, number in found.items() if number[1]}


def _ndvi(results: Sequence[Result]) -> tuple[float, int]:
    """Mean difference over all pixels of all classes."""
    cells, parts = 0, []
    for result in results:
        known = [v for key, v in result.data["physics"].items() if key.startswith("ndvi ")]
        known = [(ours - real, pixels) for ours, real, pixels in known if not math.isnan(ours - real)]
        cells, parts = cells + bool(known), parts + known
    if not parts:
        return NOTHING
    differences, pixels = np.array(parts).T
    return float(np.average(differences, weights=pixels)), cells


def _pairs(results: Sequence[Result], name: str) -> np.ndarray:
    """(model, real) of every cell that has both: [cells, 2]."""
    pairs = [r.data["physics"][name] for r in results if name in r.data["physics"]]
    known = [pair for pair in pairs if np.isfinite(pair).all()]
    return np.array(known, np.float64).reshape(len(known), 2)
