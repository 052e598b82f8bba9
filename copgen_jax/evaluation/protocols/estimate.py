"""How long an evaluation will take, before it begins: a count of samples, and what one costs on this machine.

Reading and scoring are measured: of every protocol one cell is scored with its own truth in the place of samples. A
network's sample costs its evaluations times the arithmetic of one pass of the backbone, at the speed that a matrix
product reaches here. The estimate's error is told afterwards.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp

from copgen_jax.config import ModelConfig
from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.protocols.protocol import Settings
from copgen_jax.evaluation.protocols.results import Results
from copgen_jax.evaluation.protocols.running import Evaluation, Task
from copgen_jax.evaluation.scenes import KEPT_SCENES, Scene
from copgen_jax.evaluation.sources import NetworkSource, Sample, SampleSource

T = TypeVar("T")

EFFICIENCY = 0.5
"""Share of a matrix product's speed that networks reach."""
COMPILING_SECONDS = 30.0
"""Per network source, for programs that are not cached."""
LONG_ENOUGH = 1.0
"""Seconds; what took less is measured again, now that everything is loaded."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """What remains to be done."""

    cells: int
    """Cells times sources times sets of conditions."""
    samples: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.cells} cells to score, {self.samples} samples, about {in_words(self.seconds)}"


@dataclasses.dataclass(frozen=True)
class CellCost:
    """Seconds of one cell of a protocol."""

    scene: float
    """Reading it, or drawing its acquisitions."""
    sample: float
    """Scoring, per sample."""
    acquisition: float
    """Of the scene's seconds, those of one acquisition."""


def estimate(evaluation: Evaluation, *, overwrite: bool = False) -> Estimate:
    """The work that is left."""
    drawing = {source.name: _sample_seconds(source) for source in evaluation.sources}
    costs: dict[str, CellCost] = {}
    scenes, draws = set(), set()
    cells = samples = 0
    seconds = 0.0
    for task, source, experiment, cell, seeds in evaluation.steps():
        if not overwrite and Results(evaluation.out, task.protocol.name).done(source.name, experiment, cell):
            continue
        name = task.protocol.name
        if name not in costs:
            costs[name] = _measure(task, experiment, seeds, evaluation.settings)
        cells, samples = cells + 1, samples + seeds
        seconds += seeds * (drawing[source.name] + costs[name].sample)
        scene = name, cell, "" if len(task.cells) <= KEPT_SCENES else experiment.name
        if scene not in scenes:
            scenes.add(scene)
            seconds += costs[name].scene
        if source.kind == "simulator" and (name, experiment.name, cell) not in draws:
            draws.add((name, experiment.name, cell))  # all simulated models change the same draws
            seconds += seeds * costs[name].acquisition
    if samples:
        seconds += sum(COMPILING_SECONDS for s in evaluation.sources if isinstance(s, NetworkSource))
    return Estimate(cells=cells, samples=samples, seconds=seconds)


def in_words(seconds: float) -> str:
    """A duration for people."""
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"


def backbone_operations(config: ModelConfig) -> float:
    """Operations of one pass per sample, two per multiply-add: matrices of all blocks, attention, skips."""
    if config.backbone is None:
        return 0.0
    tokens, width, blocks = config.modalities.tokens, config.backbone.width, config.backbone.depth + 1
    matrices = (4 + 2 * config.backbone.mlp_ratio) * width**2 * blocks + 2 * width**2 * (blocks // 2)
    return 2.0 * tokens * matrices + 4.0 * tokens**2 * width * blocks


def _measure(task: Task, experiment: Experiment, seeds: int, settings: Settings) -> CellCost:
    """One cell, the first that can be read, with its truth in the place of samples."""
    for cell in task.cells:
        try:
            scene, reading = _timed(lambda cell=cell: task.scene(cell, settings), again=False)
        except InputError:
            continue
        samples = [Sample(cell=cell, seed=seed, values=scene.truths[0]) for seed in range(seeds)]
        scoring = _scoring(task, scene, experiment, samples, settings)
        return CellCost(reading, scoring / seeds, reading / len(scene.truths))
    return CellCost(0.0, 0.0, 0.0)


def _scoring(task: Task, scene: Scene, experiment: Experiment, samples: Sequence[Sample], settings: Settings) -> float:
    try:
        return _timed(lambda: task.protocol.score(scene, experiment, samples, settings))[1]
    except InputError:  # it will be said of every cell when they are scored
        return 0.0


def _timed(do: Callable[[], T], *, again: bool = True) -> tuple[T, float]:
    """What something gives, and its seconds when all is loaded and compiled."""
    began = time.perf_counter()
    result = do()
    seconds = time.perf_counter() - began
    if again and seconds < LONG_ENOUGH:
        return _timed(do, again=False)
    return result, seconds


def _sample_seconds(source: SampleSource) -> float:
    if not isinstance(source, NetworkSource):
        return 0.0
    config = source.generator.model.config
    evaluations = source.evaluations or config.solver.evaluations
    return evaluations * backbone_operations(config) / (EFFICIENCY * _speed() * len(jax.local_devices()))


def _speed() -> float:
    """Operations per second of a matrix product of the kind that networks do."""
    product = jax.jit(jnp.matmul)
    a, b = jnp.ones((834, 1024)), jnp.ones((1024, 1024))
    product(a, b).block_until_ready()
    began, times = time.perf_counter(), 5
    for _ in range(times):
        product(a, b).block_until_ready()
    return times * 2.0 * 834 * 1024 * 1024 / (time.perf_counter() - began)
