"""Images of one modality for the training of its autoencoder, the same ones however the work is shared.

Step s takes positions s B to (s + 1) B - 1 of an endless stream, process r of w the r-th run of B / w of them; what
stands at a position is a pure function of data and seed.

`DrawnImages` draws every patch of a synthetic world anew. `StoredImages` reads cells or tiles: an epoch goes through
all places in a shuffled order, a group of places at a time is held in memory, and its patches are shuffled among
themselves. So every place is read once an epoch, and a group mixes patches of different places. What fits in memory as
a whole is one group, and is read once.

Both keep cells for testing apart (`copgen_jax.data.majortom.Split`): `held_out` is of these alone.
"""

import re
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from copgen_jax import units
from copgen_jax.data.majortom import Observation, Patch, Source, Split, cut, patches_along, read_all
from copgen_jax.data.pipeline import shuffled_positions
from copgen_jax.data.world import OFFSET, World
from copgen_jax.encode.sources import open_source
from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality, ModalitySet

GROUP_PATCHES = 576
"""Patches in a group: 16 cells of 192 px patches."""
HELD_BYTES = 4e9
"""Training images that take no more are held in memory together."""
_WORLD = re.compile(r"world:(\d+)")
_TRIES = 256
"""Numbers of the world that belong to one position: the first whose cell is of the wanted side is taken."""

Image = np.ndarray
"""(H, W, C) float32 network values."""


class Images(Protocol):
    """Where images come from."""

    def at(self, position: int) -> Image:
        """The training image at a position of the stream."""
        ...

    def held_out(self, count: int) -> list[Image]:
        """At most `count` images of places that no training image comes from."""
        ...


class ImageBatches:
    """The batches of one process, by step: `batches[step]`, or `batches.from_step(step)` read ahead by threads."""

    def __init__(self, images: Images, *, batch_size: int, process: int = 0, processes: int = 1):
        """Share the stream.

        Args:
            images: the stream.
            batch_size: of the global batch: all processes together.
            process: number of this process.
            processes: how many share the global batch.

        Raises:
            InputError: a batch that does not divide.
        """
        if batch_size % processes:
            raise InputError(f"a batch of {batch_size} does not divide between {processes} processes")
        self.images = images
        self._batch_size, self._share, self._process = batch_size, batch_size // processes, process

    def __getitem__(self, step: int) -> dict[str, Any]:
        """{"images": (b, H, W, C)}: this process's part of a step's batch, in host memory."""
        first = step * self._batch_size + self._process * self._share
        return {"images": np.stack([self.images.at(first + i) for i in range(self._share)])}

    def from_step(self, step: int = 0, *, threads: int = 2, ahead: int = 4) -> Iterator[dict[str, Any]]:
        """Endless batches from `step` on, `ahead` of them made in advance by `threads`."""
        import grain

        steps = grain.MapDataset.range(step, sys.maxsize)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
        return iter(steps.map(self.__getitem__).to_iter_dataset(options))


def open_images(
    data: str | Path,
    modality: Modality,
    *,
    model_s2_offset: int,
    s2_offset: int | Mapping[str, int] | None = None,
    split: Split,
    seed: int,
) -> Images:
    """Images of one modality, of a directory or of a synthetic world.

    Args:
        data: a directory (`copgen_jax.data.majortom.open_data`); `world:SEED`, drawn without end; `world:SEED:CELLS`.
        modality: which, on its grid.
        model_s2_offset: the model's own convention, to which Sentinel-2 numbers are brought.
        s2_offset: that of the data, where it has to be stated.
        split: which cells train.
        seed: of the order.

    Raises:
        InputError: see `copgen_jax.encode.open_source` and `StoredImages`.
    """
    match = _WORLD.fullmatch(str(data))
    if match:
        return DrawnImages(int(match[1]), modality, s2_offset=model_s2_offset, split=split)
    source = open_source(data, ModalitySet((modality,)), s2_offset=s2_offset)
    return StoredImages(source, modality, s2_offset=model_s2_offset, split=split, seed=seed)


def is_world(data: str | Path) -> bool:
    """Whether images are drawn without end."""
    return _WORLD.fullmatch(str(data)) is not None


class DrawnImages:
    """Patches of a synthetic world, each drawn when it is needed and never again."""

    def __init__(self, seed: int, modality: Modality, *, s2_offset: int, split: Split):
        """A world; nothing is drawn yet.

        Args:
            seed: of the world.
            modality: what is drawn, on its grid.
            s2_offset: the model's own convention, to which Sentinel-2 numbers are brought.
            split: which cells train.
        """
        self._world = World(seed, ModalitySet((modality,)))
        self._modality, self._s2_offset, self._split = modality, s2_offset, split

    def at(self, position: int) -> Image:
        """The training image at a position."""
        return self._image(position, "train")

    def held_out(self, count: int) -> list[Image]:
        """`count` images of test cells."""
        return [self._image(position, "test") for position in range(count)]

    def _number(self, position: int, side: str) -> int:
        """Number of the world's patch at a position."""
        for number in range(position * _TRIES, (position + 1) * _TRIES):
            if self._split.of(self._world.address(number)[0]) == side:
                return number
        raise InputError(f"the split leaves next to no cells to {side}: choose a test share between 0.05 and 0.95")

    def _image(self, position: int, side: str) -> Image:
        values = self._world.patch(self._number(position, side))[self._modality.name]
        if self._modality.encoding == "reflectance":
            values = units.shift_dn(values, offset=OFFSET, to_offset=self._s2_offset)
        return np.asarray(units.image_to_network(self._modality, values), np.float32)


class StoredImages:
    """Patches of cells or tiles, read group by group."""

    def __init__(self, source: Source, modality: Modality, *, s2_offset: int, split: Split, seed: int):
        """Split the places, and read training places until one has a patch.

        Args:
            source: opened with this modality alone.
            modality: what is read, on its grid.
            s2_offset: the model's own convention, to which Sentinel-2 numbers are brought.
            split: which cells train.
            seed: of the order.

        Raises:
            InputError: no training place, no place to test on, no patch of the modality.
        """
        self._source, self._modality, self._s2_offset, self._seed = source, modality, s2_offset, seed
        self._only = ModalitySet((modality,))
        sides = {name: split.of(name) for name in source.names}
        self._train, self._test = ([n for n, s in sides.items() if s == side] for side in ("train", "test"))
        for places, what in ((self._train, "train on"), (self._test, "test on")):
            if not places:
                raise InputError(
                    f"the split leaves none of the {len(source.names)} places to {what}; change --test-share, or name "
                    f"the test cells with --split-list"
                )
        self._first, self._per_place = self._first_place()
        self._is_held = self.epoch * self._first[0].images[modality.name].nbytes <= HELD_BYTES
        in_group = max(1, GROUP_PATCHES // self._per_place) * self._per_place
        self._per_group = self.epoch if self._is_held else in_group
        self._lock = threading.Lock()
        self._groups: dict[tuple[int, int], list[Patch]] = {}

    @property
    def epoch(self) -> int:
        """Positions in which every training place is seen once."""
        return len(self._train) * self._per_place

    def at(self, position: int) -> Image:
        """The training image at a position."""
        epoch, within = divmod(position, self.epoch)
        group, place = divmod(within, self._per_group)
        size = min(self._per_group, self.epoch - group * self._per_group)
        patches = self._group(0 if self._is_held else epoch, group, size)
        key = zlib.crc32(f"{self._seed} {epoch} {group}".encode())
        (shuffled,) = shuffled_positions(key, place, 1, size)
        # Where patches lack the modality, others of the group stand in.
        return self._network(patches[shuffled % len(patches)])

    def held_out(self, count: int) -> list[Image]:
        """Images of test places, evenly from as many of them as there are."""
        each = -(-count // len(self._test))
        images: list[Image] = []
        for observation in read_all(self._source, self._test):
            patches = self._patches(observation)
            chosen = patches[:: max(1, len(patches) // each)][:each]
            images += [self._network(patch) for patch in chosen]
            if len(images) >= count:
                break
        if not images:
            raise InputError(f"none of the {len(self._test)} places to test on has a patch of {self._modality.name}")
        return images[:count]

    def _group(self, epoch: int, group: int, size: int) -> list[Patch]:
        """Patches of a group; two groups are held, since batches cross from one to the next."""
        with self._lock:
            if (epoch, group) not in self._groups:
                count = size // self._per_place
                first = epoch * len(self._train) + group * (self._per_group // self._per_place)
                places = shuffled_positions(self._seed, first, count, len(self._train))
                observations = read_all(self._source, [self._train[i] for i in places])
                patches = [patch for observation in observations for patch in self._patches(observation)]
                self._groups = dict([*self._groups.items()][-1:]) | {(epoch, group): patches or self._first}
            return self._groups[epoch, group]

    def _first_place(self) -> tuple[list[Patch], int]:
        """The patches of the first training place that has some, and how many a place has."""
        for observation in read_all(self._source, self._train, threads=1):
            patches = self._patches(observation)
            if patches:
                return patches, patches_along(observation, self._only) ** 2
        raise InputError(f"none of the {len(self._train)} places to train on has a patch of {self._modality.name}")

    def _patches(self, observation: Observation) -> list[Patch]:
        if self._modality.name not in observation.rasters:
            return []
        return [patch for patch in cut(observation, self._only) if self._modality.name in patch.images]

    def _network(self, patch: Patch) -> Image:
        values = patch.network_values(self._only, s2_offset=self._s2_offset)[self._modality.name]
        return np.asarray(values, np.float32)
