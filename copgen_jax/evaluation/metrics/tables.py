"""The leave-one-out and best-of-n tables, from the reports and per-tile rows of many runs.

A run conditions on some modalities and generates the rest, once per seed. Its condition is what it was given among the
six modalities of the tables; cloud mask and date do not count. One run can serve several targets.
"""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.regression import LOWER_IS_BETTER

TARGETS = ("DEM", "LULC", "S1RTC", "S2L1C", "S2L2A", "lat_lon")
"""The modalities of the tables; each can be the target, the other five its conditions."""

_UNCOUNTED = ("cloud_mask", "timestamps")
_ALIASES = {"coords": "lat_lon"}

Row = Mapping[str, Any]
Selection = Callable[["Run", str], dict[str, Any] | None]
"""The columns that name a run's condition for a target; None where the run is not in the table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one model with one seed, and what its evaluation gave."""

    model: str
    given: frozenset[str]
    generated: frozenset[str]
    seed: int
    report: Mapping[str, Mapping[str, float]]
    """{modality: {metric: value over all tiles}}."""
    rows: Sequence[Row] = ()
    """One per tile and modality: {"tile_id", "modality", metric: value}."""

    def missing(self, target: str) -> tuple[str, ...]:
        """The other five that were not given, sorted."""
        return tuple(sorted(m for m in TARGETS if m != target and m not in self.given))


def run_from_files(*, model: str, directory: str, report: Iterable[str], rows: Iterable[Row]) -> Run:
    """A run from its directory's name, the lines of its report and its per-tile rows, in the original's formats.

    Raises:
        InputError: the directory's name is not input_..._output_..._seed_<n>.
    """
    given, generated, seed = run_name(directory)
    return Run(
        model=model,
        given=given,
        generated=generated,
        seed=seed,
        report=parse_report(report),
        rows=tuple({**row, "modality": _ALIASES.get(row["modality"], row["modality"])} for row in rows),
    )


def run_name(directory: str) -> tuple[frozenset[str], frozenset[str], int]:
    """(given, generated, seed) of the name of a run's directory.

    Raises:
        InputError: it is not input_..._output_..._seed_<n>.
    """
    match = re.fullmatch(r"input_(.*)_output_(.*)_seed_(\d+)", directory)
    if match is None:
        raise InputError(f"{directory!r} is not the name of a run; expected input_<given>_output_<generated>_seed_<n>")
    given, generated, seed = match.groups()
    return _modalities(given, directory), _modalities(generated, directory), int(seed)


def _modalities(joined: str, directory: str) -> frozenset[str]:
    """Names joined by "_", some of which contain one."""
    found = set()
    known = sorted((*TARGETS, *_UNCOUNTED, *_ALIASES), key=len, reverse=True)
    rest = joined
    while rest:
        name = next((name for name in known if rest == name or rest.startswith(f"{name}_")), None)
        if name is None:
            raise InputError(f"{directory!r}: {rest!r} does not begin with one of {', '.join(known)}")
        found.add(_ALIASES.get(name, name))
        rest = rest[len(name) + 1 :]
    return frozenset(found)


def parse_report(lines: Iterable[str]) -> dict[str, dict[str, float]]:
    """{modality: {metric: value}} of lines "[DEM] mae=0.2 per_class_iou=[0.1, 0.2] band:B02:mae=0.3".

    Lists become <metric>_0, <metric>_1; bands <band>_<metric>, those of the one-band DEM are left out.
    """
    report: dict[str, dict[str, float]] = {}
    for line in lines:
        head = re.match(r"\[(\w+)\]\s*", line)
        if head is None:
            continue
        scores: dict[str, float] = {}
        for name, many, one in re.findall(r"(\S+?)=(?:\[([^\]]*)\]|(\S+))", line[head.end() :]):
            if name.startswith("band:DEM:"):
                continue
            column = _column(name)
            if one:
                scores[column] = float(one)
            else:
                scores |= {f"{column}_{i}": float(value) for i, value in enumerate(many.split(",")) if value.strip()}
        report[_ALIASES.get(head[1], head[1])] = scores
    return report


def _column(metric: str) -> str:
    if metric.startswith("band:"):
        _, band, name = metric.split(":")
        return f"{band}_{name}"
    return metric.replace("@", "_at_")


def leave_one_out(run: Run, target: str) -> dict[str, Any] | None:
    """The condition if exactly one of the other five modalities was not given."""
    missing = run.missing(target)
    return {"leave_out": missing[0]} if len(missing) == 1 else None


def best_of_n(run: Run, target: str) -> dict[str, Any] | None:
    """The condition: all but the target, or what else was missing."""
    missing = run.missing(target)
    return {"condition_key": f"missing_{'+'.join(missing)}" if missing else "all_except_target"}


def over_seeds(runs: Iterable[Run], select: Selection) -> list[dict[str, Any]]:
    """From the reports: mean and population standard deviation over seeds, and `n_samples` reports."""
    records = []
    for record, target, group in _groups(runs, select):
        scores = [run.report[target] for run in group if target in run.report]
        if not scores:
            continue
        for metric in dict.fromkeys(m for s in scores for m in s):
            record |= _mean_and_std(metric, [s[metric] for s in scores if metric in s])
        records.append(record | {"n_samples": len(scores)})
    return records


def tile_mean_std(runs: Iterable[Run], select: Selection) -> list[dict[str, Any]]:
    """Per tile the mean over seeds; then mean and population standard deviation over tiles."""
    records = []
    for record, target, group in _groups(runs, select):
        tiles = _tiles(group, target)
        for metric in _metrics(tiles):
            per_tile = [float(np.mean(values[metric])) for values in tiles.values() if metric in values]
            record |= _mean_and_std(metric, per_tile)
        if tiles:
            records.append(record | _counts(tiles, group))
    return records


def best_per_tile(runs: Iterable[Run], select: Selection) -> list[dict[str, Any]]:
    """Per tile the best value over seeds, for each metric apart; then the mean over tiles. The published selection.

    An oracle chooses, and another sample for every metric. `n_runs` belongs beside every such number.
    """
    records = []
    for record, target, group in _groups(runs, select):
        tiles = _tiles(group, target)
        for metric in _metrics(tiles):
            best = min if metric in LOWER_IS_BETTER else max
            record[metric] = float(np.mean([best(values[metric]) for values in tiles.values() if metric in values]))
        if tiles:
            records.append(record | _counts(tiles, group))
    return records


def best_run_per_tile(runs: Iterable[Run], select: Selection, *, by: str) -> list[dict[str, Any]]:
    """Per tile the one sample that is best in metric `by`, with all metrics of that sample; then the mean over tiles.

    Still an oracle's choice, but every tile's numbers belong to one image.
    """
    records = []
    better = min if by in LOWER_IS_BETTER else max
    for record, target, group in _groups(runs, select):
        tiles: dict[str, list[dict[str, float]]] = defaultdict(list)
        for run in group:
            for row in run.rows:
                scores = _scores(row) if row["modality"] == target else {}
                if by in scores and not np.isnan(scores[by]):
                    tiles[row["tile_id"]].append(scores)
        chosen = [better(rows, key=lambda scores: scores[by]) for rows in tiles.values()]
        for metric in dict.fromkeys(m for scores in chosen for m in scores):
            record[metric] = float(np.mean([scores[metric] for scores in chosen if metric in scores]))
        if chosen:
            records.append(record | _counts(tiles, group))
    return records


def _groups(runs: Iterable[Run], select: Selection) -> list[tuple[dict[str, Any], str, list[Run]]]:
    """Runs that differ in the seed alone: the columns that name them, their target, and the runs."""
    groups: dict[tuple, tuple[dict[str, Any], str, list[Run]]] = {}
    for run in runs:
        for target in TARGETS:
            condition = select(run, target) if target in run.generated else None
            if condition is None:
                continue
            record = {"model": run.model} | {f"input_{m}": int(m in run.given) for m in TARGETS}
            record |= {"target": target} | condition
            groups.setdefault(tuple(record.values()), (record, target, []))[2].append(run)
    return [groups[key] for key in sorted(groups)]


def _tiles(runs: Sequence[Run], target: str) -> dict[str, dict[str, list[float]]]:
    """{tile: {metric: values over seeds}}."""
    tiles: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for row in run.rows:
            if row["modality"] == target:
                values = tiles.setdefault(row["tile_id"], defaultdict(list))
                for metric, value in _scores(row).items():
                    values[metric].append(value)
    return tiles


def _scores(row: Row) -> dict[str, float]:
    """The numbers of a row over all bands."""
    named = ("tile_id", "modality")
    return {_column(k): float(v) for k, v in row.items() if k not in named and _is_overall(k, v)}


def _is_overall(metric: str, value: Any) -> bool:
    return value is not None and not metric.startswith(("band:", "per_class"))


def _metrics(tiles: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    return sorted({metric for values in tiles.values() for metric in values})


def _mean_and_std(metric: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{metric}_mean": float(np.mean(values)), f"{metric}_std": float(np.std(values))}


def _counts(tiles: Mapping[str, Any], runs: Sequence[Run]) -> dict[str, int]:
    return {"n_tiles": len(tiles), "n_runs": len({run.seed for run in runs})}
