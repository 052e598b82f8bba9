"""The latent store: posterior moments of every patch, as a Zarr v3 hierarchy that any Zarr reader opens.

`create_store` and `write_shard` make one, `open_store` and `MomentsReader` read it, `verify` finds damage and
`summarise` says what is in it. The format is described in `documents` and docs/latent-store.md.
"""

from copgen_jax.data.latents.documents import Description
from copgen_jax.data.latents.layout import Layout, patches_per_cell
from copgen_jax.data.latents.store import (
    Coordinates,
    LatentStore,
    MomentsReader,
    open_store,
    read_coordinates,
    read_grounds,
    require_latent_space,
    require_moments,
)
from copgen_jax.data.latents.writing import Shard, create_store, remove_leftovers, write_shard

__all__ = [
    "Coordinates",
    "Description",
    "LatentStore",
    "Layout",
    "MomentsReader",
    "Shard",
    "create_store",
    "open_store",
    "patches_per_cell",
    "read_coordinates",
    "read_grounds",
    "remove_leftovers",
    "require_latent_space",
    "require_moments",
    "write_shard",
]
