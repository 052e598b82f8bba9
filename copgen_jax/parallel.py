"""Devices: one mesh with the axes `data` and `fsdp`, and where arrays lie on it.

Batches are cut along both axes. Parameters, their average and the optimiser's moments are cut along `fsdp` only: with
`fsdp` 1 every device holds them whole (pure data parallelism), with all devices on `fsdp` each holds its share (pure
FSDP: a layer's parameters are gathered when they are used, its gradients summed into shares). XLA derives the
communication from where arrays lie; nothing else in the program knows how many devices or processes there are.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from copgen_jax.errors import InputError

DATA, FSDP = "data", "fsdp"

CUT = (
    # A parameter's path (the end of it), and its axes in the order in which they are tried: the first that the number
    # of shares divides is cut. Axis 0 of a stack of layers is left alone: a scan walks along it.
    (r"_blocks/.*kernel", (-1, -2)),  # (layer, in, out)
    (r"_blocks/.*(bias|scale)", (-1,)),  # (layer, features)
    (r"kernel", (-1, -2)),  # (in, out) of a Dense layer, (row, column, in, out) of a convolution
    (r"position_embedding", (-1,)),  # (token, width)
    (r"(bias|scale)", (-1,)),  # (features,)
)
"""Which axis of a parameter is cut along `fsdp`. What matches no line, or divides nowhere, is whole on every device."""

WHOLE_SHARE = 0.4
"""Of a device's memory: what parameters and optimiser may take before they are cut."""

COORDINATOR, PROCESSES, PROCESS = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
"""Environment of a process of many: host:port of the first, how many, which one this is."""


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


def state_shardings(mesh: Mesh, state: Any) -> Any:
    """A sharding for every array of a tree of parameters, or of what is kept for each of them (`CUT`).

    Args:
        mesh: from `make_mesh`.
        state: any pytree of arrays or shapes whose paths end like those of the parameters.
    """

    def of(path: Any, leaf: Any) -> NamedSharding:
        return NamedSharding(mesh, cut_of(jax.tree_util.keystr(path, simple=True, separator="/"), leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(of, state)


def cut_of(path: str, shape: Sequence[int], mesh: Mesh) -> PartitionSpec:
    """Where the parameter at `path` ("in_blocks/qkv/kernel") is cut."""
    shares = mesh.shape[FSDP]
    axes = next((axes for pattern, axes in CUT if re.search(pattern + "$", path)), ())
    for axis in axes:
        if shares > 1 and len(shape) >= -axis and shape[axis] % shares == 0:
            spec: list[str | None] = [None] * len(shape)
            spec[axis] = FSDP
            return PartitionSpec(*spec)
    return PartitionSpec()


def choose_fsdp(state_bytes: int, device_bytes: int | None, devices: int) -> int:
    """How many devices share one copy of the state: the fewest with which it takes at most `WHOLE_SHARE` of each.

    One (pure data parallelism) where the state fits or a device's memory is not known; all where it never does.

    Args:
        state_bytes: parameters, average, moments and gradients together.
        device_bytes: memory of one device; None where unknown.
        devices: how many there are.
    """
    if device_bytes is None:
        return 1
    divisors = [n for n in range(1, devices + 1) if devices % n == 0]
    return next((n for n in divisors if state_bytes / n <= WHOLE_SHARE * device_bytes), devices)


def device_memory() -> int | None:
    """Bytes of one device, where it says; a CPU does not."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    return int(statistics["bytes_limit"]) if "bytes_limit" in statistics else None


def start_processes(environment: Mapping[str, str] = os.environ) -> None:
    """Join the other processes of a job, where the environment speaks of them; call it before anything else of JAX.

    `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID` together name a job; the launchers set them.

    Raises:
        InputError: only some of them are set, or they are no numbers.
    """
    given = [name for name in (COORDINATOR, PROCESSES, PROCESS) if environment.get(name)]
    if not given:
        return
    if len(given) < 3:
        missing = next(name for name in (COORDINATOR, PROCESSES, PROCESS) if name not in given)
        raise InputError(f"the environment sets {given[0]} but not {missing}; a job of many processes needs both")
    try:
        count, number = int(environment[PROCESSES]), int(environment[PROCESS])
    except ValueError as error:
        raise InputError(
            f"{PROCESSES} is {environment[PROCESSES]!r} and {PROCESS} is {environment[PROCESS]!r}; expected numbers"
        ) from error
    if not 0 <= number < count:
        raise InputError(f"{PROCESS} is {number}; expected 0 to {count - 1}, as {PROCESSES} is {count}")
    jax.distributed.initialize(environment[COORDINATOR], count, number)
