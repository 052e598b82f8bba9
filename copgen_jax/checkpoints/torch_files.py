"""Tensors by name from files that PyTorch wrote, without PyTorch and without executing anything in them.

A torch file is a zip of uncompressed entries: `<name>/data.pkl`, a pickle that describes the tensors (read by
`checkpoints.pickled`), and `<name>/data/<key>`, their numbers. The file is memory-mapped and the arrays are read-only
windows on it, so that reading costs no memory of its own. Files of older versions are laid out otherwise
(`checkpoints.old_torch_files`) and read the same way. Files come from strangers: each claim of the file (sizes,
offsets, strides, checksums) is compared with what is there before it is used.
"""

import dataclasses
import itertools
import math
import mmap
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.checkpoints import old_torch_files, pickled, safetensors
from copgen_jax.errors import InputError

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 1


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by name: torch's zip format, its older one, or safetensors, told apart by content.

    A training state is unwrapped: the EMA parameters (`ema.ema_model.*`) without prefix and without `loss.*`; without
    an EMA, the entry `state_dict` or `model`. The prefix `module.` of distributed training is dropped. The arrays have
    the file's types (bfloat16 from ml_dtypes), are read-only and memory-mapped: the file must stay as it is while they
    are used.

    Raises:
        InputError: no such file, truncated, damaged, another format, or it holds more than tensors.
    """
    source = str(path)
    mapping = _mapped(Path(path))
    if mapping[:4] == _LOCAL_SIGNATURE:
        return _read_zip(mapping, source)
    if mapping[: len(old_torch_files.START)] == old_torch_files.START:
        return _read_old(mapping, source)
    if mapping[8:9] == b"{":
        return safetensors.read(mapping, source)
    if mapping[:24] == b"version https://git-lfs.":
        raise InputError(f"{source} is a Git LFS pointer, not the weights themselves: download the file it stands for")
    raise InputError(f"{source} is neither a PyTorch checkpoint nor a safetensors file")


def forget_pages(array: np.ndarray) -> None:
    """Let the system take back the memory behind an array of `read_torch`; its values are read again when used."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _mapped(path: Path) -> mmap.mmap:
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise InputError(f"{path} is empty") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read: permission is denied") from error


def _read_zip(mapping: mmap.mmap, source: str) -> dict[str, np.ndarray]:
    entries = _entries(mapping, source)
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise InputError(f"{source} is a zip file but no PyTorch checkpoint: it needs one data.pkl, has {len(pickles)}")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise InputError(f"{source} is a TorchScript program, not a set of tensors: save the state_dict() instead")
    order = entries.get(f"{root}byteorder")
    if order is not None and mapping[order.start : order.end] != b"little":
        raise InputError(f"{source} was written on a machine with big-endian numbers, which are not read")
    first = entries[pickles[0]]
    first.check(mapping, source)
    if first.end - first.start > pickled.LARGEST_PICKLE:
        raise InputError(f"{source} is refused: its list of parameters has {first.end - first.start} bytes")
    tensors = _named_tensors(pickled.read(mapping[first.start : first.end], source), source)
    storages = {tensor.storage for tensor in tensors.values()}
    data = {storage: _storage_entry(storage, root, entries, mapping, source) for storage in storages}
    return {
        name: _window(tensor, data[tensor.storage].start, mapping, name, source) for name, tensor in tensors.items()
    }


def _read_old(mapping: mmap.mmap, source: str) -> dict[str, np.ndarray]:
    content, places = old_torch_files.read(mapping, source)
    return {
        name: _window(tensor, places[tensor.storage.key][0], mapping, name, source)
        for name, tensor in _named_tensors(content, source).items()
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    """Where an uncompressed zip entry lies in the file."""

    name: str
    start: int
    end: int
    checksum: int

    def check(self, mapping: mmap.mmap, source: str) -> None:
        """Compare with the CRC-32 in the zip's directory; torch can be told to write 0 there instead."""
        if self.checksum and zlib.crc32(memoryview(mapping)[self.start : self.end]) != self.checksum:
            raise InputError(f"{source} is damaged: the checksum of its entry {self.name} is wrong; fetch it again")


def _entries(mapping: mmap.mmap, source: str) -> dict[str, _Entry]:
    """The zip's entries by name, each checked to lie in the file, alone and uncompressed."""
    try:
        with zipfile.ZipFile(source) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OverflowError, ValueError, struct.error, EOFError) as error:
        raise InputError(f"{source} is truncated or damaged: its zip directory cannot be read") from error
    entries: dict[str, _Entry] = {}
    for info in infos:
        if info.filename in entries:
            raise InputError(f"{source} is refused: two of its entries have the name {info.filename[:100]!r}")
        entries[info.filename] = _entry(info, mapping, source)
    ordered = sorted(entries.values(), key=lambda entry: (entry.start, entry.end))
    for one, other in itertools.pairwise(ordered):
        if other.start < one.end:
            raise InputError(f"{source} is refused: its entries {one.name[:100]!r} and {other.name[:100]!r} overlap")
    return entries


def _entry(info: zipfile.ZipInfo, mapping: mmap.mmap, source: str) -> _Entry:
    name = info.filename[:100]
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
        raise InputError(f"{source} is refused: its entry {name!r} is compressed or encrypted, torch.save does neither")
    header = mapping[info.header_offset : info.header_offset + _LOCAL_HEADER.size] if info.header_offset >= 0 else b""
    if len(header) < _LOCAL_HEADER.size or header[:4] != _LOCAL_SIGNATURE:
        raise InputError(f"{source} is truncated or damaged: its entry {name!r} is not where the directory says")
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if info.compress_size != info.file_size or start + info.file_size > len(mapping):
        raise InputError(
            f"{source} is refused: its entry {name!r} claims {info.file_size} bytes, more than the file has there"
        )
    return _Entry(name=info.filename, start=start, end=start + info.file_size, checksum=info.CRC)


def _storage_entry(
    storage: pickled.Storage, root: str, entries: Mapping[str, _Entry], mapping: mmap.mmap, source: str
) -> _Entry:
    entry = entries.get(f"{root}data/{storage.key}")
    if entry is None:
        raise InputError(f"{source} is damaged: the numbers {storage.key[:100]!r} that its list names are not in it")
    claimed, present = storage.count * storage.dtype.itemsize, entry.end - entry.start
    if claimed != present:
        raise InputError(f"{source} is damaged: its entry {entry.name} has {present} bytes, its list says {claimed}")
    entry.check(mapping, source)
    if hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
    return entry


def _window(tensor: pickled.Tensor, first: int, mapping: mmap.mmap, name: str, source: str) -> np.ndarray:
    """The strided view of the mapping that a tensor is: within its storage, which begins at `first`, or refused."""
    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    size = storage.dtype.itemsize
    absurd = max(len(mapping), 1 << 20)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if (
        len(shape) > 32
        or min((tensor.offset, *shape, *strides)) < 0
        or math.prod(max(n, 1) for n in shape) * size > absurd
        or (0 not in shape and last >= storage.count)
    ):
        raise InputError(
            f"{source} is refused: {name[:100]!r} of shape {shape}, offset {tensor.offset} and strides {strides} does "
            f"not fit its {storage.count} stored numbers"
        )
    if 0 in shape:
        return np.empty(shape, storage.dtype)
    start = first + tensor.offset * size
    return np.ndarray(
        shape, storage.dtype, buffer=mapping, offset=start, strides=tuple(step * size for step in strides)
    )


def _named_tensors(content: Any, source: str) -> dict[str, pickled.Tensor]:
    """The parameters in a checkpoint's object: a flat dict, or the part of a training state that is used."""
    if not isinstance(content, dict):
        raise InputError(f"{source} holds a {type(content).__name__}, not tensors by name")
    prefix, chosen = "", content
    average = content.get("ema", content)
    if isinstance(average, dict) and any(str(name).startswith("ema_model.") for name in average):
        prefix, chosen = "ema_model.", average
    else:
        chosen = next((content[k] for k in ("state_dict", "model") if isinstance(content.get(k), dict)), content)
    names = [name for name in chosen if str(name).startswith(prefix)]
    if chosen and all(str(name).startswith(f"{prefix}module.") for name in names):
        prefix += "module."
    wrapped = chosen is not content or bool(prefix)
    tensors = {str(name).removeprefix(prefix): chosen[name] for name in names}
    if wrapped:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("loss.")}
    if not tensors:
        raise InputError(f"{source} holds no parameters")
    for name, tensor in tensors.items():
        if not isinstance(tensor, pickled.Tensor):
            raise InputError(
                f"{source} holds {name[:100]!r}, a {type(tensor).__name__}, where tensors by name are expected; "
                "known are flat dictionaries and training states with ema, state_dict or model"
            )
    return tensors
