"""Who draws the samples of the demo: a model, or the simulator of the synthetic world.

Both are asked the same: samples of some modalities at a place of the world, given some of its true values. A model can
answer for any given ones; the simulator only where its conditional is exact.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from copgen_jax.data.world import World
from copgen_jax.data.world.world import Patch
from copgen_jax.errors import InputError
from copgen_jax.generate.generator import Generator, Work
from copgen_jax.generate.request import Request
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.progress import Track, silently
from copgen_jax.rasters.given.reading import GivenPlace, as_given
from copgen_jax.rasters.samples import Samples, build_samples
from copgen_jax.units import dn_to_reflectance

PLACE = ("location", "DEM", "LULC")
"""What the simulator must hold to draw exactly; a date may be held besides, and with the date the clouds."""
EXACT = (PLACE, (*PLACE, "timestamp"), (*PLACE, "timestamp", "cloud_mask"))


class Drawer(Protocol):
    """Draws samples at places of a world."""

    @property
    def name(self) -> str:
        """Who draws, as files and page say it."""
        ...

    @property
    def modalities(self) -> ModalitySet:
        """What there is to draw, on its grids."""
        ...

    def can(self, given: Sequence[str]) -> bool:
        """Whether samples given these modalities can be drawn."""
        ...

    def provenance(self, given: Sequence[str]) -> dict[str, Any]:
        """How samples are drawn: plain data for files."""
        ...

    def draw(
        self, truth: Patch, given: Sequence[str], want: Sequence[str], members: int, *, track: Track = silently
    ) -> Iterator[Samples]:
        """Members of the wanted products or modalities, some at a time, given true values of this place."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulator:
    """The world's own conditional: what a perfect model of the world would draw."""

    world: World

    name = "the simulator's exact conditional, no neural network"

    @property
    def modalities(self) -> ModalitySet:
        """Those of the world."""
        return self.world.modalities

    def can(self, given: Sequence[str]) -> bool:
        """With height, land cover and location; with the date, and with date and clouds besides."""
        return set(given) in map(set, EXACT)

    def provenance(self, given: Sequence[str]) -> dict[str, Any]:
        """See `Drawer`."""
        return {"drawn_by": self.name, "conditions": list(given), "seed": self.world.seed}

    def draw(
        self, truth: Patch, given: Sequence[str], want: Sequence[str], members: int, *, track: Track = silently
    ) -> Iterator[Samples]:
        """See `Drawer`; one member at a time."""
        fixed = tuple(name for name in given if name not in PLACE)
        wanted = self.modalities.subset(want)
        draws = self.world.acquisitions(truth, members, fixed=fixed)
        for member, patch in enumerate(track(draws, total=members, what="simulating")):
            yield as_samples(patch, wanted, self.provenance(given), member=member)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelDrawer:
    """A model of all twelve modalities, asked through the same door as `copgen generate`."""

    generator: Generator
    seed: int
    solver: str | None = None
    evaluations: int | None = None
    """Of the sampler; the model's own where None."""

    def __post_init__(self):
        lacking = [name for name in COPGEN.names if name not in self.modalities]
        if lacking:
            raise InputError(f"{self.name} has no {lacking[0]}; the demo needs a model of all twelve modalities")

    @property
    def name(self) -> str:
        """The model's name and the beginning of its hash."""
        return f"model {self.generator.source} ({(self.generator.hashes.backbone or '')[:12]})"

    @property
    def modalities(self) -> ModalitySet:
        """Those of the model."""
        return self.generator.modalities

    def can(self, given: Sequence[str]) -> bool:
        """Always."""
        return True

    def provenance(self, given: Sequence[str]) -> dict[str, Any]:
        """See `Drawer`."""
        return self.generator.provenance(self._request(self.modalities.names, 1), given)

    def draw(
        self, truth: Patch, given: Sequence[str], want: Sequence[str], members: int, *, track: Track = silently
    ) -> Iterator[Samples]:
        """See `Drawer`; as many members at a time as the generator chooses."""
        request = self._request(self.modalities.subset(want).names, members)
        chosen = self.modalities.subset(given) if given else ()
        work = [Work(place=_given_place(truth, chosen), members=range(members))]
        for drawn in self.generator.stream(work, request, total=members, track=track):
            yield drawn.samples

    def _request(self, wanted: Sequence[str], members: int) -> Request:
        request = Request(
            want=tuple(wanted), members=members, seed=self.seed, solver=self.solver, evaluations=self.evaluations
        )
        return request.settled(self.generator.model.config)


def as_samples(patch: Patch, modalities: ModalitySet, provenance: Mapping[str, Any], *, member: int = 0) -> Samples:
    """A patch of the world as one member in physical units, reflectance without offset."""
    return build_samples(
        {m.name: _physical(patch, m.name)[None] for m in modalities},
        modalities=modalities,
        ground=patch.ground,
        members=[member],
        provenance=provenance,
        time=np.datetime64(patch["timestamp"], "D"),
    )


def _physical(patch: Patch, name: str) -> np.ndarray:
    value = np.asarray(patch[name])
    if COPGEN[name].encoding == "reflectance":
        return np.asarray(dn_to_reflectance(value, offset=patch.offset))
    return value


def _given_place(patch: Patch, given: ModalitySet | tuple[()]) -> GivenPlace:
    """True values as `copgen generate` would have read them from files; () for nothing given."""
    return GivenPlace(
        place_id=f"{patch.cell}_{patch.patch_index}",
        ground=patch.ground,
        values=as_given(patch.values, given) if given else {},
        offsets={m.product: patch.offset for m in given if m.encoding == "reflectance"},
        notes=(),
    )
