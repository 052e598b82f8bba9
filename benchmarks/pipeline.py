"""Patches per second from disk to host arrays: the pipeline, zarr-python and LMDB on the same moments.

The moments are synthetic (standard normal means, log-variances around -6), of the published sizes: 52,224 numbers a
patch. Everything is read once before it is timed, so the figures are of a warm page cache: decoding, not the disk. The
original keeps one LMDB of pickled dictionaries of float32 bytes; it is read here patch by patch in shuffled order, as
its data loader does.
"""

import dataclasses
import pickle
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import Result
from benchmarks.machine import own_memory
from copgen_jax.data.latents import Description, LatentStore, Shard, create_store, patches_per_cell, write_shard
from copgen_jax.data.pipeline import Batches
from copgen_jax.modalities import COPGEN

BATCH = 256
SPLIT = "train"


def run(quick: bool) -> Result:
    """Write a store and an LMDB of the same moments, read both in every way, and sum up."""
    shards, patches = (2, 2_000) if quick else (16, 100_000)
    with tempfile.TemporaryDirectory(prefix="copgen-pipeline-") as folder:
        store, writing = _store(Path(folder) / "store", shards)
        _lmdb(Path(folder) / "lmdb", store)
        named = dataclasses.replace(store, description=dataclasses.replace(store.description, packed=False))
        rows = [
            _row("pipeline, packed twin", _pipeline(store, patches), store),
            _row("pipeline, named arrays", _pipeline(named, patches // 4), store),
            _row("zarr-python, named arrays", _zarr(store, patches // 100), store),
            _row("LMDB of pickled float32", _pickles(Path(folder) / "lmdb", store, patches // 5), store),
        ]
        sizes = _bytes_per_patch(Path(folder), store)
    draws = _posterior_draws(4 if quick else 40)
    return Result(
        title="From stored moments to host arrays, warm",
        rows=rows,
        notes=[
            f"MB/s counts float16. {store.description.numbers:,} numbers a patch, batches of {BATCH}, {shards} shards "
            f"of {store.layout(SPLIT).patches_per_shard} patches, two reading threads; memory is the "
            "process's own.",
            "Bytes a patch on disk: " + ", ".join(f"{what} {size:,.0f}" for what, size in sizes.items()) + ".",
            f"Writing shards with the twin: {writing:,.0f} patches/s. Posterior draws on {draws[1]}: {draws[0]:,.0f} "
            "patches/s.",
        ],
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What one way of reading took."""

    patches: int
    seconds: float
    processor_seconds: float
    early_megabytes: float
    late_megabytes: float
    """The process's own memory (mapped files left out) after a tenth of the patches and at the end."""


def _row(name: str, reading: Reading, store: LatentStore) -> dict[str, Any]:
    rate = reading.patches / reading.seconds
    return {
        "reader": name,
        "patches/s": round(rate),
        "MB/s": round(rate * 2 * store.description.numbers / 1e6),
        "per CPU second": round(reading.patches / reading.processor_seconds),
        "read": reading.patches,
        "MB at 10 %": round(reading.early_megabytes),
        "MB at the end": round(reading.late_megabytes),
    }


def _timed(read: Callable[[int], object], patches: int) -> Reading:
    """Call `read(step)` for whole batches until `patches` are read; two calls before the clock starts."""
    steps = max(2, patches // BATCH)
    for step in range(2):
        read(step)
    started, processor, early = time.perf_counter(), _processor_seconds(), 0.0
    for step in range(2, steps + 2):
        read(step)
        if step <= 2 + steps // 10:
            early = own_memory("RssAnon") / 1e6
    return Reading(
        patches=steps * BATCH,
        seconds=time.perf_counter() - started,
        processor_seconds=_processor_seconds() - processor,
        early_megabytes=early,
        late_megabytes=own_memory("RssAnon") / 1e6,
    )


def _pipeline(store: LatentStore, patches: int) -> Reading:
    batches = Batches(store, SPLIT, batch_size=BATCH, seed=0).from_step(0)
    return _timed(lambda _: next(batches), patches)


def _zarr(store: LatentStore, patches: int) -> Reading:
    """zarr-python, a batch of rows of every named array at once."""
    import zarr

    group = zarr.open_group(store.path / SPLIT, mode="r")
    arrays = [group[m.name] for m in store.description.modalities.images]
    order = Batches(store, SPLIT, batch_size=BATCH, seed=0)
    return _timed(lambda step: [array.oindex[order.rows(step)] for array in arrays], patches)  # pyright: ignore


def _pickles(path: Path, store: LatentStore, patches: int) -> Reading:
    """The original's way: a pickle a patch, modalities as float32 bytes, stacked to a batch."""
    import lmdb

    environment = lmdb.open(str(path), readonly=True, lock=False, readahead=False)
    order = Batches(store, SPLIT, batch_size=BATCH, seed=0)
    shapes = {m.published_key: _channel_first(store.description, m.name) for m in store.description.modalities.images}

    def read(step: int) -> dict[str, np.ndarray]:
        with environment.begin() as transaction:
            values = [pickle.loads(transaction.get(str(row).encode(), b"")) for row in order.rows(step)]
        return {
            key: np.stack([np.frombuffer(value[key], np.float32).reshape(shape) for value in values])
            for key, shape in shapes.items()
        }

    try:
        return _timed(read, patches)
    finally:
        environment.close()


def _posterior_draws(steps: int) -> tuple[float, str]:
    """Draws per second, mean + exp(log_variance / 2) eps, of whole patches on the default device; and the device."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def draw(moments, key):
        mean, log_variance = jnp.split(moments.astype(jnp.float32), 2, axis=-1)
        return mean + jnp.exp(0.5 * jnp.clip(log_variance, -30.0, 20.0)) * jax.random.normal(key, mean.shape)

    moments = jnp.zeros((BATCH, _description().numbers // 16, 16), jnp.float16)
    draw(moments, jax.random.key(0)).block_until_ready()
    started = time.perf_counter()
    for step in range(steps):
        draw(moments, jax.random.key(step)).block_until_ready()
    return steps * BATCH / (time.perf_counter() - started), jax.devices()[0].device_kind


def _description() -> Description:
    return Description(
        modalities=COPGEN,
        latent_space="0" * 64,
        patches_per_cell=patches_per_cell(COPGEN),
        s2_offset=1000,
        packed=True,
        synthetic=True,
    )


def _moments(description: Description, patches: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    moments = {}
    for modality in description.modalities.images:
        values = rng.standard_normal((patches, *description.moments_shape(modality.name)), np.float32)
        values[..., values.shape[-1] // 2 :] = 0.5 * values[..., values.shape[-1] // 2 :] - 6.0
        moments[modality.name] = values
    return moments


def _store(path: Path, shards: int) -> tuple[LatentStore, float]:
    """A finished store, and how many patches a second were written to it."""
    description = _description()
    cells_per_shard = 576 // description.patches_per_cell
    store = create_store(path, description, {SPLIT: [f"{i}U_0R" for i in range(shards * cells_per_shard)]})
    patches = store.layout(SPLIT).patches_per_shard
    moments = _moments(description, patches, seed=0)
    started = time.perf_counter()
    for shard in range(shards):
        contents = Shard(
            moments=moments,
            presence={name: np.ones(patches, bool) for name in moments},
            latitude=np.linspace(-80.0, 80.0, patches),
            longitude=np.linspace(-180.0, 179.0, patches),
            time=np.full(patches, np.datetime64("2020-06-01")),
        )
        write_shard(store, SPLIT, shard, contents)
    return store, store.layout(SPLIT).patches / (time.perf_counter() - started)


def _lmdb(path: Path, store: LatentStore) -> None:
    """The same moments as the original keeps them, by row number."""
    import lmdb

    description, layout = store.description, store.layout(SPLIT)
    moments = _moments(description, layout.patches_per_shard, seed=0)
    published = {m.name: m.published_key for m in description.modalities.images}
    environment = lmdb.open(str(path), map_size=layout.patches * description.numbers * 6)
    for row in range(layout.patches):
        with environment.begin(write=True) as transaction:
            patch = {
                published[name]: np.moveaxis(values[row % layout.patches_per_shard], -1, 0).tobytes()
                for name, values in moments.items()
            }
            transaction.put(str(row).encode(), pickle.dumps(patch))
    environment.close()


def _channel_first(description: Description, name: str) -> tuple[int, int, int]:
    height, width, count = description.moments_shape(name)
    return count, height, width


def _bytes_per_patch(folder: Path, store: LatentStore) -> dict[str, float]:
    def size(path: Path) -> int:
        return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())

    twin = size(store.path / SPLIT / "packed")
    patches = store.layout(SPLIT).patches
    return {
        "named arrays": (size(store.path) - twin) / patches,
        "packed twin": twin / patches,
        "LMDB": size(folder / "lmdb") / patches,
        "float32 npy": 4.0 * store.description.numbers,
    }


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
