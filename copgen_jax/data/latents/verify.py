"""Is a store whole? Every byte is read once and compared with its checksum.

What can be wrong, from the outside in: metadata that is not what the root says it should be; a shard that was never
written or whose file is gone; a flipped bit in a chunk, a shard's index or a small array (CRC-32C); moments that are
not finite where presence says 1, or there where it says 0; a packed twin that differs from the named arrays.
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from copgen_jax.data.latents.documents import BY_SHARD, documents_of, moment_axes, moment_labels
from copgen_jax.data.latents.store import LatentStore, open_array, packed_parts
from copgen_jax.progress import Track, silently


@dataclasses.dataclass(frozen=True, kw_only=True)
class Damage:
    """One thing that is wrong."""

    where: str
    """Split and array, below the store."""
    shard: int | None
    what: str

    def __str__(self) -> str:
        place = self.where if self.shard is None else f"{self.where}, shard {self.shard}"
        return f"{place}: {self.what}"


def verify(store: LatentStore, *, track: Track = silently) -> list[Damage]:
    """Everything that is wrong with a store, in order of splits, shards and arrays. Reads all of it."""
    found = list(_metadata(store))
    broken = {damage.where for damage in found}
    work = [(split, shard) for split, layout in store.layouts.items() for shard in range(layout.shards)]
    missing = {split: set(store.missing_shards(split)) for split in store.layouts}
    for split, shard in track(work, total=len(work), what="verifying shards"):
        if shard in missing[split]:
            found.append(Damage(where=split, shard=shard, what="missing (it was never finished)"))
        else:
            found.extend(_shard(store, split, shard, skip=broken))
    for split in store.layouts:
        found.extend(_labels(store, split, skip=broken))
    return found


def _metadata(store: LatentStore) -> Iterator[Damage]:
    root = json.loads((store.path / "zarr.json").read_text())
    software = root["attributes"].get("software", "")
    for name, expected in documents_of(store.description, store.layouts, software=software).items():
        path = store.path / name
        where = name.removesuffix("/zarr.json")
        try:
            document = json.loads(path.read_text())
        except FileNotFoundError:
            yield Damage(where=where, shard=None, what="its zarr.json is missing")
        except ValueError:
            yield Damage(where=where, shard=None, what="its zarr.json is not JSON")
        else:
            if document != json.loads(json.dumps(expected)):
                yield Damage(where=where, shard=None, what="its zarr.json is not what this kind of store has")


def _shard(store: LatentStore, split: str, shard: int, *, skip: set[str]) -> Iterator[Damage]:
    """Damage of one finished shard."""
    rows = store.layout(split).rows_of(shard)
    small: dict[str, np.ndarray] = {}
    for name in BY_SHARD:
        if f"{split}/{name}" not in skip:
            small[name], damage = _read(store, split, name, shard)
            yield from damage
    presence = small.get("presence")
    if presence is None or len(presence) != len(rows):
        return
    packed = None
    if store.description.packed and f"{split}/packed" not in skip:
        packed, damage = _read(store, split, "packed", shard)
        yield from damage
    for column, modality in enumerate(store.description.modalities):
        name = modality.name
        present = presence[:, column]
        if not modality.is_image or f"{split}/{name}" in skip:
            continue
        if present.any() and not (store.path / split / name / "c" / str(shard) / "0" / "0" / "0").exists():
            yield Damage(where=f"{split}/{name}", shard=shard, what=f"its file is gone ({present.sum()} patches)")
            continue
        moments, damage = _read(store, split, name, shard)
        yield from damage
        if moments is None:
            continue
        yield from _values(moments, present, f"{split}/{name}", shard)
        if packed is not None:
            part, shape = packed_parts(store.description)[name]
            if not np.array_equal(packed[:, part].reshape(-1, *shape), moments, equal_nan=True):
                yield Damage(where=f"{split}/packed", shard=shard, what=f"differs from {name}")


def _values(moments: np.ndarray, present: np.ndarray, where: str, shard: int) -> Iterator[Damage]:
    finite = np.isfinite(moments).all(axis=(1, 2, 3))
    for what, rows in (
        ("not finite", np.flatnonzero(present & ~finite)),
        ("there though presence says absent", np.flatnonzero(~present & ~np.isnan(moments).all(axis=(1, 2, 3)))),
    ):
        if len(rows):
            yield Damage(
                where=where, shard=shard, what=f"{len(rows)} patches are {what}, the first is number {rows[0]}"
            )


def _read(store: LatentStore, split: str, name: str, shard: int) -> tuple[Any, list[Damage]]:
    """An array's rows of a shard, or None and what is wrong: patch by patch, where whole it cannot be read."""
    rows = store.layout(split).rows_of(shard)
    array = open_array(store, split, name)[rows.start : rows.stop]
    try:
        return array.read().result(), []
    except ValueError as error:
        reason = _reason(error)
    bad = []
    if name in store.description.modalities or name == "packed":
        for row in rows:
            try:
                array[row].read().result()
            except ValueError:
                bad.append(row - rows.start)
    where = f"; {len(bad)} patches, the first is number {bad[0]}" if bad and len(bad) < len(rows) else ""
    return None, [Damage(where=f"{split}/{name}", shard=shard, what=f"unreadable ({reason}){where}")]


def _labels(store: LatentStore, split: str, *, skip: set[str]) -> Iterator[Damage]:
    """Damage of the arrays that were written when the store was made."""
    import zarr

    layout, modalities = store.layout(split), store.description.modalities
    for name in ("cell", "patch_index", "modality", *moment_axes(modalities)):
        if f"{split}/{name}" in skip:
            continue
        try:
            values = zarr.open_array(store.path / split / name, mode="r")[:].tolist()  # pyright: ignore
        except (ValueError, RuntimeError) as error:
            yield Damage(where=f"{split}/{name}", shard=None, what=f"unreadable ({_reason(error)})")
            continue
        per_cell = layout.patches_per_cell
        expected = {
            "cell": [cell for cell in values[::per_cell] for _ in range(per_cell)],
            "patch_index": list(range(per_cell)) * layout.cells,
            "modality": list(modalities.names),
        }.get(name, moment_labels(len(values)))
        if values != expected or "" in values:
            yield Damage(where=f"{split}/{name}", shard=None, what="its labels are not those of the rows")


def _reason(error: Exception) -> str:
    """What went wrong, in a few words where it is known."""
    text = str(error)
    mismatch = any(sign in text for sign in ("Digest mismatch", "hecksum"))
    return "checksum does not match" if mismatch else text.splitlines()[0].split(" [")[0]
