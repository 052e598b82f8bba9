"""Named arrays as an Orbax checkpoint, written from and read to host memory.

Orbax copies host arrays before it writes them, because it may write in the background; here it writes at once, so that
copy and the compression buffers are left out: writing a network takes no memory beyond the network.
"""

import errno
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from copgen_jax.checkpoints.shapes import Path as Key
from copgen_jax.checkpoints.shapes import flatten, unflatten
from copgen_jax.errors import InputError


def save_arrays(place: Path, arrays: Mapping[Key, np.ndarray]) -> None:
    """Write {path: array} as the Orbax checkpoint `place`, a directory that does not exist yet.

    Raises:
        OSError: the disk is full (with errno ENOSPC, whatever the storage library says).
    """
    needed = sum(array.nbytes for array in arrays.values())
    if shutil.disk_usage(place.parent).free < needed:
        raise OSError(errno.ENOSPC, f"{needed} bytes do not fit on the disk", str(place))
    with _checkpointer() as checkpointer:
        checkpointer.save(place.absolute(), args=ocp.args.PyTreeSave(unflatten(arrays)))
    # For object stores, which cannot rename; it says where on this machine the directory was written.
    (place / "commit_success.txt").unlink(missing_ok=True)


def describe_arrays(place: Path) -> dict[Key, tuple[tuple[int, ...], np.dtype]]:
    """{path: (shape, type)} of an Orbax checkpoint, without reading the arrays.

    Raises:
        InputError: it does not exist or is damaged.
    """
    with _checkpointer() as checkpointer, _explained(place):
        described = flatten(checkpointer.metadata(place.absolute()).item_metadata.tree)  # pyright: ignore
        return {key: (tuple(entry.shape), np.dtype(entry.dtype)) for key, entry in described.items()}


def restore_arrays(place: Path, shapes: Mapping[Key, tuple[int, ...]]) -> dict[Key, np.ndarray]:
    """Read the arrays of an Orbax checkpoint, which should have just these names and shapes.

    Raises:
        InputError: it does not exist, is damaged, or holds other arrays (found out before any is read).
    """
    check_shapes({key: shape for key, (shape, _) in describe_arrays(place).items()}, shapes, str(place))
    with _checkpointer() as checkpointer, _explained(place):
        restored = flatten(checkpointer.restore(place.absolute(), args=ocp.args.PyTreeRestore()))
        return {key: np.asarray(array) for key, array in restored.items()}


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    """Orbax and its storage library raise many kinds of errors on damaged files; the user needs one sentence."""
    if not place.is_dir():
        raise InputError(f"{place} is missing; the model directory is not complete")
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"{place} is damaged or not complete: its arrays cannot be read; copy it again") from error


def check_shapes(found: Mapping[Key, tuple[int, ...]], expected: Mapping[Key, tuple[int, ...]], what: str) -> None:
    """Raise InputError naming the first array that is missing, unexpected or of another shape, and how many more."""
    problems = [f"{'/'.join(key)} is missing" for key in expected if key not in found]
    problems += [
        f"{'/'.join(key)} has shape {shape} instead of {expected[key]}"
        for key, shape in found.items()
        if key in expected and shape != expected[key]
    ]
    problems += [f"{'/'.join(key)[:100]} is unexpected" for key in found if key not in expected]
    if problems:
        more = f", and {len(problems) - 1} more do not fit either" if len(problems) > 1 else ""
        raise InputError(f"{what} does not hold the parameters of its configuration: {problems[0]}{more}")


@contextmanager
def _checkpointer() -> Iterator[ocp.Checkpointer]:
    handler = ocp.type_handlers.NumpyHandler(deepcopy_host_arrays=False)
    registry = ocp.type_handlers.create_type_handler_registry((np.ndarray, handler))
    # Orbax tells the user on the console about its own temporary directories.
    logger, level = logging.getLogger("absl"), logging.getLogger("absl").level
    logger.setLevel(logging.ERROR)
    try:
        with ocp.Checkpointer(
            ocp.PyTreeCheckpointHandler(use_compression=False, type_handler_registry=registry)
        ) as checkpointer:
            yield checkpointer
    finally:
        logger.setLevel(level)
