"""What every section says: its settings and deviations, what was wrong with cells, which cells to look at."""

import math
from collections.abc import Mapping, Sequence

from copgen_jax.evaluation.protocols.protocol import Outcome
from copgen_jax.evaluation.protocols.results import Result
from copgen_jax.evaluation.report.content import Figure, counted, number

FEW_CELLS = 20
"""Below this many cells a report says how little they prove."""
MOST_LINES = 3
"""Sets of conditions that are told one by one."""


def settings_of(outcome: Outcome) -> list[str]:
    """Conditions, seeds, cells and deviations that hold for all sources."""
    lines = [f"Data: {outcome.bench.description}."]
    if len(outcome.experiments) <= MOST_LINES:
        for e in outcome.experiments:
            what = f"Given {e.label or ', '.join(e.given)}; compared {', '.join(e.want)}"
            lines.append(f"{what}; {min(e.count, len(e.pool))} seeds; everything else is sampled jointly.")
    else:
        labels = "; ".join(e.label or ", ".join(e.given) for e in outcome.experiments)
        seeds = max(min(e.count, len(e.pool)) for e in outcome.experiments)
        lines.append(
            f"{len(outcome.experiments)} sets of conditions, up to {seeds} seeds each, everything else sampled along: "
            f"{labels}."
        )
    cells = {r.cell for results in outcome.results.values() for r in results}
    if len(cells) < FEW_CELLS:
        lines.append(
            f"{counted(len(cells), 'cell')} can prove little: differences of a few tens of percent are chance."
        )
    for source in outcome.sources:
        mine = [r for e in outcome.experiments for r in outcome.of(source, e)]
        if mine and not any(r.data for r in mine):
            why = next((r.problems[-1] for r in mine if r.problems), "no reason is known")
            lines.append(f"Deviation: {source} has no numbers here; none of its cells could be scored ({why}).")
    if outcome.settings.seeds is not None:
        lines.append(f"Deviation: at most {outcome.settings.seeds} seeds are used; best-of-n numbers depend on n.")
    left_out = {
        problem.split(": ", 1)[1]
        for results in outcome.results.values()
        for r in results
        for problem in r.problems
        if problem.startswith("not given: ")
    }
    lines += [f"Deviation: {what}" for what in sorted(left_out)]
    return lines


def problems_of(outcome: Outcome) -> list[tuple[str, str, str]]:
    """(source, cell, sentence) of everything that was odd."""
    found = []
    for source in outcome.sources:
        for experiment in outcome.experiments:
            for result in outcome.of(source, experiment):
                found += [(source, result.cell, problem) for problem in result.problems]
    return list(dict.fromkeys(found))


def show_best_and_worst(found: Mapping[str, Sequence[Result]], group: str, column: str, what: str) -> list[Figure]:
    """Best, median and worst cell of each source by one number."""
    figures = []
    for source, results in found.items():
        ranked = sorted(
            (r for r in results if r.picture and not math.isnan(r.data[group].get(column, math.nan))),
            key=lambda r: r.data[group][column],
        )
        if not ranked:
            continue
        chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
        unique: dict[str, tuple[str, Result]] = {}
        for label, result in chosen.items():
            unique.setdefault(result.cell, (label, result))
        figures.append(
            Figure(
                title=f"{source}: best, median and worst cell",
                caption=f"True acquisitions above, samples below; true colour 0 to 0.3. Chosen by {what}.",
                pictures=[
                    (f"{label}: {r.cell}, {number(float(r.data[group][column]))}", r.picture)
                    for label, r in unique.values()
                ],
            )
        )
    return figures
