"""Samples as one Zarr v3 store that grows by members: a group per modality, dimensions (member, band, y, x).

xarray opens it alone (`open_datatree(path)` or `open_zarr(path, group="S2L2A_10m")`); values are physical, float32 or
bytes. One chunk is one member, so that the number of members is bounded by the disk, not by memory.

A member is complete when its number stands in the `member` coordinate of every group: numbers are written after the
values of all groups, and a row that was made but has no number yet reads as -1. Whatever lies behind the last complete
row is cut off when the store is opened again. While it grows the store has another name; `finish` consolidates its
metadata, flushes it to the disk and renames it.
"""

import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from copgen_jax.errors import InputError
from copgen_jax.files import explained

_GROWING = ".growing-"
_NO_MEMBER = -1
"""What a row of the `member` coordinate reads as before its number is written; members count from 0."""


class MemberStore:
    """A store of arrays with a leading member axis, open for appending."""

    def __init__(self, path: str | Path, *, attributes: Mapping[str, Any]):
        """Open the store that will be at `path`, or go on with the one that is there or was interrupted there.

        Raises:
            InputError: what is there was drawn otherwise (its attributes differ), or the place cannot be written to.
        """
        self.path = Path(path)
        self._growing = self.path.with_name(_GROWING + self.path.name)
        self._was_finished = self.path.exists()
        with explained(self.path):
            if self._was_finished:
                shutil.rmtree(self._growing, ignore_errors=True)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._root = _open(self.path if self._was_finished else self._growing)
            self._check(dict(attributes))
            if not self._was_finished:
                self._trim()

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the complete members, in the order of the rows."""
        for name in self._names:
            return tuple(np.asarray(_array(self._root, f"{name}/member")[:]).tolist())
        return ()

    def append(self, samples: Mapping[str, xr.DataArray]) -> None:
        """Add a chunk of members: arrays by group name with a leading dimension `member`, all with the same members.

        Raises:
            InputError: the disk is full, or the place cannot be written to; the store keeps its complete members.
        """
        with explained(self.path):
            if self.path.exists():
                self.path.rename(self._growing)
                self._root = _open(self._growing)
            self._trim()
            for name, array in samples.items():
                if name not in self._root:
                    _create(self._growing, name, array)
            start = len(self.members)
            for name, array in samples.items():
                _extend(_array(self._root, f"{name}/{name}"), start, _encoded(array.values))
            for name, array in samples.items():
                _extend(_array(self._root, f"{name}/member"), start, array.coords["member"].values)

    def read(self, name: str, row: int, rows: slice = slice(None)) -> np.ndarray:
        """Values (band, y, x) of one modality and member row, or only the image rows `rows`."""
        array = _array(self._root, f"{name}/{name}")
        return np.asarray(array[row, :, rows, :])

    def finish(self) -> None:
        """Consolidate, flush to the disk and give the store its name."""
        if self.path.exists():
            return
        with explained(self.path):
            _consolidate(self._growing)
            _flush(self._growing)
            self._growing.rename(self.path)
            self._root = _open(self.path)

    def give_up(self) -> None:
        """Stop early: a store that had its name before gets it back with its complete members; another waits."""
        if self._was_finished and not self.path.exists():
            self._trim()
            self.finish()

    def _check(self, attributes: dict[str, Any]) -> None:
        before = dict(self._root.attrs)
        if not before:
            self._root.attrs.update(attributes)
        elif before != attributes:
            different = sorted(k for k in before.keys() | attributes.keys() if before.get(k) != attributes.get(k))
            key = different[0]
            raise InputError(
                f"{self.path} was made with {key} {before.get(key)!r}, this run has {attributes.get(key)!r}; "
                "choose another place or pass --overwrite"
            )

    def _trim(self) -> None:
        """Cut every group back to the members that all groups have; a group that was never finished goes."""
        for name in self._names:
            if f"{name}/{name}" not in self._root or f"{name}/member" not in self._root:
                del self._root[name]
        arrays = [_array(self._root, f"{name}/{key}") for name in self._names for key in ("member", name)]
        shortest = min((_complete_rows(array) for array in arrays), default=0)
        for array in arrays:
            if array.shape[0] != shortest:
                array.resize((shortest, *array.shape[1:]))

    @property
    def _names(self) -> list[str]:
        """Names of the groups. Arrays are reached from the root: a group may hold consolidated metadata of before."""
        return list(self._root.group_keys())


def _open(path: Path) -> zarr.Group:
    return zarr.open_group(path, mode="a", zarr_format=3, use_consolidated=False)


def _create(store: Path, name: str, array: xr.DataArray) -> None:
    """A group with the coordinates and attributes of `array` and no member yet."""
    empty = array.isel(member=slice(0))
    for coordinate in ("band", "coordinate"):
        if coordinate in empty.coords:
            empty = empty.assign_coords({coordinate: empty[coordinate].astype(np.dtypes.StringDType())})
    encoding: dict[str, Any] = {"chunks": (1, *array.shape[1:])}
    if np.issubdtype(array.dtype, np.datetime64):
        encoding = {"chunks": (1,), **_DAYS}
    times = {"time": _DAYS} if "time" in empty.coords else {}
    empty.to_dataset(name=name).to_zarr(
        store, group=name, mode="a", zarr_format=3, consolidated=False,
        encoding={name: encoding, "member": {"chunks": (1024,), "fill_value": _NO_MEMBER}, **times},
    )  # fmt: skip
    variable = _array(_open(store), f"{name}/{name}")
    scalars = [c for c in ("time", "spatial_ref") if c in array.coords]
    if scalars:
        variable.attrs["coordinates"] = " ".join(scalars)


_DAYS = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian", "dtype": "int64"}


def _encoded(values: np.ndarray) -> np.ndarray:
    """Dates as days since 1970, everything else as it is."""
    return values.astype("datetime64[D]").astype(np.int64) if values.dtype.kind == "M" else values


def _complete_rows(array: zarr.Array) -> int:
    """Length of an array of values; of a `member` coordinate, the rows before the first one without a number."""
    if array.basename != "member":
        return array.shape[0]
    numbers = np.asarray(array[:])
    return int(np.argmax(numbers == _NO_MEMBER)) if (numbers == _NO_MEMBER).any() else len(numbers)


def _extend(array: zarr.Array, start: int, values: np.ndarray) -> None:
    array.resize((start + len(values), *array.shape[1:]))
    array[start:] = values


def _array(group: zarr.Group, key: str) -> zarr.Array:
    array = group[key]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{key} is a group, expected an array")
    return array


def _consolidate(store: Path) -> None:
    """Metadata of every group in one place, which xarray looks for first."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        names = [name for name, _ in zarr.open_group(store, mode="r", use_consolidated=False).groups()]
        for name in names:
            zarr.consolidate_metadata(store, path=name)
        zarr.consolidate_metadata(store)


def _flush(store: Path) -> None:
    """Every file on the disk, so that a full disk or a power cut is noticed before the store has its name."""
    for file in store.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
