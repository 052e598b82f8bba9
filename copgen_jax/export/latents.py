"""A latent store of some patches of another one: it opens, trains and decodes as that one does."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from copgen_jax.data.latents import LatentStore, MomentsReader, Shard, create_store, require_moments, write_shard
from copgen_jax.export.selection import Chosen
from copgen_jax.progress import Track, silently


def export_latents(chosen: Sequence[Chosen], path: Path, *, track: Track = silently) -> LatentStore:
    """Write the cells of the chosen patches; their other patches, and modalities not wanted, are absent.

    Raises:
        InputError: the place is taken or cannot be written to.
    """
    description = chosen[0].store.description
    provenance = {**description.provenance, "subset_of": str(chosen[0].store.path)}
    kept = {part.split: list(dict.fromkeys(cell for cell, _ in part.places)) for part in chosen}
    store = create_store(path, dataclasses.replace(description, provenance=provenance), kept)
    work = [(part, shard) for part in chosen for shard in range(store.layout(part.split).shards)]
    for part, shard in track(work, total=len(work), what="copying shards"):
        cells = [kept[part.split][cell] for cell in store.layout(part.split).cells_of(shard)]
        write_shard(store, part.split, shard, _shard(part, cells))
    return store


def _shard(chosen: Chosen, cells: Sequence[str]) -> Shard:
    """The rows of some cells, with what was not chosen marked absent."""
    per_cell = chosen.store.description.patches_per_cell
    numbers = {cell: number for number, cell in enumerate(chosen.cells)}
    rows = np.concatenate([numbers[cell] * per_cell + np.arange(per_cell) for cell in cells])
    kept = np.isin(rows, chosen.rows)
    there = np.flatnonzero(kept)
    old = chosen.coordinates
    names = chosen.store.description.modalities.names
    moments = {}
    read = MomentsReader(store=chosen.store, split=chosen.split, names=chosen.names).read(rows[there])
    present = {name: old.presence[rows[there], names.index(name)] for name in read}
    require_moments(chosen.store, chosen.split, read, present)
    for name, values in read.items():
        moments[name] = np.zeros((len(rows), *values.shape[1:]), values.dtype)
        moments[name][there] = values
    grounds = dict(zip(chosen.rows.tolist(), chosen.grounds, strict=True))
    return Shard(
        moments=moments,
        presence={name: old.presence[rows, names.index(name)] & kept for name in moments},
        latitude=np.where(kept, old.latitude[rows], np.nan),
        longitude=np.where(kept, old.longitude[rows], np.nan),
        time=np.where(kept, old.time[rows], np.datetime64("NaT", "D")),
        grounds=[grounds.get(row) for row in rows.tolist()],
    )
