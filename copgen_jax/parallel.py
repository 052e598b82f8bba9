"""Devices: one mesh with the axes `data` and `fsdp`, and where arrays lie on it.

Batches are cut along both axes; parameters along `fsdp` only, so with `fsdp` 1 every device holds them whole.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from copgen_jax.errors import InputError

DATA, FSDP = "data", "fsdp"


def make_mesh(devices: Sequence[Any] | None = None, *, fsdp: int = 1) -> Mesh:
    """A (data, fsdp) mesh over the given devices, or all.

    Raises:
        InputError: `fsdp` does not divide the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    if fsdp < 1 or len(devices) % fsdp:
        raise InputError(f"{len(devices)} devices do not divide into groups of {fsdp}; choose fsdp among its divisors")
    # The default axis type of new jax, Explicit, is not understood by Flax Linen.
    shape = (len(devices) // fsdp, fsdp)
    return jax.make_mesh(shape, (DATA, FSDP), axis_types=(AxisType.Auto,) * 2, devices=np.asarray(devices).tolist())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Leading axis cut over all devices."""
    return NamedSharding(mesh, PartitionSpec((DATA, FSDP)))


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device."""
    return NamedSharding(mesh, PartitionSpec())
