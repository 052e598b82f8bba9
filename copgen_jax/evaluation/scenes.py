"""What a model is judged on: a place, what may be given there, and acquisitions that are true.

A `Bench` names cells and makes a `Scene` of each: real data (`DataBench`) or the synthetic world (`WorldBench`), where
any number of true acquisitions can be drawn. Values are as users see them, by modality name: images (band, y, x) of
reflectance without offset (0 where there is no data), linear power, metres or class codes; location (2,) degrees,
timestamp datetime64[D].
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from copgen_jax.data.majortom import Issue, Observation, central_patch, open_data
from copgen_jax.data.majortom.split import Split
from copgen_jax.data.world import Patch, World
from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.distribution import L2A_BANDS
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.rasters.given.reading import GivenPlace, as_given
from copgen_jax.rasters.ground import Ground
from copgen_jax.units import REFLECTANCE_SCALE

Values = Mapping[str, np.ndarray]

STATIC = ("location", "DEM", "LULC")
"""What does not change between acquisitions of a place."""

KEPT_SCENES = 8
"""Scenes of a bench that are held in memory for the next source and set of conditions."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """One cell."""

    name: str
    place: GivenPlace
    """Everything that can be given: the static modalities and those of the first acquisition."""
    truths: tuple[Values, ...]
    """The acquisitions, static modalities included."""
    cell: Values | None = None
    """The rasters of the whole cell around the patch, where they are known."""
    problems: tuple[str, ...] = ()
    """What is missing or odd, in sentences."""

    @property
    def ground(self) -> Ground | None:
        """Where the patch lies."""
        return self.place.ground

    @property
    def land_cover(self) -> np.ndarray | None:
        """Land-cover codes (y, x); None where they are not known."""
        return self.truths[0]["LULC"][0] if "LULC" in self.truths[0] else None


class Bench(Protocol):
    """Cells to judge models on."""

    @property
    def modalities(self) -> ModalitySet:
        """Those that scenes have."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of the cells."""
        ...

    @property
    def synthetic(self) -> bool:
        """Whether it is the simulated world."""
        ...

    @property
    def description(self) -> str:
        """For the report: which data, how many cells."""
        ...

    def scene(self, name: str, acquisitions: int, *, clear: bool = False) -> Scene:
        """A cell with at most that many true acquisitions; `clear`: without any cloud, as far as the data can tell."""
        ...


@dataclasses.dataclass(frozen=True)
class WorldBench:
    """Held-out patches of a synthetic world; acquisitions are exact draws given DEM, land cover and location."""

    seed: int
    modalities: ModalitySet = COPGEN
    cells: int = 100

    synthetic = True

    @cached_property
    def world(self) -> World:
        """The world."""
        return self.another(self.seed)

    def another(self, seed: int) -> World:
        """The same places in a world of another seed: independent draws; it knows clouds even where no model does."""
        pixels = round(self.modalities.images[0].extent / 10)
        return World(seed, COPGEN.resized(pixels).subset([*self.modalities.names, "cloud_mask"]))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Numbers of the first patches whose cells a model must not have trained on, by name."""
        split, found, number = Split(), {}, 0
        while len(found) < self.cells:
            cell, patch = self.world.address(number)
            if split.of(cell) == "test":
                found[f"{cell}_patch_{patch}"] = number
            number += 1
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Of the held-out patches."""
        return tuple(self._numbers)

    @property
    def description(self) -> str:
        """For the report."""
        return f"synthetic world {self.seed}, {self.cells} held-out patches; acquisitions are exact draws"

    def static(self, name: str) -> Patch:
        """Place, height and land cover of a patch."""
        return self.world.place(self._numbers[name])

    def scene(self, name: str, acquisitions: int, *, clear: bool = False) -> Scene:
        """A patch with that many acquisitions."""
        return _world_scene(self, name, max(1, acquisitions), clear)


@lru_cache(maxsize=KEPT_SCENES)
def _world_scene(bench: WorldBench, name: str, acquisitions: int, clear: bool) -> Scene:
    drawn = draw_acquisitions(bench.world, bench.static(name), acquisitions, clear=clear)
    place = GivenPlace(
        place_id=name,
        ground=drawn[0].ground,
        values=as_given(drawn[0].values, bench.modalities),
        offsets={m.product: drawn[0].offset for m in bench.modalities if m.encoding == "reflectance"},
        notes=(),
    )
    return Scene(name=name, place=place, truths=tuple(world_values(bench.modalities, patch) for patch in drawn))


MOST_TRIES = 60
"""Draws per clear one after which a place counts as always cloudy."""


def draw_acquisitions(
    world: World, place: Patch, count: int, fixed: tuple[str, ...] = (), *, clear: bool = False
) -> list[Patch]:
    """Exact draws at a place, or the first of them whose sky is clear: exact draws given that it is.

    Raises:
        InputError: hardly any draw is clear.
    """
    if not clear:
        return [world.acquisition(place, member, fixed) for member in range(count)]
    found: list[Patch] = []
    for member in range(MOST_TRIES * count):
        if not np.any(world.acquisition(place, member, fixed, ("cloud_mask",))["cloud_mask"]):
            found.append(world.acquisition(place, member, fixed))
        if len(found) == count:
            return found
    raise InputError(f"{place.cell}: only {len(found)} of {MOST_TRIES * count} draws have a clear sky, not {count}")


def world_values(modalities: ModalitySet, patch: Patch) -> dict[str, np.ndarray]:
    """A patch of the world as users see it."""
    offsets = {m.product: patch.offset for m in modalities if m.encoding == "reflectance"}
    return outward({key: value for key, value in patch.values.items() if key in modalities}, modalities, offsets)


class DataBench:
    """Cells or tiles on disk, one acquisition each; the patch is the published one: the middle of a cell."""

    synthetic = False

    def __init__(
        self,
        path: str | Path,
        *,
        modalities: ModalitySet = COPGEN,
        s2_offset: int | Mapping[str, int] | None = None,
        cells: int | None = None,
    ):
        """Open the data; `cells` keeps the first so many.

        Raises:
            InputError: no data there, or a Sentinel-2 offset that has to be stated.
        """
        self.source = open_data(path, modalities=modalities, s2_offset=s2_offset)
        self.modalities = modalities
        self.names = tuple(self.source.names[:cells])
        self.description = f"{Path(path).name}, {len(self.names)} cells, one acquisition each"

    @lru_cache(maxsize=KEPT_SCENES)  # noqa: B019 (a bench lives as long as the program)
    def scene(self, name: str, acquisitions: int, *, clear: bool = False) -> Scene:
        """A cell with its one acquisition, which was chosen for little cloud.

        Raises:
            InputError: the cell has nothing that can be given or compared.
        """
        del acquisitions, clear
        observation = self.source.read(name)
        patch = central_patch(observation, self.modalities)
        values = {m.name: patch.physical(m) for m in self.modalities if patch.physical(m) is not None}
        if not patch.images:
            raise InputError(f"{name} has no image that can be read; {_sentences(observation.issues)}")
        place = GivenPlace(
            place_id=name,
            ground=patch.ground,
            values=as_given(values, self.modalities),
            offsets=patch.s2_offsets,
            notes=(),
        )
        return Scene(
            name=name,
            place=place,
            truths=(outward(values, self.modalities, patch.s2_offsets),),
            cell=_whole(observation, self.modalities),
            problems=tuple(str(issue) for issue in (*observation.issues, *patch.issues)),
        )


def open_bench(
    data: str, *, modalities: ModalitySet = COPGEN, s2_offset: Any = None, cells: int | None = None
) -> Bench:
    """The bench of `--data`: "world:SEED" or a directory.

    Raises:
        InputError: the seed is no number, or the directory holds no data.
    """
    if not data.startswith("world:"):
        return DataBench(data, modalities=modalities, s2_offset=s2_offset, cells=cells)
    seed = data.removeprefix("world:")
    if not seed.isdigit():
        raise InputError(f"--data {data!r}: expected a whole number after world:, such as world:0")
    return WorldBench(seed=int(seed), modalities=modalities, cells=cells or 100)


def outward(values: Mapping[str, Any], modalities: ModalitySet, offsets: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Physical values as they are stored (images (y, x, band), Sentinel-2 DN) as users see them; DN 0 stays 0."""
    out = {}
    for name, value in values.items():
        modality, value = modalities[name], np.asarray(value)
        if modality.encoding == "reflectance":
            offset = np.float32(offsets[modality.product])
            value = np.where(value == 0, np.float32(0), (value.astype(np.float32) - offset) / REFLECTANCE_SCALE)
        out[name] = np.moveaxis(value, -1, 0) if modality.is_image else value
    return out


def enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """An image (y, x) on a finer grid of `side` pixels, by repetition.

    Raises:
        InputError: the sides are no multiples.
    """
    factor, rest = divmod(side, image.shape[-1])
    if rest:
        raise InputError(
            f"an image of {image.shape[-1]} px does not fit a grid of {side} px: other ground or other bands"
        )
    return image.repeat(factor, axis=-2).repeat(factor, axis=-1)


def l2a_stack(values: Values, refine: Callable[[np.ndarray, int], np.ndarray] = enlarge) -> np.ndarray:
    """The twelve Level-2A bands on the finest grid, in the benchmark's order: float32 (12, y, x).

    Coarser pixels are repeated, which leaves every mean and every quantile of a band as it is; or brought to the
    finest grid's side by `refine`.

    Raises:
        InputError: a band is missing.
    """
    groups = [COPGEN[name] for name in COPGEN.names if name.startswith("S2L2A")]
    missing = [m.name for m in groups if m.name not in values]
    if missing:
        raise InputError(f"{missing[0]} is missing; the twelve bands of S2L2A are compared together")
    for m in groups:
        if len(values[m.name]) != len(m.bands):
            raise InputError(f"{m.name} has {len(values[m.name])} bands; expected {' '.join(m.bands)}")
    bands = {band: values[m.name][i] for m in groups for i, band in enumerate(m.bands)}
    side = max(image.shape[-1] for image in bands.values())
    return np.stack([refine(bands[band], side) for band in L2A_BANDS]).astype(np.float32)


def _whole(observation: Observation, modalities: ModalitySet) -> Values:
    known = {
        name: raster
        for name, raster in observation.rasters.items()
        if modalities[name].encoding != "reflectance" or modalities[name].product in observation.s2_offsets
    }
    return outward(known, modalities, observation.s2_offsets)


def _sentences(issues: tuple[Issue, ...]) -> str:
    return "; ".join(map(str, issues)) or "its files are missing"
