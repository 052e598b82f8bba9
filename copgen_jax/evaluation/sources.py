"""Where samples come from: a network, files that another program wrote, or the simulator itself.

Every source answers the same question: samples of the wanted modalities at some scenes, for the seeds it has.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.scenes import Scene, Values
from copgen_jax.files import file_aside
from copgen_jax.generate.generator import Generator, Work
from copgen_jax.generate.request import Request
from copgen_jax.modalities import ModalitySet
from copgen_jax.rasters.samples import Samples


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One sample of one scene."""

    cell: str
    seed: int
    values: Values
    problems: tuple[str, ...] = ()
    """What is odd about it, such as files on other ground: in sentences."""


class SampleSource(Protocol):
    """One model in a report."""

    name: str
    kind: str
    """network, predictions or simulator."""

    @property
    def settings(self) -> dict[str, object]:
        """Whatever changes the samples, as plain data: compared on resume, printed in the report."""
        ...

    def modalities(self, every: ModalitySet) -> ModalitySet:
        """Those of the bench's modalities that it can make."""
        ...

    def cells(self) -> frozenset[str] | None:
        """Those that it has files of; None if it can draw any."""
        ...

    def seeds(self, scene: str, experiment: Experiment) -> tuple[int, ...]:
        """Seeds that it has, or would draw, for a cell; none if it cannot serve the experiment."""
        ...

    def draw(self, scenes: Sequence[Scene], experiment: Experiment) -> Iterator[Sample]:
        """Samples of some scenes, in any order."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NetworkSource:
    """A model of this package. A protocol's seed is a member number: member s of the run with `seed`."""

    name: str
    generator: Generator
    seed: int = 0
    evaluations: int | None = None
    solver: str | None = None
    batch_size: int | str = "auto"
    kept: Path | None = None
    """Directory where samples wait until their cell is scored, so that an interrupted run goes on with the next."""

    kind = "network"

    @property
    def settings(self) -> dict[str, object]:
        """Model and how it is sampled."""
        request = self._request(("S2L2A",) if "S2L2A" in self.generator.modalities.products else None)
        return {
            "kind": self.kind,
            "model": self.generator.source,
            "backbone": self.generator.hashes.backbone,
            "latent_space": self.generator.hashes.latent_space,
            "seed": self.seed,
            "solver": request.solver,
            "evaluations": request.evaluations,
            "unasked": request.unasked,
            "s2_offset of the model": self.generator.model.config.s2_offset,
        }

    def modalities(self, every: ModalitySet) -> ModalitySet:
        """The model's."""
        del every
        return self.generator.modalities

    def cells(self) -> None:
        """Any."""

    def seeds(self, scene: str, experiment: Experiment) -> tuple[int, ...]:
        """Those of the experiment, if the model has anything that is wanted."""
        return experiment.seeds(scene) if experiment.wanted(self.generator.modalities) else ()

    def draw(self, scenes: Sequence[Scene], experiment: Experiment) -> Iterator[Sample]:
        """Kept samples first, then those that are missing, batched across scenes."""
        request = self._request(experiment.wanted(self.generator.modalities))
        missing: list[list[int]] = []
        for scene in scenes:
            seeds = self.seeds(scene.name, experiment)
            there = {seed: path for seed in seeds if (path := self._path(scene.name, experiment, seed)).is_file()}
            missing.append([seed for seed in seeds if seed not in there])
            for seed, path in there.items():
                with np.load(path) as stored:
                    yield Sample(cell=scene.name, seed=seed, values={name: stored[name] for name in stored.files})
        total = sum(map(len, missing))
        if not total:
            return
        work = (
            Work(place=experiment.conditions(scene, self.generator.modalities), members=members)
            for scene, members in zip(scenes, missing, strict=True)
        )
        for drawn in self.generator.stream(work, request, total=total, batch_size=self._batch(request, total)):
            scene = scenes[drawn.index]
            for row, seed in enumerate(drawn.samples.members):
                values = _values(drawn.samples, row)
                self._keep(self._path(scene.name, experiment, seed), values)
                yield Sample(cell=scene.name, seed=seed, values=values)

    def forget(self, cell: str, experiment: Experiment) -> None:
        """Remove the kept samples of a cell that is scored."""
        for seed in self.seeds(cell, experiment):
            self._path(cell, experiment, seed).unlink(missing_ok=True)

    def _request(self, want: Iterable[str] | None) -> Request:
        names = self.generator.modalities.names if want is None else tuple(want)
        return Request(
            want=names, seed=self.seed, unasked="joint", solver=self.solver, evaluations=self.evaluations
        ).settled(self.generator.model.config)

    def _batch(self, request: Request, total: int) -> int | str:
        """One size for the whole run, so that it compiles once."""
        if self.batch_size == "auto" and "size" not in self._chosen:
            from copgen_jax.memory import choose_batch

            self._chosen["size"] = choose_batch(self.generator.memory(request), items=total, asked="auto")
        return self._chosen.get("size", self.batch_size)

    @cached_property
    def _chosen(self) -> dict[str, int]:
        return {}

    def _path(self, cell: str, experiment: Experiment, seed: int) -> Path:
        return (self.kept or Path(os.devnull)) / f"{file_name(experiment.name)}-{file_name(cell)}-{seed}.npz"

    def _keep(self, path: Path, values: Values) -> None:
        if self.kept is None:
            return
        with file_aside(path) as aside, aside.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(values))


def _values(samples: Samples, row: int) -> dict[str, np.ndarray]:
    """One member as users see it: images (band, y, x), location (2,), timestamp datetime64[D]."""
    out = {}
    for name in samples:
        value = samples[name].values[row]
        out[name] = value.astype("datetime64[D]") if samples[name].dtype.kind == "M" else value
    return out


def file_name(text: str) -> str:
    """A harmless and unique file name for any text: letters, digits, - and _ stay, a hash tells the rest apart."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in text)
    if plain == text and len(text) <= 100:
        return plain
    return f"{plain[:80]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def check_names(sources: Sequence[SampleSource]) -> None:
    """Refuse two models of one name.

    Raises:
        InputError: they could not be told apart in the report.
    """
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two models are called {twice!r}; give names with NAME=PATH")
