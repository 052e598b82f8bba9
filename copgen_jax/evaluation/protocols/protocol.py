"""A protocol: which conditions, wishes, seeds and cells, how a cell is scored, and what a report shows of it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics.embeddings import DeepFeatures
from copgen_jax.evaluation.protocols.koppen import Climate
from copgen_jax.evaluation.protocols.results import Result
from copgen_jax.evaluation.report.content import Section
from copgen_jax.evaluation.scenes import Bench, Scene
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import ModalitySet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user may change of every protocol. Anything but the defaults is stated as a deviation."""

    seeds: int | None = None
    """At most so many seeds per experiment."""
    acquisitions: int = 16
    """At most so many true acquisitions per cell."""
    deep: DeepFeatures = dataclasses.field(default_factory=DeepFeatures)
    climate: Climate | None = None
    """Climate zones, for maps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
    """One cell's numbers and picture; what the cell's file keeps."""

    data: dict[str, Any]
    problems: tuple[str, ...] = ()
    picture: bytes = b""


Score = Callable[[Scene, Experiment, Sequence[Sample], Settings], Scored]
"""Numbers of one cell from all samples of one source under one experiment, sorted by seed."""

AllResults = Mapping[tuple[str, str], Sequence[Result]]
"""{(source, experiment): cells}."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way to judge."""

    name: str
    title: str
    asks: str
    """The question, in a sentence or two."""
    experiments: Callable[[ModalitySet, bool], tuple[Experiment, ...]]
    """Of a modality set; the flag says whether the data is the synthetic world."""
    score: Score
    summarise: Callable[["Outcome"], Section]
    acquisitions: bool = False
    """Whether it needs many true acquisitions per cell, without cloud; else one, as it comes."""
    cells: tuple[str, ...] = ()
    """The published cells, where they are few; others are used where the data lacks them."""
    differs: tuple[str, ...] = ()
    """What is done otherwise than published, in sentences."""
    differs_on_world: tuple[str, ...] = ()
    """The same on the synthetic world only."""
    most_cells: int | None = None
    """How many cells are enough where none of the published ones is there."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that a protocol's section is made of."""

    protocol: Protocol
    bench: Bench
    experiments: tuple[Experiment, ...]
    sources: tuple[str, ...]
    """In the order of the report: models, then the simulator's."""
    kinds: Mapping[str, str]
    """Source -> network, predictions or simulator."""
    results: AllResults
    settings: Settings
    absent: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Source -> cells of the data that it has no samples of under any of these conditions, though it has of others."""
    foreign: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Source -> cells that it has files of and the data has not."""

    def of(self, source: str, experiment: Experiment) -> Sequence[Result]:
        """The finished cells of one source under one experiment."""
        return self.results.get((source, experiment.name), ())
