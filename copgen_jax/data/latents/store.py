"""An existing latent store: open it, ask what is in it, read rows of it."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from copgen_jax.data.latents.buffers import Buffers
from copgen_jax.data.latents.documents import BY_SHARD, Description, description_of
from copgen_jax.data.latents.layout import Layout
from copgen_jax.errors import InputError, suggestion
from copgen_jax.rasters.ground import Ground

CACHE_BYTES = 16 << 20
"""What an open reader keeps in memory, mostly the indices of shards (9 kB each)."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LatentStore:
    """A latent store on disk, complete or not."""

    path: Path
    description: Description
    layouts: Mapping[str, Layout]
    """By split."""

    def layout(self, split: str) -> Layout:
        """Rows and shards of a split.

        Raises:
            InputError: there is no such split.
        """
        if split not in self.layouts:
            raise InputError(f"{self.path} has no split {split!r}: {suggestion(split, self.layouts)}")
        return self.layouts[split]

    def missing_shards(self, split: str) -> tuple[int, ...]:
        """Shards that are not finished: `presence` is written last, so where it is, the shard is whole."""
        layout = self.layout(split)
        folder = self.path / split / "presence" / "c"
        there = {entry.name for entry in folder.iterdir() if (entry / "0").exists()} if folder.exists() else set()
        return tuple(shard for shard in range(layout.shards) if str(shard) not in there)

    @property
    def complete(self) -> bool:
        """Whether every shard of every split is finished."""
        return not any(self.missing_shards(split) for split in self.layouts)

    def cells(self, split: str) -> Sequence[str]:
        """Names of the cells of a split, in order of their rows."""
        import zarr

        with damage_explained(self.path):
            names = zarr.open_array(self.path / split / "cell", mode="r")[:]
        return [str(name) for name in np.asarray(names)[:: self.layout(split).patches_per_cell]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coordinates:
    """What is known of every patch of a split, rows in order. Takes 24 bytes and one per modality for each patch."""

    presence: Bool[np.ndarray, "patches modalities"]
    """Columns in network order; the ones of location and timestamp say whether place and date are known."""
    latitude: Float[np.ndarray, " patches"]
    """Degrees; NaN where unknown."""
    longitude: Float[np.ndarray, " patches"]
    time: Shaped[np.ndarray, " patches"]
    """datetime64[D]; NaT where unknown."""


def open_store(path: str | Path, *, incomplete: bool = False) -> LatentStore:
    """Open a latent store.

    Args:
        path: its directory.
        incomplete: also accept a store of which shards are missing; their rows read as absent.

    Raises:
        InputError: no latent store, written by a newer version, or not complete.
    """
    path = Path(path)
    root = path / "zarr.json"
    if not root.exists():
        hint = " (if its making was interrupted, start it again)" if path.exists() else ""
        raise InputError(f"{path} is no latent store: there is no zarr.json in it{hint}")
    try:
        attributes = json.loads(root.read_text())["attributes"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{root} is damaged: it is not the metadata of a Zarr group") from error
    description, layouts = description_of(attributes, source=str(path))
    store = LatentStore(path=path, description=description, layouts=layouts)
    if not incomplete and not store.complete:
        missing = {split: store.missing_shards(split) for split in layouts}
        shards = "; ".join(f"{split}: {_some(numbers)}" for split, numbers in missing.items() if numbers)
        raise InputError(f"{path} is not finished, shards are missing ({shards}): continue what wrote it with --resume")
    return store


def require_latent_space(store: LatentStore, latent_space: str, *, model: str | Path = "the model") -> None:
    """Refuse a store whose latents another model's autoencoders made.

    Raises:
        InputError: the hashes differ.
    """
    made_by = store.description.latent_space
    if made_by != latent_space:
        raise InputError(
            f"the latents in {store.path} were made by other autoencoders (latent space {made_by[:12]}) than those of "
            f"{model} ({latent_space[:12]}): encode the data with this model, or take the model that encoded them"
        )


def read_coordinates(store: LatentStore, split: str) -> Coordinates:
    """Presence, places and dates of a whole split. Rows of missing shards are absent.

    Raises:
        InputError: the arrays are damaged.
    """
    with damage_explained(store.path):
        reads = {n: open_array(store, split, n).read() for n in ("presence", "lat", "lon", "time")}
        values = {name: read.result() for name, read in reads.items()}
    return Coordinates(
        presence=values["presence"],
        latitude=values["lat"],
        longitude=values["lon"],
        time=dates_of_days(values["time"]),
    )


def read_grounds(store: LatentStore, split: str, rows: Iterable[int]) -> list[Ground | None]:
    """Where the pixels of some rows are; None where the store does not know.

    This is not the place in `Coordinates`, which is the one that the network is told.

    Raises:
        InputError: the arrays are damaged.
    """
    rows = np.asarray(rows, np.int64)
    with damage_explained(store.path):
        reads = [open_array(store, split, name)[rows].read() for name in ("epsg", "left", "top")]
        codes, lefts, tops = (read.result().tolist() for read in reads)
    extent = store.description.modalities.images[0].extent
    return [
        Ground(f"EPSG:{code}", left, top, extent) if code else None
        for code, left, top in zip(codes, lefts, tops, strict=True)
    ]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MomentsReader:
    """Reads the moments of chosen rows; safe to share between threads."""

    store: LatentStore
    split: str
    names: tuple[str, ...]
    """Image modalities to read."""

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        names = ("packed",) if self._packed else self.names
        context = _context()
        return {name: open_array(self.store, self.split, name, context=context) for name in names}

    @property
    def _packed(self) -> bool:
        """Whether one chunk per patch is read instead of one per modality: when nearly all of it is wanted."""
        description = self.store.description
        wanted = sum(int(np.prod(description.moments_shape(name))) for name in self.names)
        return description.packed and 2 * wanted > description.numbers

    def read(self, rows: Iterable[int]) -> dict[str, Float[np.ndarray, "n h w moments"]]:
        """Moments (n, h, w, 2c) by modality in the store's precision; NaN where a patch is absent.

        Raises:
            InputError: a chunk does not match its checksum.
        """
        import tensorstore

        rows = np.asarray(rows, np.int64)
        if self._packed:
            numbers = self._buffers.take((len(rows), self.store.description.numbers), self.store.description.precision)
            targets = {"packed": numbers}
            values = {name: numbers[:, part].reshape(-1, *shape) for name, (part, shape) in self._parts.items()}
        else:
            targets = values = self._empty(len(rows))
        with damage_explained(self.store.path):
            reads = [
                tensorstore.array(targets[name], copy=False).write(array[rows]) for name, array in self._arrays.items()
            ]
            for read in reads:
                read.result()
        return values

    def _empty(self, rows: int) -> dict[str, np.ndarray]:
        """Arrays (rows, h, w, 2c) of every modality, one after the other in one buffer."""
        shapes = {name: (rows, *shape) for name, (_, shape) in self._parts.items()}
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
        buffer = self._buffers.take((int(ends[-1]),), self.store.description.precision)
        pieces = np.split(buffer, ends[:-1])
        return {name: piece.reshape(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}

    @cached_property
    def _buffers(self) -> Buffers:
        return Buffers()

    @cached_property
    def _parts(self) -> dict[str, tuple[slice, tuple[int, int, int]]]:
        parts = packed_parts(self.store.description)
        return {name: parts[name] for name in self.names}


def require_moments(
    store: LatentStore,
    split: str,
    moments: Mapping[str, Float[np.ndarray, "n h w moments"]],
    presence: Mapping[str, Bool[np.ndarray, " n"]],
) -> None:
    """Refuse moments that read as absent where the store says that they are there: their file is gone.

    Raises:
        InputError: such a patch.
    """
    for name, values in moments.items():
        if (presence[name] & np.isnan(values[:, 0, 0, 0])).any():
            raise InputError(
                f"{store.path} is damaged: moments of {split}/{name} are gone; `copgen inspect {store.path} --verify` "
                f"says which"
            )


def packed_parts(description: Description) -> dict[str, tuple[slice, tuple[int, int, int]]]:
    """Where in a row of `packed` each image modality's numbers lie, and the shape (h, w, 2c) they have."""
    parts, start = {}, 0
    for modality in description.modalities.images:
        shape = description.moments_shape(modality.name)
        stop = start + int(np.prod(shape))
        parts[modality.name] = (slice(start, stop), shape)
        start = stop
    return parts


def open_array(store: LatentStore, split: str, name: str, *, context: Any = None, write: bool = False) -> Any:
    """A tensorstore handle on one numeric array of a split."""
    import tensorstore

    store.layout(split)
    folder = (store.path / split / name).resolve()
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "recheck_cached_metadata": "open",
        "recheck_cached_data": "open",
        # An absent patch takes no space in a shard; the small arrays exist for every finished shard.
        "store_data_equal_to_fill_value": name in BY_SHARD,
    }
    return tensorstore.open(spec, open=True, read=True, write=write, context=context or _context()).result()


def dates_of_days(days: Float[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Days since 1970-01-01 as datetime64[D]; NaN becomes NaT."""
    known = np.isfinite(days)
    dates = np.where(known, days, 0.0).astype(np.int64).astype("datetime64[D]")
    return np.where(known, dates, np.datetime64("NaT", "D"))


def days_of_dates(dates: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The inverse of `dates_of_days`; a time of day is cut off."""
    dates = np.asarray(dates, "datetime64[D]")
    return np.where(np.isnat(dates), np.nan, dates.astype(np.int64).astype(np.float64))


@contextlib.contextmanager
def damage_explained(path: Path) -> Iterator[None]:
    """Turn what the storage library says about unreadable chunks into a sentence for the user."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).splitlines()[0].split(" [")[0]
        raise InputError(f"{path} is damaged; `copgen inspect {path} --verify` says where ({reason})") from error


def _context() -> Any:
    import tensorstore

    return tensorstore.Context({"cache_pool": {"total_bytes_limit": CACHE_BYTES}})


def _some(numbers: Sequence[int], most: int = 10) -> str:
    listed = ", ".join(map(str, numbers[:most]))
    return listed if len(numbers) <= most else f"{listed} and {len(numbers) - most} more"
