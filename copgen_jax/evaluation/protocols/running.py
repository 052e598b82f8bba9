"""Running protocols: cell by cell, source by source, each cell written when it is done.

Cells are taken some at a time, so that a network's batches are full; work that is done is never done again. With
`shard` = (i, n) a process takes every n-th cell from the i-th; all write to the same directory, and whoever renders
the report afterwards finds the cells of all.
"""

import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.protocols.protocol import Outcome, Protocol, Settings
from copgen_jax.evaluation.protocols.results import Result, Results, to_plain
from copgen_jax.evaluation.scenes import Bench, Scene
from copgen_jax.evaluation.sources import NetworkSource, Sample, SampleSource, check_names
from copgen_jax.files import file_aside
from copgen_jax.progress import Track, silently

PLAN = "plan.json"
AT_ONCE = 4
"""Cells drawn together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One protocol on one bench."""

    protocol: Protocol
    bench: Bench
    cells: tuple[str, ...]
    experiments: tuple[Experiment, ...]

    def scene(self, cell: str, settings: Settings) -> Scene:
        """A cell with the acquisitions that the protocol needs.

        Raises:
            InputError: the cell cannot be read.
        """
        many = self.protocol.acquisitions
        return self.bench.scene(cell, settings.acquisitions if many else 1, clear=many)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything that one call evaluates."""

    tasks: tuple[Task, ...]
    sources: tuple[SampleSource, ...]
    settings: Settings
    out: Path

    def steps(self) -> Iterator[tuple[Task, SampleSource, Experiment, str, int]]:
        """(task, source, experiment, cell, number of samples) of everything, done or not."""
        for task in self.tasks:
            for experiment in task.experiments:
                for source in self.sources:
                    for cell in task.cells:
                        seeds = source.seeds(cell, experiment)
                        if seeds:
                            yield task, source, experiment, cell, len(seeds)


def plan_task(protocol: Protocol, bench: Bench, settings: Settings) -> Task:
    """The experiments and cells of a protocol: the published cells where the data has any of them, else all."""
    experiments = protocol.experiments(bench.modalities, bench.synthetic)
    if settings.seeds is not None:
        experiments = tuple(dataclasses.replace(e, count=min(e.count, settings.seeds)) for e in experiments)
    chosen = tuple(name for name in bench.names if name in protocol.cells)
    cells = chosen or bench.names[: protocol.most_cells]
    return Task(protocol=protocol, bench=bench, cells=cells, experiments=experiments)


def start(evaluation: Evaluation, *, overwrite: bool = False) -> None:
    """Write down what is evaluated, or check that earlier results are of the same.

    Raises:
        InputError: the directory holds results of other models, data or settings.
    """
    check_names(evaluation.sources)
    path = evaluation.out / PLAN
    now = json.loads(json.dumps(to_plain(_record(evaluation)), default=str))
    if path.is_file() and not overwrite:
        before = json.loads(path.read_text())
        for key in ("data", "settings"):
            if before.get(key) != now[key]:
                raise InputError(
                    f"{evaluation.out} holds results with other {key}: {before.get(key)}, now {now[key]}; choose "
                    f"another place, or pass --overwrite"
                )
        for name, source in now["sources"].items():
            if before["sources"].get(name, source) != source:
                raise InputError(
                    f"{evaluation.out} holds results of another {name!r}: {before['sources'][name]}, now {source}; "
                    f"choose another place or name, or pass --overwrite"
                )
        now["sources"] = before["sources"] | now["sources"]
    with file_aside(path) as aside:
        aside.write_text(json.dumps(now, indent=1) + "\n")


def evaluate(
    evaluation: Evaluation, *, shard: tuple[int, int] = (0, 1), overwrite: bool = False, track: Track = silently
) -> float:
    """Score every cell that is not scored yet. Returns the seconds it took.

    Raises:
        InputError: results of something else are in the way, or a source's files contradict the protocol.
    """
    began = time.monotonic()
    start(evaluation, overwrite=overwrite)
    work = []
    for task in evaluation.tasks:
        results = Results(evaluation.out, task.protocol.name)
        mine = task.cells[shard[0] :: shard[1]]
        for experiment in task.experiments:
            for first in range(0, len(mine), AT_ONCE):
                for source in evaluation.sources:
                    cells = [
                        cell
                        for cell in mine[first : first + AT_ONCE]
                        if source.seeds(cell, experiment)
                        and (overwrite or not results.done(source.name, experiment, cell))
                    ]
                    if cells:
                        work.append((task, results, experiment, source, cells))
    for task, results, experiment, source, cells in track(work, total=len(work), what="evaluating"):
        for result in _score(task, experiment, source, cells, evaluation.settings):
            results.write(experiment, result)
            if isinstance(source, NetworkSource) and source.kept is not None:
                source.forget(result.cell, experiment)
    return time.monotonic() - began


def outcome_of(evaluation: Evaluation, task: Task) -> Outcome:
    """The finished cells of one task, from their files."""
    results = Results(evaluation.out, task.protocol.name)
    found = {
        (source.name, experiment.name): tuple(results.read(source.name, experiment, task.cells))
        for source in evaluation.sources
        for experiment in task.experiments
    }
    return Outcome(
        protocol=task.protocol,
        bench=task.bench,
        experiments=task.experiments,
        sources=tuple(source.name for source in evaluation.sources),
        kinds={source.name: source.kind for source in evaluation.sources},
        results=found,
        settings=evaluation.settings,
        absent={source.name: _absent(task, source) for source in evaluation.sources},
        foreign={
            source.name: tuple(sorted((source.cells() or frozenset()) - set(task.bench.names)))
            for source in evaluation.sources
        },
    )


def _absent(task: Task, source: SampleSource) -> tuple[str, ...]:
    """Cells without samples, of a source that has files of some."""
    if source.cells() is None:
        return ()
    absent = tuple(cell for cell in task.cells if not any(source.seeds(cell, e) for e in task.experiments))
    return absent if len(absent) < len(task.cells) else ()


def _score(
    task: Task, experiment: Experiment, source: SampleSource, cells: Sequence[str], settings: Settings
) -> Iterator[Result]:
    """Draw some cells and score each as soon as its samples are complete."""
    began = time.monotonic()
    scenes, broken = _scenes(task, cells, settings)
    for cell, reason in broken.items():
        yield Result(cell=cell, source=source.name, experiment=experiment.name, data={}, problems=(reason,))
    waiting = {scene.name: scene for scene in scenes}
    drawn: dict[str, list[Sample]] = defaultdict(list)
    for sample in source.draw(scenes, experiment) if scenes else ():
        drawn[sample.cell].append(sample)
        if len(drawn[sample.cell]) == len(source.seeds(sample.cell, experiment)):
            scene = waiting.pop(sample.cell)
            yield _result(task, experiment, source, scene, drawn.pop(sample.cell), settings, began)
            began = time.monotonic()
    for name, scene in waiting.items():
        yield _result(task, experiment, source, scene, drawn[name], settings, began)


def _scenes(task: Task, cells: Sequence[str], settings: Settings) -> tuple[list[Scene], dict[str, str]]:
    scenes, broken = [], {}
    for cell in cells:
        try:
            scenes.append(task.scene(cell, settings))
        except InputError as error:
            broken[cell] = str(error)
    return scenes, broken


def _result(
    task: Task,
    experiment: Experiment,
    source: SampleSource,
    scene: Scene,
    samples: list[Sample],
    settings: Settings,
    began: float,
) -> Result:
    """The scored cell; what cannot be scored is said, not raised: the other cells go on."""
    samples = sorted(samples, key=lambda sample: sample.seed)
    problems = [*scene.problems, *(problem for sample in samples for problem in sample.problems)]
    expected = len(source.seeds(scene.name, experiment))
    if len(samples) < expected:
        problems.append(f"{len(samples)} of {expected} samples are there")
    if source.kind == "network":
        lacking = experiment.lacking(scene, source.modalities(task.bench.modalities))
        problems += [
            f"not given: {name} is not in the data or not in the model; it is sampled along" for name in lacking
        ]
    data: dict[str, Any] = {}
    picture = b""
    if samples:
        try:
            scored = task.protocol.score(scene, experiment, samples, settings)
            data, picture = scored.data, scored.picture
            problems += scored.problems
        except InputError as error:
            problems.append(f"not scored: {error}")
    return Result(
        cell=scene.name,
        source=source.name,
        experiment=experiment.name,
        data=data,
        problems=tuple(dict.fromkeys(problems)),
        samples=len(samples),
        seconds=time.monotonic() - began,
        picture=picture,
    )


def _record(evaluation: Evaluation) -> Mapping[str, Any]:
    """What results depend on, as plain data."""
    settings = evaluation.settings
    return {
        "data": {task.bench.description for task in evaluation.tasks}.pop() if evaluation.tasks else "",
        "settings": {
            "seeds": settings.seeds,
            "acquisitions": settings.acquisitions,
            "weights of deep features": dict(settings.deep.identity),
        },
        "sources": {source.name: source.settings for source in evaluation.sources},
    }
