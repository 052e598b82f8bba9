"""Small latent stores with known contents, for the tests of everything that reads one."""

import numpy as np

from copgen_jax.data.latents import Description, Shard, create_store, write_shard
from copgen_jax.modalities import TINY

DESCRIPTION = Description(modalities=TINY, latent_space="a" * 64, patches_per_cell=144, s2_offset=0)


def cell_names(count):
    return [f"{i}U_{i % 7}R" for i in range(count)]


def contents(store, split, shard, *, absent=0.1, seed=0):
    """Random moments of one shard, a pure function of (seed, split, shard)."""
    rng = np.random.default_rng([seed, len(split), shard])
    rows = len(store.layout(split).rows_of(shard))
    images = store.description.modalities.images
    place = rng.uniform([-80, -180], [80, 180], (rows, 2))
    place[rng.random(rows) < absent] = np.nan
    time = np.datetime64("2017-01-01") + rng.integers(0, 3000, rows)
    time[rng.random(rows) < absent] = np.datetime64("NaT")
    return Shard(
        moments={
            m.name: rng.normal(size=(rows, *store.description.moments_shape(m.name))).astype(np.float32) for m in images
        },
        presence={m.name: rng.random(rows) >= absent for m in images},
        latitude=place[:, 0],
        longitude=place[:, 1],
        time=time,
    )


def make_store(path, *, description=DESCRIPTION, cells=None, absent=0.1):
    """A finished store."""
    store = create_store(path, description, cells or {"train": cell_names(10), "test": cell_names(1)})
    for split in store.layouts:
        for shard in store.missing_shards(split):
            write_shard(store, split, shard, contents(store, split, shard, absent=absent))
    return store


def expected(store, split):
    """The moments that should be read back, rows in order, NaN where absent; and all shards' contents joined."""
    shards = [contents(store, split, shard) for shard in range(store.layout(split).shards)]
    moments = {}
    for name in shards[0].moments:
        values = np.concatenate([s.moments[name] for s in shards]).astype(store.description.precision)
        values[~np.concatenate([s.presence[name] for s in shards])] = np.nan
        moments[name] = values
    return moments, shards
