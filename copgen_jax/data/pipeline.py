"""From the latent store to training batches, the same ones however many processes and threads there are.

Position p of the endless stream of patches lies in epoch e = p div n, where n patches are eligible, and the patch is a
keyed permutation of p mod n whose key is made of (seed, e). Step s takes positions s B to (s + 1) B - 1, process r of w
the r-th run of B / w of them: so the global batch is a pure function of (seed, s), processes hold it in order, and a
run restarts from the number of its step alone. grain reads ahead with threads; tensorstore decodes outside Python.

Batches hold posterior moments; the posterior is drawn on the device, afresh every time.
"""

import collections
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from copgen_jax import units
from copgen_jax.data.latents import Coordinates, LatentStore, MomentsReader, read_coordinates, require_moments
from copgen_jax.errors import InputError
from copgen_jax.modalities import ModalitySet

Batch = dict[str, Any]
"""{"moments": {image modality: (b, h, w, 2c)}, "vectors": {location, timestamp: (b, 3)}, "presence": bool (b, M)}."""


class Batches:
    """The batches of one process, by step: `batches[step]`, or `batches.from_step(step)` read ahead by threads."""

    def __init__(
        self,
        store: LatentStore,
        split: str,
        *,
        batch_size: int,
        seed: int,
        modalities: ModalitySet | None = None,
        complete_only: bool = False,
        process: int = 0,
        processes: int = 1,
    ):
        """Choose the patches.

        Args:
            store: the latents; check them against the model with `require_latent_space`.
            split: name of the split.
            batch_size: of the global batch: all processes together.
            seed: of the order of patches.
            modalities: what a batch holds, in this order; all of the store's by default.
            complete_only: only patches that have every one of `modalities`, as the original trains. Else those with at
                least one image; the rest is zeros where `presence` is False.
            process: number of this process; `jax.process_index()`.
            processes: how many share the global batch; `jax.process_count()`.

        Raises:
            InputError: no such split, a modality that the store lacks, a batch that does not divide, no patch left.
        """
        if batch_size < 1 or batch_size % processes:
            raise InputError(f"a batch of {batch_size} does not divide between {processes} processes")
        chosen = modalities or store.description.modalities
        for modality in chosen:
            if modality != store.description.modalities[modality.name]:
                raise InputError(f"{store.path} holds another kind of {modality.name} than the model's")
        self._coordinates = _of_modalities(read_coordinates(store, split), store.description.modalities, chosen)
        self._modalities = chosen
        self._reader = MomentsReader(store=store, split=split, names=tuple(m.name for m in chosen.images))
        self._batch_size, self._seed = batch_size, seed
        self._process, self._processes = process, processes
        self._eligible = _eligible(self._coordinates.presence, chosen, complete_only=complete_only)
        if not len(self._eligible):
            which = "all of" if complete_only else "any of"
            raise InputError(f"no patch in split {split} of {store.path} has {which} {', '.join(chosen.names)}")

    @property
    def patches(self) -> int:
        """Patches of an epoch: the eligible ones of the split."""
        return len(self._eligible)

    @property
    def steps_per_epoch(self) -> float:
        """Steps in which every eligible patch is seen once; an epoch may end within a batch."""
        return self.patches / self._batch_size

    def rows(self, step: int) -> Int[np.ndarray, " batch"]:
        """Rows of the store in the global batch of a step."""
        positions = shuffled_positions(self._seed, step * self._batch_size, self._batch_size, self.patches)
        return self._eligible[positions]

    def __getitem__(self, step: int) -> Batch:
        """This process's part of a step's batch, in host memory."""
        share = self._batch_size // self._processes
        rows = self.rows(step)[self._process * share :][:share]
        presence = self._coordinates.presence[rows]
        columns = dict(zip(self._modalities.names, presence.T, strict=True))
        moments = self._reader.read(rows)
        require_moments(self._reader.store, self._reader.split, moments, columns)
        for name, values in moments.items():
            if not columns[name].all():
                values[~columns[name]] = 0
        return {
            "moments": moments,
            "vectors": network_vectors(self._coordinates, self._modalities, rows),
            "presence": presence,
        }

    def from_step(self, step: int = 0, *, threads: int = 2, ahead: int = 4) -> Iterator[Batch]:
        """Endless batches from `step` on, `ahead` of them read in advance by `threads`."""
        import grain

        steps = grain.MapDataset.range(step, sys.maxsize)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
        return iter(steps.map(self.__getitem__).to_iter_dataset(options))


def shuffled_positions(seed: int, start: int, count: int, patches: int) -> Int[np.ndarray, " count"]:
    """Which of `patches` patches stand at positions start ... start + count - 1 of the endless shuffled stream.

    Every run of positions e n ... (e + 1) n - 1 is a permutation; nothing is stored for it.
    """
    from grain.experimental import index_shuffle

    positions = []
    for position in range(start, start + count):
        epoch, index = divmod(position, patches)
        key = zlib.crc32(f"{seed} {epoch}".encode())
        positions.append(index_shuffle(index, max_index=patches - 1, seed=key, rounds=4))
    return np.asarray(positions, np.int64)


def network_vectors(
    coordinates: Coordinates, modalities: ModalitySet, rows: Int[np.ndarray, " n"]
) -> dict[str, Float[np.ndarray, "n 3"]]:
    """Place and date of rows as the network takes them; zeros where unknown."""
    vectors = {}
    for modality in modalities.vectors:
        if modality.encoding == "position":
            degrees = np.stack([coordinates.latitude[rows], coordinates.longitude[rows]], axis=-1)
            vectors[modality.name] = np.nan_to_num(units.position_to_network(degrees))
        else:
            vectors[modality.name] = np.nan_to_num(units.date_to_network(coordinates.time[rows]))
    return vectors


def on_devices(batches: Iterable[Mapping[str, Any]], sharding: Any, *, ahead: int = 2) -> Iterator[Batch]:
    """Global device arrays of every process's batches, copied `ahead` of their use.

    Args:
        batches: this process's parts, as `Batches.from_step` yields them.
        sharding: a `jax.sharding.Sharding` that splits the first axis between devices.
        ahead: batches on the devices at once.
    """
    import jax

    waiting: collections.deque[Batch] = collections.deque()
    for batch in batches:
        waiting.append(jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), dict(batch)))
        if len(waiting) >= ahead:
            yield waiting.popleft()
    yield from waiting


def _of_modalities(coordinates: Coordinates, there: ModalitySet, chosen: ModalitySet) -> Coordinates:
    """The same with the presence columns of the chosen modalities."""
    columns = [there.names.index(name) for name in chosen.names]
    return Coordinates(
        presence=coordinates.presence[:, columns],
        latitude=coordinates.latitude,
        longitude=coordinates.longitude,
        time=coordinates.time,
    )


def _eligible(
    presence: Bool[np.ndarray, "patches modalities"], modalities: ModalitySet, *, complete_only: bool
) -> Int[np.ndarray, " eligible"]:
    """Rows an epoch goes through, in order."""
    if complete_only:
        return np.flatnonzero(presence.all(axis=1))
    images = [modalities.names.index(m.name) for m in modalities.images]
    return np.flatnonzero(presence[:, images].any(axis=1))
