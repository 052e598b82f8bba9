"""Torch files written by hand, byte by byte, so that they can say what torch would never write."""

import zipfile
from io import BytesIO

import numpy as np


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def numbers(values) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tensor(key: str, count: int, shape, strides, *, offset: int = 0, storage: str = "FloatStorage") -> bytes:
    """The instructions that rebuild a tensor."""
    identifier = b"(" + text("storage") + named("torch", storage) + text(key) + text("cuda:0") + number(count) + b"tQ"
    hooks = named("collections", "OrderedDict") + b")R"
    arguments = b"(" + identifier + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + hooks + b"t"
    return named("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def dictionary(items: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in items.items()) + b"u"


def pickle(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def archive(body: bytes, storages: dict[str, np.ndarray], **options) -> bytes:
    """A torch zip with a pickle of `body` and the storages `data/<key>`."""
    entries = [("m/data.pkl", pickle(body)), ("m/byteorder", b"little")]
    entries += [(f"m/data/{key}", np.ascontiguousarray(values).tobytes()) for key, values in storages.items()]
    return zipped(entries, **options)


def zipped(entries, compression=zipfile.ZIP_STORED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in entries:
            file.writestr(name, data)
    return buffer.getvalue()


def flat(arrays: dict[str, np.ndarray]) -> bytes:
    """A flat checkpoint of contiguous float32 arrays."""
    body = {}
    for key, (name, array) in enumerate(arrays.items()):
        strides = [step // array.itemsize for step in np.ascontiguousarray(array).strides]
        body[name] = tensor(str(key), array.size, array.shape, strides)
    return archive(dictionary(body), {str(key): array for key, array in enumerate(arrays.values())})
