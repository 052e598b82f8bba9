"""The original's store of moments, an LMDB, brought into a latent store.

Two layouts exist. *Merged*: one LMDB per split, `<cell>_patch_<n>` -> pickled dict of published key -> raw float32
bytes. *Per modality*: an LMDB per split and modality, named by the published key, `<cell>_patch_<n>` -> pickled float32
array or bytes. Moments are channel-first (2c, h, w), places and dates three numbers.

A pickle is a program: `copgen_jax.data.unpickling` lets it build plain data and numpy arrays and refuses the rest.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from copgen_jax import units
from copgen_jax.data.latents import Description, LatentStore, Shard, create_store, write_shard
from copgen_jax.data.majortom.grid import cell_named, is_cell_name
from copgen_jax.data.unpickling import read_pickle
from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.progress import Track, silently

DATABASE = "data.mdb"
"""The file that makes a folder an LMDB."""

_KEY = re.compile(r"(?P<cell>.+)_patch_(?P<index>\d{1,6})")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Imported:
    """What came of an import."""

    store: LatentStore
    patches: Mapping[str, int]
    """By split: patches with at least one image that were written now."""
    other_keys: int
    """Entries that are no patch: counted, not read."""
    unknown: tuple[str, ...]
    """Published keys in the LMDB that the model does not have: left out."""


def import_latents(
    source: str | Path,
    out: str | Path,
    description: Description,
    *,
    split: str = "train",
    resume: bool = False,
    overwrite: bool = False,
    track: Track = silently,
) -> Imported:
    """Write the moments of an LMDB folder to a latent store.

    Args:
        source: an LMDB folder, or a folder of them by split, by published key, or by split and then published key.
        out: the store's directory.
        description: of the model whose autoencoders made the moments; the LMDB does not say.
        split: name of the split where the folders name none.
        resume: continue a store that was begun.
        overwrite: replace a latent store.
        track: told about shards written.

    Raises:
        InputError: no LMDB there, keys or values of another kind, sizes that are not the model's, a pickle that names
            anything but numpy arrays, a place that cannot be written to.
    """
    databases = _find(Path(source), description.modalities, split)
    if not databases:
        raise InputError(f"{source} holds no LMDB of moments: no {DATABASE} in it or up to two folders below")
    with contextlib.ExitStack() as stack:
        opened = {
            name: {key: stack.enter_context(contextlib.closing(_Database(path))) for key, path in found.items()}
            for name, found in databases.items()
        }
        cells = {name: _cells(found, description) for name, found in opened.items()}
        store = create_store(out, description, cells, resume=resume, overwrite=overwrite)
        work = [(name, shard) for name in cells for shard in store.missing_shards(name)]
        patches, unknown = dict.fromkeys(cells, 0), set()
        for name, shard in track(work, total=len(work), what="importing shards"):
            contents, left_out = _shard(opened[name], cells[name], store, name, shard)
            write_shard(store, name, shard, contents)
            patches[name] += int(np.any(list(contents.presence.values()), axis=0).sum())
            unknown |= left_out
        others = sum(database.other_keys for found in opened.values() for database in found.values())
    return Imported(store=store, patches=patches, other_keys=others, unknown=tuple(sorted(unknown)))


def _find(source: Path, modalities: ModalitySet, split: str) -> dict[str, dict[str | None, Path]]:
    """LMDB folders by split and published key (None: merged)."""
    published = {m.published_key for m in modalities}
    found: dict[str, dict[str | None, Path]] = {}
    if (source / DATABASE).exists():
        return {split: {None: source}}
    for folder in sorted(source.iterdir() if source.is_dir() else []):
        if (folder / DATABASE).exists():
            if folder.name in published:
                found.setdefault(split, {})[folder.name] = folder
            else:
                found.setdefault(folder.name, {})[None] = folder
        elif folder.is_dir():
            for below in sorted(folder.iterdir()):
                if (below / DATABASE).exists():
                    found.setdefault(folder.name, {})[below.name] = below
    return found


class _Database:
    """One LMDB, opened for reading; its keys that are patches, in order."""

    def __init__(self, path: Path):
        try:
            import lmdb
        except ModuleNotFoundError as error:
            raise InputError("reading an LMDB needs the extra: pip install 'copgen_jax[data]'") from error
        self.path = path
        try:
            self._environment = lmdb.open(str(path), readonly=True, lock=False, readahead=False, max_readers=1)
            with self._environment.begin() as transaction:
                keys = [bytes(key) for key in transaction.cursor().iternext(values=False)]
        except lmdb.Error as error:
            raise InputError(f"{path} is no readable LMDB: {error}") from error
        self.places: dict[bytes, tuple[str, int]] = {}
        for key in keys:
            match = _KEY.fullmatch(key.decode("utf-8", "replace"))
            if match:
                self.places[key] = match["cell"], int(match["index"])
        self.other_keys = len(keys) - len(self.places)

    def close(self) -> None:
        """Close the LMDB: a process may have it open once."""
        self._environment.close()

    def values(self, keys: list[bytes]) -> Iterator[tuple[int, Any]]:
        """(position, unpickled value) of those of the keys that are there."""
        with self._environment.begin(buffers=True) as transaction:
            for position, key in enumerate(keys):
                value = transaction.get(key)
                if value is not None:
                    yield position, read_pickle(bytes(value), f"{key.decode()} in {self.path}")


def _cells(found: Mapping[str | None, _Database], description: Description) -> list[str]:
    """Names of the cells that any of the databases has, sorted."""
    cells: set[str] = set()
    for database in found.values():
        for cell, index in database.places.values():
            if index >= description.patches_per_cell:
                raise InputError(
                    f"{database.path} has a patch {index} of cell {cell}; a cell has "
                    f"{description.patches_per_cell} patches of this model's size, counted from 0"
                )
            cells.add(cell)
    if not cells:
        paths = ", ".join(str(database.path) for database in found.values())
        raise InputError(f"{paths} holds no keys like 433D_629L_patch_7: not an LMDB of moments")
    return sorted(cells)


def _shard(
    found: Mapping[str | None, _Database], cells: list[str], store: LatentStore, split: str, shard: int
) -> tuple[Shard, set[str]]:
    """The patches of one shard, and published keys that the model does not know."""
    description, layout = store.description, store.layout(split)
    numbers = layout.cells_of(shard)
    keys = [f"{cells[cell]}_patch_{n}".encode() for cell in numbers for n in range(layout.patches_per_cell)]
    moments = {
        m.name: np.zeros((len(keys), *description.moments_shape(m.name)), np.float32)
        for m in description.modalities.images
    }
    presence = {name: np.zeros(len(keys), bool) for name in moments}
    vectors = {m.name: np.full((len(keys), 3), np.nan, np.float32) for m in description.modalities.vectors}
    by_key = {m.published_key: m for m in description.modalities}
    unknown: set[str] = set()
    for published_key, database in found.items():
        for position, value in database.values(keys):
            where = f"{keys[position].decode()} in {database.path}"
            for key, numbers_of in _entries(value, published_key, where).items():
                if key not in by_key:
                    unknown.add(key)
                elif by_key[key].is_image:
                    moments[by_key[key].name][position] = _moments(numbers_of, by_key[key], where)
                    presence[by_key[key].name][position] = True
                else:
                    vectors[by_key[key].name][position] = _floats(numbers_of, 3, key, where)
    places = _places(vectors, description.modalities, [cells[cell] for cell in numbers], layout.patches_per_cell)
    return (
        Shard(
            moments=moments,
            presence=presence,
            latitude=places[:, 0],
            longitude=places[:, 1],
            time=_dates(vectors, description.modalities, len(keys)),
        ),
        unknown,
    )


def _entries(value: Any, published_key: str | None, where: str) -> dict[str, Any]:
    """Published key -> numbers of one LMDB entry."""
    if published_key is not None:
        return {published_key: value}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{where} is a {type(value).__name__}; a merged LMDB has dictionaries by modality")
    return value


def _moments(numbers: Any, modality: Modality, where: str) -> Float[np.ndarray, "h w moments"]:
    """Channel-first moments as the store has them, channel-last."""
    height, width, channels = modality.latent_shape
    flat = _floats(numbers, 2 * channels * height * width, modality.published_key, where)
    return np.moveaxis(flat.reshape(2 * channels, height, width), 0, -1)


def _floats(numbers: Any, count: int, key: str, where: str) -> Float[np.ndarray, " count"]:
    if isinstance(numbers, bytes | bytearray) and len(numbers) % 4 == 0:
        numbers = np.frombuffer(numbers, "<f4")
    if not isinstance(numbers, np.ndarray) or numbers.dtype.kind != "f" or numbers.size != count:
        found = f"{numbers.dtype} {numbers.shape}" if isinstance(numbers, np.ndarray) else type(numbers).__name__
        raise InputError(f"{where}: {key} is {found}; this model expects {count} float32 numbers")
    return numbers.astype(np.float32).ravel()


def _places(vectors: Mapping[str, np.ndarray], modalities: ModalitySet, cells: list[str], per_cell: int) -> np.ndarray:
    """Latitude and longitude (n, 2): as stored, else where Major TOM's grid has the patch."""
    side = round(per_cell**0.5)
    unknown = np.full((per_cell, 2), np.nan)
    on_grid = [
        cell_named(cell).patch_places(side).reshape(per_cell, 2)
        if is_cell_name(cell) and side * side == per_cell
        else unknown
        for cell in cells
    ]
    places = np.concatenate(on_grid)
    for modality in modalities.vectors:
        if modality.encoding == "position":
            stored = units.position_to_physical(vectors[modality.name])
            places = np.where(np.isfinite(stored), stored, places)
    return places


def _dates(vectors: Mapping[str, np.ndarray], modalities: ModalitySet, rows: int) -> np.ndarray:
    """datetime64[D] (n,); NaT where none is stored."""
    for modality in modalities.vectors:
        if modality.encoding == "date":
            return units.date_to_physical(vectors[modality.name])
    return np.full(rows, np.datetime64("NaT", "D"))
