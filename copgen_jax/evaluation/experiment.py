"""What is asked of every model in one protocol, as data."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from copgen_jax.evaluation.metrics.footprint import select_seeds
from copgen_jax.evaluation.scenes import Scene
from copgen_jax.modalities import ModalitySet
from copgen_jax.rasters.given.reading import GivenPlace


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One set of conditions. Everything else is sampled jointly, as published."""

    name: str
    """Unique in its protocol; becomes part of file names."""
    given: tuple[str, ...]
    """Products or modalities."""
    want: tuple[str, ...]
    """Products or modalities that are compared."""
    pool: tuple[int, ...]
    """Seeds to choose from."""
    count: int
    """How many of them are used."""
    by_cell: bool = False
    """Whether the published SHA-256 rule chooses them for every cell apart, or the first ones serve all."""
    constant: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Class maps that are given as one code everywhere."""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Another place or date than the scene's: {"timestamp": "2020-11-12" or "+183 days"}, {"location": (lat, lon)}."""
    of_cell: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """Cells that have their own in place of `values`."""
    label: str = ""
    """For people."""

    def seeds(self, cell: str, there: Collection[int] | None = None) -> tuple[int, ...]:
        """The seeds that count for a cell; of those `there`, where not all are, and any of them if none is."""
        pool = [seed for seed in self.pool if there is None or seed in there]
        pool = pool or sorted(there or ())
        return select_seeds(cell, pool, self.count) if self.by_cell else tuple(sorted(pool[: self.count]))

    def replaced(self, cell: str) -> Mapping[str, Any]:
        """The place or date that is given in place of a cell's own."""
        return self.of_cell.get(cell, self.values)

    def wanted(self, modalities: ModalitySet) -> tuple[str, ...]:
        """Names of the wanted modalities that a model has."""
        return _present(self.want, modalities)

    def conditions(self, scene: Scene, modalities: ModalitySet) -> GivenPlace:
        """What is given at a scene; what the scene or the model lacks is left out (see `lacking`)."""
        values = dict(scene.place.values)
        for name in sorted(set(self.constant) & set(modalities.names)):
            code = self.constant[name]
            side = modalities[name].image_shape[0]
            values[name] = np.full((side, side, 1), code, np.int32)
        replaced = self.replaced(scene.name)
        if "timestamp" in replaced and ("timestamp" in values or not _relative(replaced["timestamp"])):
            values["timestamp"] = _date(replaced["timestamp"], values.get("timestamp"))
        if "location" in replaced:
            values["location"] = np.asarray(replaced["location"], np.float64)
        kept = {name: np.asarray(values[name]) for name in _present(self.given, modalities) if name in values}
        return dataclasses.replace(scene.place, values=kept)

    def lacking(self, scene: Scene, modalities: ModalitySet) -> tuple[str, ...]:
        """Conditions that cannot be given at this scene, or to this model."""
        unknown = [word for word in self.given if not _present([word], modalities)]
        replaced = {name for name, wish in self.replaced(scene.name).items() if not _relative(wish)}
        there = {*scene.place.values, *self.constant, *replaced}
        return (*unknown, *(name for name in _present(self.given, modalities) if name not in there))


def _relative(wish: Any) -> bool:
    """Whether a date is counted from the scene's own."""
    return isinstance(wish, str) and wish.endswith(" days")


def _date(wish: str, own: np.ndarray | None) -> np.ndarray:
    """An ISO date, or the scene's own and some days ("+183 days")."""
    if own is None or not _relative(wish):
        return np.asarray(wish, "datetime64[D]")
    return np.asarray(own, "datetime64[D]") + np.timedelta64(int(wish.removesuffix(" days")), "D")


def _present(words, modalities: ModalitySet) -> tuple[str, ...]:
    known = {*modalities.products, *modalities.names}
    return modalities.resolve([word for word in words if word in known])
