"""How long an evaluation will take, before it begins: a count of samples, and what one costs on this machine.

A network's sample costs its evaluations times the arithmetic of one pass of the backbone, plus decoding, at the speed
that a matrix product reaches here. Everything else (true acquisitions of the synthetic world, scoring) is a
measured constant. The estimate is within a factor of two; its error is told afterwards.
"""

import dataclasses
import time

import jax
import jax.numpy as jnp

from copgen_jax.config import ModelConfig
from copgen_jax.evaluation.protocols.results import Results
from copgen_jax.evaluation.protocols.running import Evaluation
from copgen_jax.evaluation.scenes import WorldBench
from copgen_jax.evaluation.sources import NetworkSource, SampleSource

SCORING_SECONDS = 0.035
"""Per sample of 192 x 192 px on one core: metrics, pictures, files."""
EFFICIENCY = 0.5
"""Share of a matrix product's speed that networks reach."""
COMPILING_SECONDS = 30.0
"""Per network source, for programs that are not cached."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """What remains to be done."""

    cells: int
    """Cells times sources times sets of conditions."""
    samples: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.cells} cells to score, {self.samples} samples, about {in_words(self.seconds)}"


def estimate(evaluation: Evaluation, *, overwrite: bool = False) -> Estimate:
    """The work that is left."""
    cost = {source.name: _sample_seconds(source) for source in evaluation.sources}
    cells = samples = 0
    seconds = sum(COMPILING_SECONDS for s in evaluation.sources if isinstance(s, NetworkSource))
    scenes: set[tuple[str, str]] = set()
    per_scene = 0.0
    for task, source, experiment, cell, seeds in evaluation.steps():
        if not overwrite and Results(evaluation.out, task.protocol.name).done(source.name, experiment, cell):
            continue
        cells, samples = cells + 1, samples + seeds
        size = (task.bench.modalities.images[0].extent / 1920) ** 2
        seconds += seeds * (cost[source.name] + SCORING_SECONDS * size)
        if isinstance(task.bench, WorldBench) and (task.protocol.name, cell) not in scenes:
            scenes.add((task.protocol.name, cell))
            per_scene = per_scene or _draw_seconds(task.bench)
            seconds += per_scene * (evaluation.settings.acquisitions if task.protocol.acquisitions else 1)
            if any(s.kind == "simulator" for s in evaluation.sources):
                seconds += per_scene * seeds * len(task.experiments)
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


def _draw_seconds(bench: WorldBench) -> float:
    """Of one true acquisition, measured."""
    place = bench.static(bench.names[0])
    began = time.perf_counter()
    bench.world.acquisition(place, 0)
    return time.perf_counter() - began
