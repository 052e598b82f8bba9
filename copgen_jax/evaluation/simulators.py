"""Models whose faults are known: made from exact draws of the synthetic world.

With x fresh draws of p(. | conditions) and m their mean: the ideal model gives x; a collapsed one m every time; an
over-dispersed one m + 3 (x - m); an overconfident one m + 0.7 (x - m); a biased one x + 0.1 (the Sentinel-2 offset
left in). A report that cannot tell these five apart is of no use.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from copgen_jax.data.world import World
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.scenes import Scene, Values, WorldBench, outward
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import ModalitySet

ANOTHER = 1_000_003
"""Added to the world's seed: draws of the same distribution, independent of the truths."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """m + spread (x - m) + bias, for Sentinel-2 reflectance."""

    title: str
    spread: float = 1.0
    bias: float = 0.0


IDEAL, MEAN = "ideal draws", "conditional mean"
FAULTS: Mapping[str, Fault] = {
    IDEAL: Fault(title="the simulator's own fresh draws"),
    MEAN: Fault(title="collapsed: the mean of the draws, every time", spread=0.0),
    "spread x 3": Fault(title="over-dispersed", spread=3.0),
    "spread x 0.7": Fault(title="overconfident", spread=0.7),
    "biased + 0.1": Fault(title="the Sentinel-2 offset left in", bias=0.1),
}
"""Name in the report -> what is done to exact draws."""

EXACT = (("DEM", "LULC", "location"), ("timestamp",), ("cloud_mask",))
"""Conditions under which the world redraws exactly: the first three, then the next ones in this order."""


@dataclasses.dataclass(frozen=True)
class SimulatedSource:
    """One of `FAULTS` on a bench of the world."""

    name: str
    bench: WorldBench

    kind = "simulator"

    @property
    def settings(self) -> dict[str, object]:
        """What it is."""
        return {"kind": self.kind, "title": FAULTS[self.name].title}

    def modalities(self, every: ModalitySet) -> ModalitySet:
        """All that the world draws; only Sentinel-2 where its values are changed, which cannot be done to codes."""
        changed = FAULTS[self.name] != Fault(title=FAULTS[self.name].title)
        names = [m.name for m in every if m.name not in EXACT[0] and (m.encoding == "reflectance" if changed else True)]
        return every.subset(names)

    def seeds(self, scene: str, experiment: Experiment) -> tuple[int, ...]:
        """Those of the experiment, where the world knows exact draws of its conditions."""
        exact = held(experiment, self.bench.modalities) is not None
        wanted = experiment.wanted(self.modalities(self.bench.modalities))
        return experiment.seeds(scene) if exact and wanted else ()

    def draw(self, scenes: Sequence[Scene], experiment: Experiment) -> Iterator[Sample]:
        """Samples of some scenes."""
        fault, fixed = FAULTS[self.name], held(experiment, self.bench.modalities)
        names = experiment.wanted(self.modalities(self.bench.modalities))
        for scene in scenes:
            seeds = self.seeds(scene.name, experiment)
            drawn = fresh_draws(self.bench, scene.name, fixed or (), len(seeds)) if seeds else ()
            changed = {name: _changed(np.stack([values[name] for values in drawn]), fault) for name in names if seeds}
            for row, seed in enumerate(seeds):
                yield Sample(cell=scene.name, seed=seed, values={name: changed[name][row] for name in names})


@lru_cache(maxsize=8)
def fresh_draws(bench: WorldBench, cell: str, fixed: tuple[str, ...], count: int) -> tuple[Values, ...]:
    """Exact draws at a scene, independent of its true acquisitions; `fixed` as `World.acquisitions` takes it."""
    scene = bench.scene(cell, 1)
    static = bench.world.place(bench._numbers[cell])
    first = next(iter(bench.world.acquisitions(static, 1)))
    place = dataclasses.replace(static, values={**static.values, **{name: first[name] for name in fixed}})
    again = World(bench.seed + ANOTHER, bench.modalities).acquisitions(place, count, fixed=fixed)
    return tuple(outward(patch.values, bench.modalities, scene.place.offsets) for patch in again)


def held(experiment: Experiment, modalities: ModalitySet) -> tuple[str, ...] | None:
    """What `World.acquisitions` must hold besides the place for these conditions; None if it has no exact draws."""
    if experiment.constant or experiment.values:
        return None
    given = {word for word in experiment.given if word in {*modalities.products, *modalities.names}}
    if not given.issuperset(EXACT[0]):
        return None
    rest = given - set(EXACT[0])
    known: list[tuple[str, ...]] = [(), EXACT[1], (*EXACT[1], *EXACT[2])]
    return next((names for names in known if set(names) == rest), None)


def _changed(draws: np.ndarray, fault: Fault) -> np.ndarray:
    if fault.spread == 1.0 and not fault.bias:
        return draws
    mean = draws.mean(axis=0, keepdims=True, dtype=np.float64)
    return (mean + fault.spread * (draws - mean) + fault.bias).astype(np.float32)
