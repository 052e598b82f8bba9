"""The pickle inside a torch file, read as a list of instructions instead of executed.

A pickle is a program for a small stack machine; Python's own machine imports and calls whatever the program names.
This one knows the instructions that describe plain data and, for classes, an allow-list of exactly those that a tensor
needs. A class is never imported and nothing of the file is called: each allowed name has a rule here that returns plain
data, and a tensor becomes a `Tensor`, a description of where its numbers lie. Everything else is refused by name.
"""

import dataclasses
import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any

import ml_dtypes
import numpy as np

from copgen_jax.errors import InputError

LARGEST_PICKLE = 1 << 24
"""Bytes: a training state of a thousand parameters has 300 kB."""

STORAGES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
"""torch's storage classes and the type of their elements."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Storage:
    """A run of numbers in an entry of the file."""

    key: str
    """Name of the entry below `data/`: compared with the file's own list, never used as a path."""
    dtype: np.dtype
    count: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
    """A strided window on a storage; offset and strides count elements. Not yet checked against the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Name:
    """A class or function that the pickle names; never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class _Mark:
    """Where a group of stack entries begins."""


def read(data: bytes, source: str) -> Any:
    """The object that a torch pickle describes, with `Tensor` in the place of tensors.

    Raises:
        InputError: it names a class outside the allow-list, uses an instruction that plain data does not need, is
            absurdly long, or is damaged. `source` is the file in the sentence.
    """
    return read_from(BytesIO(data), source)[0]


def read_from(stream: Any, source: str) -> tuple[Any, dict[str, Storage]]:
    """The same of the pickle that begins where a binary stream stands, and all storages it names, by key.

    Afterwards the stream stands behind the pickle.
    """
    machine = _Machine(source)
    start = stream.tell()
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            if stream.tell() - start > LARGEST_PICKLE:
                raise InputError(f"{source} is refused: its list of parameters is longer than {LARGEST_PICKLE} bytes")
            if instruction.name == "STOP":
                return machine.pop(), machine.storages
            machine.execute(instruction.name, argument)
    except InputError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{source} is damaged, or not written by torch.save: its list of parameters breaks off") from (
            error
        )
    raise InputError(f"{source} is damaged: its list of parameters has no end")


def _tensor(storage, offset, shape, strides, *rest) -> Tensor:
    """`torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`, or the older one."""
    del rest
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or len(shape) != len(strides) or any(type(n) is not int for n in numbers):
        raise ValueError("not the arguments of a tensor")
    return Tensor(storage=storage, offset=offset, shape=tuple(shape), strides=tuple(strides))


def _parameter(tensor, *rest) -> Tensor:
    """`torch._utils._rebuild_parameter(tensor, requires_grad, hooks)`."""
    del rest
    if not isinstance(tensor, Tensor):
        raise ValueError("a parameter that is no tensor")
    return tensor


def _ordered(items=()) -> dict:
    """`collections.OrderedDict(items)`."""
    ordered = {}
    for key, value in items:
        ordered[_key(key)] = value
    return ordered


def _key(key: Any) -> str | int:
    if type(key) not in (str, int):
        raise ValueError(f"a {type(key).__name__} as a dictionary's key")
    return key


_RULES: dict[_Name, Callable[..., Any]] = {
    _Name("collections", "OrderedDict"): _ordered,
    _Name("torch._utils", "_rebuild_tensor"): _tensor,
    _Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    _Name("torch._utils", "_rebuild_parameter"): _parameter,
    _Name("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    _Name("torch", "Size"): tuple,
}
_ALLOWED = {*_RULES, *(_Name("torch", name) for name in STORAGES)}

_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = {"PROTO", "FRAME"}


class _Machine:
    """Stack and memory of one pickle."""

    def __init__(self, source: str):
        self.source = source
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def pop(self) -> Any:
        return self.stack.pop()

    def execute(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _SHORT_TUPLES:
            items = [self.pop() for _ in range(_SHORT_TUPLES[name])]
            self.stack.append(tuple(reversed(items)))
        elif name not in _NOTHING:
            rule = getattr(self, f"_do_{name.lower()}", None)
            if rule is None:
                raise InputError(f"{self.source} is refused: plain tensors do not need the pickle instruction {name}")
            rule(argument)

    def _to_mark(self) -> list[Any]:
        items = []
        while (item := self.pop()) is not _Mark:
            items.append(item)
        return items[::-1]

    def _do_mark(self, _) -> None:
        self.stack.append(_Mark)

    def _do_tuple(self, _) -> None:
        self.stack.append(tuple(self._to_mark()))

    def _do_append(self, _) -> None:
        item = self.pop()
        self._last(list).append(item)

    def _do_appends(self, _) -> None:
        items = self._to_mark()
        self._last(list).extend(items)

    def _do_setitem(self, _) -> None:
        value, key = self.pop(), self.pop()
        self._last(dict)[_key(key)] = value

    def _do_setitems(self, _) -> None:
        items = self._to_mark()
        target = self._last(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def _last(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"a {kind.__name__} is expected")
        return self.stack[-1]

    def _do_binput(self, index) -> None:
        self.memory[index] = self.stack[-1]

    _do_long_binput = _do_binput

    def _do_memoize(self, _) -> None:
        self.memory[len(self.memory)] = self.stack[-1]

    def _do_binget(self, index) -> None:
        self.stack.append(self.memory[index])

    _do_long_binget = _do_binget

    def _do_global(self, argument: str) -> None:
        self._name(*argument.split(" ", 1))

    def _do_stack_global(self, _) -> None:
        name, module = self.pop(), self.pop()
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        named = _Name(module, name)
        if named not in _ALLOWED:
            raise InputError(
                f"{self.source} is refused: it holds an object of class {str(named)[:100]!r}, and only tensors by name "
                "are read (nothing is executed); save the module's state_dict() instead"
            )
        self.stack.append(named)

    def _do_reduce(self, _) -> None:
        arguments, named = self.pop(), self.pop()
        self.stack.append(_RULES[named](*arguments))

    def _do_build(self, _) -> None:
        """A state dict carries `_metadata` (module versions) as an attribute; it says nothing about the numbers."""
        self.pop()
        self._last(dict)

    def _do_binpersid(self, _) -> None:
        """("storage", class, key, device, number of elements); the device it was on does not matter here.

        The format before PyTorch 1.6 adds None, or of which larger storage this one is a part, which is not read.
        """
        tag, named, key, _device, count, *part = self.pop()
        if tag != "storage" or type(key) is not str or type(count) is not int or count < 0 or part not in ([], [None]):
            raise ValueError("not a storage")
        storage = Storage(key=key, dtype=STORAGES[named.name], count=count)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError("two storages of one key")
        self.stack.append(storage)
