"""The section of the stochastic benchmark: the five numbers that tell models apart, then everything else."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from copgen_jax.evaluation.metrics import catalogue
from copgen_jax.evaluation.metrics.bootstrap import mean_interval
from copgen_jax.evaluation.metrics.calibration import ALL
from copgen_jax.evaluation.metrics.distribution import L2A_BANDS, ideal_nn_accuracy
from copgen_jax.evaluation.metrics.ranks import LEAST_CELLS, RankHistogram
from copgen_jax.evaluation.metrics.stochastic import summarise
from copgen_jax.evaluation.protocols.choosing import problems_of, settings_of, show_best_and_worst
from copgen_jax.evaluation.protocols.protocol import Outcome
from copgen_jax.evaluation.protocols.results import Result
from copgen_jax.evaluation.report import published
from copgen_jax.evaluation.report.content import Check, Figure, Section, Table
from copgen_jax.evaluation.report.drawing import rank_bars
from copgen_jax.evaluation.simulators import IDEAL
from copgen_jax.modalities import LULC_CLASSES

NOWHERE = (-math.inf, math.inf)

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
            svg=rank_bars(
                {source: histogram.counts for source, mine in numbers.items() if (histogram := mine["ranks"])}
            ),
        ),
        *show_best_and_worst(found, "record", "model_wasserstein_mean", "Wasserstein distance of the band means"),
    ]
    return Section(
        title=outcome.protocol.title,
        asks=outcome.protocol.asks,
        settings=[*settings_of(outcome), *_deviations(outcome)],
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
        problems=problems_of(outcome),
    )


def source_numbers(results: Sequence[Result]) -> dict[str, Any]:
    """What tells models apart, over the cells of one source; NaN where nothing is known."""
    records = [r.data["record"] for r in results]
    summary = summarise(records)
    total = pooled(results)
    per_cell = [_cell_bias(r) for r in results]
    ranks = histogram(results)

    def mean(column: str) -> float:
        return summary[column].mean if column in summary else math.nan

    everything = total.get(("all", ALL), {})
    widths = [(r["model_spec_intra_set_dist"], r["real_spec_intra_set_dist"]) for r in records if _has_width(r)]
    return {
        # of sums, so that one cell with hardly any real spread does not decide
        "ratio": sum(w[0] for w in widths) / sum(w[1] for w in widths) if widths else math.nan,
        "precision": mean("model_spec_precision"),
        "recall": mean("model_spec_recall"),
        "recall_centred": mean("model_spec_recall_centred"),
        "nn": mean("model_spec_nn_accuracy"),
        "bias": float(np.nanmean(per_cell)) if np.isfinite(per_cell).any() else math.nan,
        "rank_bias": ranks.bias if ranks else math.nan,
        "rank_width": ranks.width if ranks else math.nan,
        "spread_skill": _ratio(everything.get("inflated"), everything.get("square_error")),
        "crps": _ratio_plain(everything.get("crps"), everything.get("ideal")),
        "wasserstein": mean("model_wasserstein_mean"),
        "cells": len(results),
        "n": mean("real_n"),
        "m": mean("model_n"),
        "ranks": ranks,
        "physics": _physics_means(results),
    }


def checks_of(mine: Mapping[str, Any], ideal: Mapping[str, Any] | None) -> list[Check]:
    """What the numbers of one source say, beside the ideal row where there is one, else beside formulas."""
    cells = int(mine["cells"])
    n, m = round(mine["n"]), round(mine["m"]) if not math.isnan(mine["m"]) else 0
    nn = ideal["nn"] if ideal else ideal_nn_accuracy(n, m) if n + m > 1 else math.nan
    precision, recall = (ideal[k] if ideal else 0.96 for k in ("precision", "recall_centred"))

    def check(question, what, value, ideal_value, good, fair, below="", above=""):
        return Check(
            question=question, what=what, value=value, ideal=ideal_value, good=good, fair=fair, cells=cells,
            below=below, above=above,
        )  # fmt: skip

    narrow, wide, centred = "too narrow", "too wide", mine["recall_centred"]
    found = [
        check("faithful", "1-NN accuracy, spectra", mine["nn"], nn, (0.0, nn + 0.1), (0.0, 0.85), above="told apart"),
        check("faithful", "bias, reflectance", mine["bias"], 0.0, (-0.01, 0.01), (-0.03, 0.03), "dark", "bright"),
        check("faithful", "precision", mine["precision"], precision, (precision - 0.1, 1.0), (0.5, 1.0), "implausible"),
        check("diverse", "intra-set distance over real", mine["ratio"], 1.0, (0.85, 1.18), (0.6, 1.7), narrow, wide),
        check("diverse", "recall, sets centred", centred, recall, (recall - 0.1, 1.0), (0.5, 1.0), narrow),
        check(
            "calibrated", "rank histogram, width", mine["rank_width"], 1.0, (0.88, 1.14), (0.7, 1.5),
            "underconfident", "overconfident",
        ),
        check(
            "calibrated", "rank histogram, bias", mine["rank_bias"], 0.0, (-0.04, 0.04), (-0.12, 0.12),
            "biased high", "biased low",
        ),
        check(
            "calibrated", "spread over error", mine["spread_skill"], 1.0, (0.85, 1.18), (0.6, 1.7),
            "overconfident", "underconfident",
        ),
    ]  # fmt: skip
    values = mine["physics"]
    if "ndvi" in values:
        found.append(
            check(
                "physical",
                "NDVI less real, by class",
                values["ndvi"],
                0.0,
                (-0.03, 0.03),
                (-0.1, 0.1),
                "too brown",
                "too green",
            )
        )
    if "fine power" in values:
        found.append(
            check(
                "physical",
                "fine texture over real",
                values["fine power"],
                1.0,
                (0.7, 1.4),
                (0.35, 2.5),
                "smooth",
                "noisy",
            )
        )
    if "path radiance negative" in values:
        real = values["path radiance negative, real"]
        found.append(
            check(
                "physical", "L1C below L2A in blue, share", values["path radiance negative"], real,
                (0.0, real + 0.05), (0.0, real + 0.2), above="levels contradict",
            )
        )  # fmt: skip
    if "looks" in values:
        found.append(
            check(
                "physical",
                "radar looks over real",
                values["looks"],
                1.0,
                (0.7, 1.4),
                (0.4, 2.5),
                "grainy radar",
                "smooth radar",
            )
        )
    return found


def five_table(numbers: Mapping[str, Mapping[str, Any]]) -> Table:
    """The five numbers that must be read together."""
    columns = (
        "model", "cells", "intra-set ratio", "precision", "recall", "bias", "rank width", "rank bias",
        "1-NN accuracy", "spread/error", "CRPS/ideal",
    )  # fmt: skip
    keys = ("ratio", "precision", "recall", "bias", "rank_width", "rank_bias", "nn", "spread_skill", "crps")
    return Table(
        name="stochastic_five",
        title="Five numbers, to be read together",
        columns=columns,
        rows=[[source, mine["cells"], *(mine[key] for key in keys)] for source, mine in numbers.items()],
        note="No column alone tells a good model from a bad one: a collapsed model has full precision, an "
        "over-dispersed one full recall. Rank width above 1 is overconfident, below 1 too wide.",
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


def _cell_bias(result: Result) -> float:
    parts = [p for p in result.data["calibration"].get("parts", ()) if p["class"] == ALL and p["pixels"]]
    return float(np.mean([p["bias"] / p["pixels"] for p in parts])) if parts else math.nan


def _physics_means(results: Sequence[Result]) -> dict[str, float]:
    """Over cells: NDVI differences weighted by pixels, ratios as medians, shares as means."""
    ndvi, out = [], {}
    for result in results:
        ndvi += [v for key, v in result.data["physics"].items() if key.startswith("ndvi ")]
    known = [(ours - real, pixels) for ours, real, pixels in ndvi if not math.isnan(ours - real)]
    if known:
        differences, pixels = np.array(known).T
        out["ndvi"] = float(np.average(differences, weights=pixels))
    for name, how in (("fine power", np.median), ("path radiance negative", np.mean), ("looks", None)):
        pairs = [r.data["physics"][name] for r in results if name in r.data["physics"]]
        pairs = [pair for pair in pairs if np.isfinite(pair).all()]
        if not pairs:
            continue
        ours, real = np.array(pairs, np.float64).T
        if how is None:
            out[name] = float(np.median(ours / real))
        else:
            out |= {name: float(how(ours)), f"{name}, real": float(how(real))}
    return out


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


def _calibration_table(found: Mapping[str, Sequence[Result]], numbers: Mapping[str, Any]) -> Table:
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
                    _ratio(sums["inflated"], sums["square_error"]),
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


def _rank_note(numbers: Mapping[str, Any]) -> str:
    parts = []
    for source, mine in numbers.items():
        ranks: RankHistogram | None = mine["ranks"]
        if ranks is not None and len(ranks.by_cell) > 1:
            parts.append(f"{source}: chi-squared {ranks.chi_squared:.0f}, p {ranks.p_value:.2g}")
    few = any(mine["ranks"] and not mine["ranks"].enough for mine in numbers.values())
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
    for column in (*SHOWN, "rank_histogram", "fair_crps", "spread_skill", "ndvi", "path_radiance", "fine_power"):
        known = catalogue.explanation_of(column)
        if known and known.title not in [title for title, _ in rows]:
            rows.append((known.title, known.paragraph(n, m)))
    return rows


def _deviations(outcome: Outcome) -> list[str]:
    lines = list(outcome.settings.deep.missing)
    if outcome.bench.synthetic:
        lines.append(
            "Deviation: the place is given too, because the world's exact draws are those given DEM, land cover and "
            "place; acquisitions are its draws with a clear sky."
        )
    elif outcome.settings.acquisitions < 16:
        lines.append(f"Deviation: at most {outcome.settings.acquisitions} acquisitions per cell instead of 16.")
    lines.append("Coarser bands are repeated to the 10 m grid; how the published data set did it is not known.")
    return lines


def _sizes(found: Mapping[str, Sequence[Result]]) -> tuple[int, int]:
    records = [r.data["record"] for results in found.values() for r in results]
    n = [r["real_n"] for r in records]
    m = [r["model_n"] for r in records]
    return (round(np.median(n)), round(np.median(m))) if records else (16, 16)


def _has_width(record: Mapping[str, float]) -> bool:
    pair = record.get("model_spec_intra_set_dist", math.nan), record["real_spec_intra_set_dist"]
    return bool(np.isfinite(pair).all())


def _ratio(a: float | None, b: float | None) -> float:
    return math.sqrt(a / b) if a is not None and b is not None and a >= 0 and b > 0 else math.nan


def _ratio_plain(a: float | None, b: float | None) -> float:
    return a / b if a is not None and b is not None and b > 0 else math.nan


def _order(band: str, code: int) -> tuple[int, int]:
    return (L2A_BANDS.index(band) if band in L2A_BANDS else -1, code)
