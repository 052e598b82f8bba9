"""Sections of best of n, leave-one-out, band infilling and place: the published tables from the stored sums."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from copgen_jax.evaluation.metrics import catalogue, tables
from copgen_jax.evaluation.protocols.choosing import section
from copgen_jax.evaluation.protocols.maps import place_map
from copgen_jax.evaluation.protocols.protocol import Outcome
from copgen_jax.evaluation.protocols.results import Result
from copgen_jax.evaluation.protocols.single import MODALITIES, scores_of
from copgen_jax.evaluation.report import published
from copgen_jax.evaluation.report.content import Figure, Section, Table

METRICS: Mapping[str, tuple[str, ...]] = {
    "DEM": ("mae", "rmse", "ssim", "psnr"),
    "S1RTC": ("mae", "rmse", "ssim", "psnr"),
    "S2L1C": ("mae", "rmse", "ssim", "psnr"),
    "S2L2A": ("mae", "rmse", "ssim", "psnr"),
    "LULC": ("overall_top1", "mean_iou", "fw_iou", "mean_f1"),
    "lat_lon": ("median_km", "mean_km", "std_km", "rmse_km"),
}
"""Metrics of the published tables, by target. Top-3 is left out: of hard labels it means nothing."""
KINDS = {target: {"LULC": "land cover", "lat_lon": "place"}.get(target, "images") for target in METRICS}
TITLES = {
    "mae": "MAE", "rmse": "RMSE", "ssim": "SSIM", "psnr": "PSNR", "overall_top1": "top-1", "mean_iou": "mean IoU",
    "fw_iou": "weighted IoU", "mean_f1": "mean F1", "median_km": "median km", "mean_km": "mean km", "std_km": "std km",
    "rmse_km": "RMS km",
}  # fmt: skip
READABLE = {"lat_lon": "location"}

PUBLISHED_NAMES = {"location": "lat_lon", "timestamp": "timestamps"}
UNITS = "MAE and RMSE: reflectance, dB, metres; SSIM and PSNR after scaling by the truth's range; places in km."


def summarise_tables(outcome: Outcome) -> Section:
    """Best of n, or leave-one-out."""
    peak = outcome.protocol.name == "peak"
    select = tables.best_of_n if peak else tables.leave_one_out
    condition = "condition_key" if peak else "leave_out"
    every = [run for source in outcome.sources for run in runs_of(outcome, source)]
    over_seeds = tables.over_seeds(every, select)
    over_tiles = tables.tile_mean_std(every, select)
    best = tables.best_per_tile(every, select)
    one = [
        row
        for target in dict.fromkeys(record["target"] for record in best)
        for row in tables.best_run_per_tile(every, select, by=METRICS[target][0])
        if row["target"] == target
    ]
    name = outcome.protocol.name.replace("-", "_")
    made = {
        "best": _tables(
            f"{name}_best", "Best over seeds, per tile and metric", best, condition, spread=False, note=_BEST,
            folded=not peak,
        ),
        "one": _tables(
            f"{name}_best_image", "Best image per tile", one, condition, spread=False, folded=True,
            note="As the best over seeds, but chosen once, by the first metric: all numbers are of one image.",
        ),
        "tiles": _tables(
            f"{name}_tiles", "Mean over seeds, then over tiles", over_tiles, condition, spread=True, note=UNITS,
            folded=peak,
        ),
        "runs": _tables(
            f"{name}_runs", "Over seeds, all tiles pooled", over_seeds, condition, spread=True, note=UNITS, folded=True
        ),
    }  # fmt: skip
    order = ("best", "one", "tiles", "runs") if peak else ("tiles", "runs", "best", "one")
    shown = [table for key in order for table in made[key]]
    cells = _cells(outcome)
    more = published.peak_tables(outcome, cells) if peak else []
    return section(
        outcome,
        settings=[*filter(None, [published.why_not(outcome, cells)])],
        tables=[*shown, *more],
        figures=_pictures(outcome),
        explanations=_explanations(("mae", "ssim", "psnr", "overall_top1", "mean_iou", "km", "best_of_n")),
    )


_BEST = (
    "An oracle that knows the truth chooses, and another sample for every metric, as published. It grows with n and "
    f"says nothing about calibration: compare only rows of the same n. {UNITS}"
)


def summarise_infilling(outcome: Outcome) -> Section:
    """Errors per wanted band, for every split of a product."""
    rows: list[list[str | float | int]] = []
    for experiment in outcome.experiments:
        for source in outcome.sources:
            parts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
            cells = set()
            for result in outcome.of(source, experiment):
                for row in result.data.get("rows", ()):
                    parts[row["target"]].append(row["sums"])
                    cells.add(result.cell)
            for sums in parts.values():
                scores = scores_of(sums)
                bands = [key.split(":")[1] for key in scores if key.startswith("band:") and key.endswith(":mae")]
                for band in bands:
                    values = [float(scores[f"band:{band}:{metric}"]) for metric in ("mae", "rmse", "ssim", "psnr")]
                    rows.append([experiment.label, source, band, *values, len(cells)])
    return section(
        outcome,
        tables=[
            Table(
                name="band_infilling",
                title="Errors per band",
                columns=("given", "model", "band", "MAE", "RMSE", "SSIM", "PSNR", "cells"),
                rows=rows,
                note=f"All seeds and cells pooled. {UNITS}",
            )
        ],
        explanations=_explanations(("mae", "ssim", "psnr")),
    )


DISTANCES: Mapping[str, str] = {
    "median_km": "median km", "mean_km": "mean km", "std_km": "std km", "rmse_km": "RMS km", "p90_km": "90 % km",
    "p95_km": "95 % km", "p99_km": "99 % km", "acc@1km": "within 1 km", "acc@10km": "10 km", "acc@50km": "50 km",
    "acc@100km": "100 km", "acc@500km": "500 km",
}  # fmt: skip
"""Those of the published evaluation, and their columns."""


def summarise_location(outcome: Outcome) -> Section:
    """Distances to the true place, and a map of all generated ones."""
    rows: list[list[str | float | int]] = []
    clouds: dict[str, list[tuple[float, float]]] = {}
    truths: set[tuple[float, float]] = set()
    for source in outcome.sources:
        found = [r for e in outcome.experiments for r in outcome.of(source, e) if r.data]
        parts = [row["sums"] for result in found for row in result.data["rows"]]
        if not parts:
            continue
        scores = scores_of(parts)
        rows.append([source, *(float(scores[key]) for key in DISTANCES), len(found), len(parts)])
        clouds[source] = [tuple(place) for part in parts for place in part["places"]]
        truths |= {tuple(part["truth"]) for part in parts}
    columns = ("model", *DISTANCES.values(), "cells", "samples")
    figures = []
    if clouds:
        figures.append(
            Figure(
                title="Generated places",
                caption="Dots: generated places, one per seed and cell. Crosses: the true places.",
                svg=place_map(clouds, sorted(truths), outcome.settings.climate),
            )
        )
    return section(
        outcome,
        tables=[Table(name="location", title="Distance to the true place", columns=columns, rows=rows)],
        figures=figures,
        explanations=_explanations(("km",)),
    )


def runs_of(outcome: Outcome, source: str) -> list[tables.Run]:
    """The stored sums of one source as runs, one per experiment and seed."""
    found = []
    # What the models and the data do not have at all is not what was left out.
    beyond = [target for target in MODALITIES if target not in outcome.bench.modalities.products]
    for experiment in outcome.experiments:
        by_seed: dict[int, list[tuple[str, str, Mapping[str, Any]]]] = defaultdict(list)
        for result in outcome.of(source, experiment):
            for row in result.data.get("rows", ()):
                by_seed[row["seed"]].append((result.cell, row["target"], row["sums"]))
        for seed, parts in sorted(by_seed.items()):
            targets = list(dict.fromkeys(target for _, target, _ in parts))
            found.append(
                tables.Run(
                    model=source,
                    given=frozenset(_published([*experiment.given, *beyond])),
                    generated=frozenset(_published(targets)),
                    seed=seed,
                    report={
                        _published([t])[0]: _overall(scores_of([sums for _, target, sums in parts if target == t]))
                        for t in targets
                    },
                    rows=[
                        {"tile_id": cell, "modality": _published([target])[0], **_overall(scores_of([sums]))}
                        for cell, target, sums in parts
                    ],
                )
            )
    return found


def _published(names: Sequence[str]) -> list[str]:
    return [PUBLISHED_NAMES.get(name, name) for name in names]


def _overall(scores: Mapping[str, Any]) -> dict[str, float]:
    return {k: float(v) for k, v in scores.items() if not isinstance(v, list) and not k.startswith("band:")}


def _tables(
    name: str,
    title: str,
    records: Sequence[Mapping[str, Any]],
    condition: str,
    *,
    spread: bool,
    note: str,
    folded: bool = False,
) -> list[Table]:
    """Images, land cover and place, which have other metrics: a row per target, condition and model in each."""
    found = []
    for kind, metrics in dict.fromkeys((KINDS[target], METRICS[target]) for target in METRICS):
        mine = [record for record in records if KINDS[record["target"]] == kind]
        mine.sort(key=lambda r: (list(METRICS).index(r["target"]), str(r[condition]), r["model"]))
        rows = []
        for record in mine:
            cells: list[str | float | int] = [READABLE.get(str(record["target"]), str(record["target"]))]
            cells += [_readable(str(record[condition])), record["model"]]
            for metric in metrics:
                cells += [record.get(f"{metric}_{end}", math.nan) for end in ("mean", "std")] if spread else []
                cells += [] if spread else [record.get(metric, math.nan)]
            rows.append([*cells, int(record.get("n_runs", record.get("n_samples", 0)))])
        names = [column for metric in metrics for column in ((TITLES[metric], "±") if spread else (TITLES[metric],))]
        columns = ("target", "condition", "model", *names, "n seeds")
        heading = f"{title}: {kind}"
        table_name = f"{name}_{kind.replace(' ', '_')}"
        found.append(Table(name=table_name, title=heading, columns=columns, rows=rows, note=note, folded=folded))
    return found


def _readable(condition: str) -> str:
    if condition == "all_except_target":
        return "everything else given"
    return f"without {condition.removeprefix('missing_').replace('lat_lon', 'location')}"


def _cells(outcome: Outcome) -> set[str]:
    return {result.cell for results in outcome.results.values() for result in results if result.data}


def _pictures(outcome: Outcome) -> list[Figure]:
    """The first experiments' best, median and worst cell by the first metric's mean over seeds, per source."""
    figures = []
    for source in outcome.sources:
        shown: list[tuple[str, bytes]] = []
        for experiment in outcome.experiments[:8]:
            ranked = [
                (value, r) for r in outcome.of(source, experiment) if r.picture and not math.isnan(value := _mean(r))
            ]
            ranked.sort(key=lambda pair: pair[0])
            if ranked:
                value, result = ranked[len(ranked) // 2]
                shown.append((f"{experiment.label}: {result.cell}", result.picture))
        if shown:
            figures.append(
                Figure(
                    title=f"{source}: the median cell of each set of conditions",
                    caption="First the true image, then samples; fixed stretches, so that pictures can be compared.",
                    pictures=shown,
                )
            )
    return figures


def _mean(result: Result) -> float:
    rows = result.data.get("rows", ())
    values = [float(scores_of([row["sums"]]).get("mae", math.nan)) for row in rows if "total" in row["sums"]]
    values += [-float(scores_of([row["sums"]])["overall_top1"]) for row in rows if "matrix" in row["sums"]]
    return float(np.mean(values)) if values else math.nan


def _explanations(names: Sequence[str]) -> list[tuple[str, str]]:
    known = [catalogue.CATALOGUE[name] for name in names if name in catalogue.CATALOGUE]
    return [(one.title, one.paragraph()) for one in known]
