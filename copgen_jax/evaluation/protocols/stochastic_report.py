"""The section of the stochastic benchmark: the five numbers that tell models apart, then everything else."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from copgen_jax.evaluation.metrics import catalogue
from copgen_jax.evaluation.metrics.bootstrap import mean_interval
from copgen_jax.evaluation.metrics.calibration import ALL
from copgen_jax.evaluation.metrics.distribution import L2A_BANDS
from copgen_jax.evaluation.metrics.ranks import LEAST_CELLS
from copgen_jax.evaluation.metrics.stochastic import summarise
from copgen_jax.evaluation.protocols.choosing import section, show_best_and_worst
from copgen_jax.evaluation.protocols.protocol import Outcome
from copgen_jax.evaluation.protocols.results import Result
from copgen_jax.evaluation.protocols.stochastic_checks import checks_of
from copgen_jax.evaluation.protocols.stochastic_numbers import Numbers, pooled, root_ratio, source_numbers
from copgen_jax.evaluation.report import published
from copgen_jax.evaluation.report.content import Figure, Section, Table, counted
from copgen_jax.evaluation.report.drawing import rank_bars
from copgen_jax.evaluation.simulators import IDEAL
from copgen_jax.modalities import LULC_CLASSES

SHOWN = (
    "intra_set_ratio",
    "model_spec_nn_accuracy",
    "model_spec_precision",
    "model_spec_recall",
    "model_wasserstein_mean",
    "model_mmd",
    "model_coverage_mean",
    "model_rgb_nn_accuracy",
    "model_rgb_precision",
    "model_rgb_recall",
    "model_lpips_intra_set",
)
BEYOND = (
    "rank_histogram", "fair_crps", "spread_skill", "ndvi", "path_radiance", "cirrus_when_clear", "fine_power",
)  # fmt: skip


def summarise_stochastic(outcome: Outcome) -> Section:
    """Tables, checks and figures over cells."""
    (experiment,) = outcome.experiments
    found = {source: [r for r in outcome.of(source, experiment) if r.data] for source in outcome.sources}
    found = {source: results for source, results in found.items() if results}
    numbers = {source: source_numbers(results) for source, results in found.items()}
    ideal = numbers.get(IDEAL)
    checks = {source: checks_of(mine, ideal) for source, mine in numbers.items()}
    n, m = _sizes(found)
    figures = [
        Figure(
            title="Rank histograms",
            caption="Where the truth lies among the samples, at nine distant pixels of every cell, all bands. Flat is "
            "right; a valley is overconfident, a dome too wide, a slope biased.",
            svg=rank_bars({source: mine.ranks.counts for source, mine in numbers.items() if mine.ranks}),
        ),
        *show_best_and_worst(found, "record", "model_wasserstein_mean", "Wasserstein distance of the band means"),
    ]
    return section(
        outcome,
        settings=_lacking_options(outcome),
        checks=checks,
        tables=[
            five_table(numbers),
            _benchmark_table(found),
            _calibration_table(found, numbers),
            _physics_table(found),
            *published.stochastic_tables(outcome, found),
        ],
        figures=figures,
        explanations=_explanations(n, m),
    )


FIVE: Mapping[str, str] = {
    "ratio": "intra-set ratio", "precision": "precision", "recall": "recall", "bias": "bias",
    "rank_width": "rank width", "rank_bias": "rank bias", "nn": "1-NN accuracy", "spread_skill": "spread/error",
    "crps": "CRPS/ideal",
}  # fmt: skip


def five_table(numbers: Mapping[str, Numbers]) -> Table:
    """The five numbers that must be read together, and who lacks which in how many cells."""
    return Table(
        name="stochastic_five",
        title="Five numbers, to be read together",
        columns=("model", "cells", *FIVE.values()),
        rows=[[source, mine.total, *(mine[key] for key in FIVE)] for source, mine in numbers.items()],
        note="No column alone tells a good model from a bad one: a collapsed model has full precision, an "
        "over-dispersed one full recall. Rank width above 1 is overconfident, below 1 too wide." + _lacking(numbers),
    )


def _lacking(numbers: Mapping[str, Numbers]) -> str:
    """Which numbers are not of all cells."""
    sentences = []
    for source, mine in numbers.items():
        by_count: dict[int, list[str]] = defaultdict(list)
        for key, title in FIVE.items():
            by_count[mine.cells.get(key, 0)].append(title)
        sentences += [
            f" {source}: {', '.join(titles)} of {count} of {counted(mine.total, 'cell')} only; the remarks say why."
            for count, titles in by_count.items()
            if count < mine.total
        ]
    return "".join(sentences)


def _benchmark_table(found: Mapping[str, Sequence[Result]]) -> Table:
    rows = []
    rng = np.random.default_rng(0)
    for source, results in found.items():
        records = [r.data["record"] for r in results]
        for column, one in summarise(records).items():
            known = np.array([r.get(column, math.nan) for r in records], np.float64)
            known = known[~np.isnan(known)]
            interval = mean_interval(known, rng, draws=300) if len(known) else None
            low, high = (interval.low, interval.high) if interval else (math.nan, math.nan)
            rows.append([source, column, one.mean, one.std, low, high, one.cells, one.missing])
    return Table(
        name="stochastic_columns",
        title="All columns of the benchmark",
        columns=("model", "column", "mean", "std over cells", "95 % from", "to", "cells", "without a value"),
        rows=rows,
        note="Plain mean and sample standard deviation over cells as published; the interval draws whole cells.",
    )


def _calibration_table(found: Mapping[str, Sequence[Result]], numbers: Mapping[str, Numbers]) -> Table:
    rows = []
    for source, results in found.items():
        for (band, code), sums in sorted(pooled(results).items(), key=lambda item: _order(*item[0])):
            pixels = sums["pixels"]
            if not pixels:
                continue
            rows.append(
                [
                    source,
                    band,
                    "all" if code == ALL else LULC_CLASSES.get(code, str(code)),
                    sums["crps"] / pixels,
                    sums["ideal"] / pixels,
                    sums["bias"] / pixels,
                    root_ratio(sums["inflated"], sums["square_error"]),
                    int(pixels),
                ]
            )
    return Table(
        name="stochastic_calibration",
        title="Calibration by band and land cover",
        columns=(
            "model",
            "band",
            "land cover",
            "fair CRPS",
            "of the truth's own draws",
            "bias",
            "spread/error",
            "pixels",
        ),
        rows=rows,
        note=_rank_note(numbers),
    )


def _rank_note(numbers: Mapping[str, Numbers]) -> str:
    parts = []
    for source, mine in numbers.items():
        if mine.ranks and len(mine.ranks.by_cell) > 1:
            parts.append(f"{source}: chi-squared {mine.ranks.chi_squared:.0f}, p {mine.ranks.p_value:.2g}")
    few = any(mine.ranks and not mine.ranks.enough for mine in numbers.values())
    warning = f" Under {LEAST_CELLS} cells a rank histogram is noisy: read its width, not its bars." if few else ""
    return f"Flatness of ranks, corrected for pixels of one cell: {'; '.join(parts) or 'not known'}.{warning}"


def _physics_table(found: Mapping[str, Sequence[Result]]) -> Table:
    rows = []
    for source, results in found.items():
        values: dict[str, list[list[float]]] = defaultdict(list)
        for result in results:
            for name, pair in result.data["physics"].items():
                if np.isfinite(pair[:2]).all():
                    values[name].append(pair[:2])
        for name, pairs in sorted(values.items()):
            ours, real = np.array(pairs, np.float64).T
            title, _, code = name.rpartition(" ")
            label = f"{title} of {LULC_CLASSES[int(code)]}" if code.isdigit() else name
            rows.append([source, label, float(np.median(ours)), float(np.median(real)), len(pairs)])
    return Table(
        name="stochastic_physics",
        title="Is it physically possible?",
        columns=("model", "what", "generated, median", "real, median", "cells"),
        rows=rows,
        note="Reflectance without offset. Shares and differences beside those of the real acquisitions, which are not "
        "perfect either.",
    )


def _explanations(n: int, m: int) -> list[tuple[str, str]]:
    rows = []
    for column in (*SHOWN, *BEYOND):
        known = catalogue.explanation_of(column)
        if known and known.title not in [title for title, _ in rows]:
            rows.append((known.title, known.paragraph(n, m)))
    return rows


def _lacking_options(outcome: Outcome) -> list[str]:
    lines = list(outcome.settings.deep.missing)
    if outcome.settings.acquisitions < 16:
        lines.append(f"Deviation: at most {outcome.settings.acquisitions} acquisitions per cell instead of 16.")
    return lines


def _sizes(found: Mapping[str, Sequence[Result]]) -> tuple[int, int]:
    records = [r.data["record"] for results in found.values() for r in results]
    n = [r["real_n"] for r in records]
    m = [r["model_n"] for r in records]
    return (round(np.median(n)), round(np.median(m))) if records else (16, 16)


def _order(band: str, code: int) -> tuple[int, int]:
    return (L2A_BANDS.index(band) if band in L2A_BANDS else -1, code)
