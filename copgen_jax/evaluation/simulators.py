"""Models whose faults are known: made from exact draws of the synthetic world.

With x fresh draws of p(. | conditions) and m their mean: the ideal model gives x; a collapsed one m every time; an
over-dispersed one m + 3 (x - m); an overconfident one m + 0.7 (x - m); a biased one x + 0.1 (the Sentinel-2 offset
left in). A report that cannot tell these five apart is of no use.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.scenes import Scene, Values, WorldBench, draw_acquisitions, world_values
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

STATIC = ("DEM", "LULC", "location")
FIXED = ((), ("timestamp",), ("timestamp", "cloud_mask"))
"""What can be held besides the static modalities, so that draws stay exact."""
CLEAR = {"cloud_mask": 0}
"""A clear sky everywhere can be given too: draws with any cloud are passed over."""


@dataclasses.dataclass(frozen=True)
class Held:
    """Conditions that the world redraws exactly under, besides the static ones."""

    fixed: tuple[str, ...]
    clear: bool


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
        names = [m.name for m in every if m.name not in STATIC and (m.encoding == "reflectance" if changed else True)]
        return every.subset(names)

    def cells(self) -> None:
        """Any."""

    def seeds(self, scene: str, experiment: Experiment) -> tuple[int, ...]:
        """Those of the experiment, where the world knows exact draws of its conditions."""
        exact = held(experiment, self.bench.modalities) is not None
        wanted = experiment.wanted(self.modalities(self.bench.modalities))
        return experiment.seeds(scene) if exact and wanted else ()

    def draw(self, scenes: Sequence[Scene], experiment: Experiment) -> Iterator[Sample]:
        """Samples of some scenes."""
        fault, how = FAULTS[self.name], held(experiment, self.bench.modalities)
        names = experiment.wanted(self.modalities(self.bench.modalities))
        for scene in scenes:
            seeds = self.seeds(scene.name, experiment)
            if how is None or not seeds:
                continue
            drawn = fresh_draws(self.bench, scene.name, how, len(seeds))
            changed = {name: _changed(np.stack([values[name] for values in drawn]), fault) for name in names}
            for row, seed in enumerate(seeds):
                yield Sample(cell=scene.name, seed=seed, values={name: changed[name][row] for name in names})


@lru_cache(maxsize=8)
def fresh_draws(bench: WorldBench, cell: str, how: Held, count: int) -> tuple[Values, ...]:
    """Exact draws at a scene, independent of its true acquisitions."""
    place = bench.static(cell)
    if how.fixed:
        first = bench.world.acquisition(place, 0)
        place = dataclasses.replace(place, values={**place.values, **{name: first[name] for name in how.fixed}})
    again = draw_acquisitions(bench.another(bench.seed + ANOTHER), place, count, how.fixed, clear=how.clear)
    return tuple(world_values(bench.modalities, patch) for patch in again)


def held(experiment: Experiment, modalities: ModalitySet) -> Held | None:
    """How `World.acquisition` draws under these conditions; None if it knows no exact draws."""
    clear = dict(experiment.constant) == CLEAR
    if experiment.values or (experiment.constant and not clear):
        return None
    given = {word for word in experiment.given if word in {*modalities.products, *modalities.names}}
    if not given.issuperset(STATIC):
        return None
    rest = given - set(STATIC) - (set(CLEAR) if clear else set())
    fixed = next((names for names in FIXED if set(names) == rest), None)
    return None if fixed is None else Held(fixed, clear)


def _changed(draws: np.ndarray, fault: Fault) -> np.ndarray:
    if fault.spread == 1.0 and not fault.bias:
        return draws
    mean = draws.mean(axis=0, keepdims=True, dtype=np.float64)
    return (mean + fault.spread * (draws - mean) + fault.bias).astype(np.float32)
