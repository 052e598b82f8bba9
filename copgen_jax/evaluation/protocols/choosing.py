"""What every section says: its settings and deviations, what was wrong with cells, which cells to look at."""

import math
from collections.abc import Mapping, Sequence

from copgen_jax.evaluation.protocols.protocol import Outcome
from copgen_jax.evaluation.protocols.results import Result
from copgen_jax.evaluation.report.content import Check, Figure, Section, Table, counted, number

FEW_CELLS = 20
"""Below this many cells a report says how little they prove."""
MOST_LINES = 3
"""Sets of conditions that are told one by one."""


def section(
    outcome: Outcome,
    *,
    tables: Sequence[Table],
    figures: Sequence[Figure] = (),
    explanations: Sequence[tuple[str, str]] = (),
    checks: Mapping[str, Sequence[Check]] | None = None,
    settings: Sequence[str] = (),
) -> Section:
    """A protocol's section: what is shown, between its question, settings and deviations, and the remarks on cells."""
    return Section(
        title=outcome.protocol.title,
        asks=outcome.protocol.asks,
        settings=[*_conditions(outcome), *_deviations(outcome), *settings],
        checks=checks or {},
        tables=tables,
        figures=figures,
        explanations=explanations,
        problems=_problems(outcome),
    )


def _conditions(outcome: Outcome) -> list[str]:
    """Data, conditions, seeds, and how much so many cells prove."""
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
    cells = len(_cells(outcome))
    if cells < FEW_CELLS:
        lines.append(f"{counted(cells, 'cell')} can prove little: differences of a few tens of percent are chance.")
    return lines


def _deviations(outcome: Outcome) -> list[str]:
    """Whatever differs from the published protocol: cells, conditions, seeds, and what this package does otherwise."""
    protocol = outcome.protocol
    lines = [*protocol.differs, *(protocol.differs_on_world if outcome.bench.synthetic else ())]
    there = len(set(protocol.cells) & _cells(outcome))
    if there < len(protocol.cells):
        lines.append(f"Of the published cells ({len(protocol.cells)}) the data has {there or 'none, others serve'}.")
    lines += [line for source in outcome.sources if (line := _without_numbers(outcome, source))]
    for source in outcome.sources:
        absent, foreign = (len(cells.get(source, ())) for cells in (outcome.absent, outcome.foreign))
        if absent or foreign:
            lines.append(
                f"{source} lacks {counted(absent, 'cell')} of the data and has {counted(foreign, 'cell')} that the "
                f"data lacks; compared are those of both."
            )
    every = protocol.experiments(outcome.bench.modalities, outcome.bench.synthetic)
    published = max((e.count for e in every), default=0)
    if outcome.settings.seeds is not None and outcome.settings.seeds < published:
        lines.append(f"At most {outcome.settings.seeds} seeds are used; best-of-n numbers depend on n.")
    remarks = {sentence for _, _, sentence in _problems(outcome)}
    lines += sorted(remark.split(": ", 1)[1] for remark in remarks if remark.startswith("not given: "))
    return [f"Deviation: {line}" for line in lines]


def _without_numbers(outcome: Outcome, source: str) -> str:
    """Why a source has no numbers, of all conditions or of some; empty where it has them or could not have them."""
    found = {e.label or e.name: outcome.of(source, e) for e in outcome.experiments}
    every = [result for results in found.values() for result in results]
    if every and not any(result.data for result in every):
        why = next((result.problems[-1] for result in every if result.problems), "no reason is known")
        return f"{source} has no numbers here; none of its cells could be scored ({why})."
    lacking = [label for label, results in found.items() if not results]
    if not lacking or outcome.kinds[source] != "predictions":
        return ""
    return f"{source} has no runs with these conditions, on these cells: {'; '.join(lacking)}."


def _cells(outcome: Outcome) -> set[str]:
    return {result.cell for results in outcome.results.values() for result in results}


def _problems(outcome: Outcome) -> list[tuple[str, str, str]]:
    """(source, cell, sentence) of everything that was odd."""
    found = []
    for source in outcome.sources:
        found += [
            (source, cell, "no samples of this cell: in the data only") for cell in outcome.absent.get(source, ())
        ]
        found += [(source, cell, "not in the data: in the samples only") for cell in outcome.foreign.get(source, ())]
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
