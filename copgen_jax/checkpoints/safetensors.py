"""The safetensors format: 8 bytes N, N bytes of JSON {name: dtype, shape, data_offsets}, then the numbers.

The header is believed in nothing: every range is compared with the shape and with the file before it is touched.
"""

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.files import file_aside

LARGEST_HEADER = 1 << 24
"""Bytes: a thousand parameters need about 100 kB."""

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def read(mapping: mmap.mmap, source: str) -> dict[str, np.ndarray]:
    """The arrays of a memory-mapped safetensors file, read-only and without a copy.

    Raises:
        InputError: a header that is absurd, not JSON, or does not fit the file.
    """
    size = int.from_bytes(mapping[:8], "little")
    if size > min(LARGEST_HEADER, len(mapping) - 8):
        raise InputError(
            f"{source} is refused: its safetensors header claims {size} bytes, the file has {len(mapping)} "
            f"and {LARGEST_HEADER} is the most a header may have"
        )
    try:
        header = json.loads(mapping[8 : 8 + size], object_pairs_hook=lambda pairs: _unique(pairs, source))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is damaged: its safetensors header is not JSON") from error
    if not isinstance(header, dict):
        raise InputError(f"{source} is damaged: its safetensors header is not an object")
    header.pop("__metadata__", None)
    arrays, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: _offsets(item[1], item[0], source)):
        first, last = _offsets(entry, name, source)
        if first != end:
            raise InputError(f"{source} is refused: the numbers of {name!r} overlap others or leave a gap before them")
        arrays[name] = _array(mapping, 8 + size, name, entry, source)
        end = last
    if 8 + size + end != len(mapping):
        raise InputError(
            f"{source} is damaged: its header describes {8 + size + end} bytes, the file has {len(mapping)}"
        )
    return {name: arrays[name] for name in header}


def write(path: str | Path, arrays: Mapping[str, np.ndarray], *, metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays as safetensors; the file appears under its name when it is complete."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in arrays.items():
        header[name] = {"dtype": names[array.dtype], "shape": array.shape, "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with file_aside(path) as aside, aside.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _unique(pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise InputError(f"{source} is refused: its safetensors header names something twice")
    return names


def _offsets(entry: Any, name: str, source: str) -> tuple[int, int]:
    fields = ("dtype", "shape", "data_offsets")
    if not isinstance(entry, dict) or set(entry) != set(fields):
        raise InputError(f"{source} is damaged: its header entry {name!r} does not have {', '.join(fields)}")
    offsets = entry["data_offsets"]
    numbers = isinstance(offsets, list) and len(offsets) == 2 and all(type(n) is int for n in offsets)
    if not numbers or not 0 <= offsets[0] <= offsets[1]:
        raise InputError(f"{source} is damaged: the data_offsets of {name!r} are not two positions in order")
    return offsets[0], offsets[1]


def _array(mapping: mmap.mmap, start: int, name: str, entry: dict[str, Any], source: str) -> np.ndarray:
    shape, (first, last) = entry["shape"], entry["data_offsets"]
    dtype = DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise InputError(f"{source} is refused: {name!r} has the unknown type {str(entry['dtype'])[:40]!r}")
    if not isinstance(shape, list) or len(shape) > 32 or any(type(n) is not int or n < 0 for n in shape):
        raise InputError(f"{source} is damaged: the shape of {name!r} is not a list of sizes")
    size = math.prod(shape) * dtype.itemsize
    if size != last - first or start + last > len(mapping):
        raise InputError(
            f"{source} is damaged: {name!r} needs {size} bytes, its header gives {last - first} from "
            f"{start + first} on in a file of {len(mapping)}"
        )
    if not size:
        return np.empty(_possible(shape, source, name), dtype)
    return np.ndarray(tuple(shape), dtype, buffer=mapping, offset=start + first)


def _possible(shape: list[int], source: str, name: str) -> tuple[int, ...]:
    if math.prod(n for n in shape if n) > 1 << 40:
        raise InputError(f"{source} is refused: {name!r} has the absurd shape {shape}")
    return tuple(shape)
