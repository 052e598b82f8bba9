"""Reading pickles of plain data and numpy arrays from files that nobody vouches for.

A pickle is a program for a small stack machine, and what it can name it can call. Here a name gets a rule of this
module or the pickle is refused by that name; nothing is imported. Arrays and their types are built by plain classes
that check what they are told, so that no numpy object takes its state from the file.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from copgen_jax.errors import InputError


def read_pickle(data: bytes, where: str) -> Any:
    """The object of a pickle that may hold dicts, lists, text, bytes, numbers and numpy arrays of plain numbers.

    Arrays stand alone or as values of the outermost dict.

    Raises:
        InputError: it names anything else, or is damaged. `where` is the entry in the sentence.
    """
    try:
        value = _Unpickler(io.BytesIO(data), where).load()
    except InputError:
        raise
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError(f"{where} is damaged: its pickle does not read ({type(error).__name__})") from error
    if isinstance(value, dict):
        return {key: _finished(item) for key, item in value.items()}
    return _finished(value)


def _finished(value: Any) -> Any:
    return value.values if isinstance(value, _Array) else value


class _Kind:
    """Stands for `numpy.dtype` of plain numbers; no objects, which could hold anything."""

    def __init__(self, code: Any, *rest: Any):
        del rest
        if not isinstance(code, str) or code not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
            raise ValueError("an array of something else than numbers")
        self.dtype = np.dtype(f"<{code}")

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError("no byte order")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for `numpy.ndarray`."""

    values: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        self.values = _values(data, kind, shape, "F" if fortran else "C")


def _values(data: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(data, bytes | bytearray) or not isinstance(kind, _Kind) or order not in ("C", "F"):
        raise ValueError("not the state of an array")
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order)


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    """`numpy.core.multiarray._reconstruct`: an empty array, which takes its state next."""
    del kind, shape, code
    return _Array()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    """`numpy.core.numeric._frombuffer`, of pickle protocol 5."""
    array = _Array()
    array.values = _values(data, kind, shape, order)
    return array


def _latin(text: Any, encoding: Any) -> bytes:
    """`_codecs.encode`: how old protocols write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("bytes are written as latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """`bytes()`: how old protocols write none."""
    return b""


class _Rule:
    """A function that the pickle may call and not alter."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a function has no state")


_RULES: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Rule(_Kind),
    ("numpy", "ndarray"): "numpy.ndarray",
    ("_codecs", "encode"): _Rule(_latin),
    ("__builtin__", "bytes"): _Rule(_no_bytes),
    ("numpy.core.multiarray", "_reconstruct"): _Rule(_reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): _Rule(_reconstruct),
    ("numpy.core.numeric", "_frombuffer"): _Rule(_from_buffer),
    ("numpy._core.numeric", "_frombuffer"): _Rule(_from_buffer),
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, where: str):
        super().__init__(file)
        self._where = where

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle gets for a name: a rule of ours, never an import."""
        if (module, name) not in _RULES:
            raise InputError(
                f"{self._where} is refused: its pickle names {module}.{name}, moments need numpy arrays only"
            )
        return _RULES[module, name]
