"""The format of torch.save before version 1.6, in which torchvision's and lpips' older weights are still distributed.

Five pickles in a row (a magic number, the format's version, the machine's byte order, the object, the keys of its
storages), then for each key, in that order, the count of numbers (int64) and the numbers. There are no checksums: what
can be checked is that every size agrees with every other and that the last number is where the file ends.
"""

import struct
from mmap import mmap
from typing import Any

from copgen_jax.checkpoints import pickled
from copgen_jax.errors import InputError

START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first pickle: the magic number."""
_VERSION = 1001
_COUNT = struct.Struct("<q")


def read(mapping: mmap, source: str) -> tuple[Any, dict[str, tuple[int, int]]]:
    """(the object, with `pickled.Tensor` in the place of tensors; first and last byte of each storage's numbers).

    Raises:
        InputError: truncated, damaged, of another version or byte order, or it holds more than tensors.
    """
    mapping.seek(len(START))
    (version, _), (machine, _), (content, storages), (keys, _) = (pickled.read_from(mapping, source) for _ in range(4))
    if version != _VERSION or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise InputError(f"{source} has version {str(version)[:20]} of PyTorch's old format, or big-endian numbers")
    if not isinstance(keys, list) or set(map(str, keys)) != set(storages) or len(keys) != len(storages):
        raise InputError(f"{source} is damaged: the numbers that it lists are not those of its tensors")
    places: dict[str, tuple[int, int]] = {}
    at = mapping.tell()
    for key in map(str, keys):
        storage = storages[key]
        start = at + _COUNT.size
        at = start + storage.count * storage.dtype.itemsize
        if at > len(mapping):
            raise InputError(f"{source} is truncated: its last numbers are missing; fetch it again")
        (count,) = _COUNT.unpack(mapping[start - _COUNT.size : start])
        if count != storage.count:
            raise InputError(f"{source} is damaged: a tensor needs {storage.count} numbers, the file has {count} there")
        places[key] = start, at
    if at != len(mapping):
        raise InputError(f"{source} is damaged: {len(mapping) - at} bytes follow its last numbers")
    return content, places
