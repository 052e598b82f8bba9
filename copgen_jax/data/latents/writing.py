"""Making a latent store: first its frame, then shard by shard, by as many processes as there are.

Nothing needs a lock. The frame's files are a pure function of the arguments, so processes that start together write the
same bytes, and the root's `zarr.json` comes last. A shard's file is written aside and renamed by the storage library;
`presence` comes last in a shard and says that it is finished. A killed process leaves finished shards and at worst
a `.__lock` file of the unfinished one, which the next attempt takes over; a shard written twice, even by two processes
at once, ends as the same bytes.
"""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped

from copgen_jax.data.latents.documents import Description, documents_of, moment_axes, moment_labels
from copgen_jax.data.latents.layout import Layout
from copgen_jax.data.latents.store import LatentStore, days_of_dates, open_array, open_store, packed_parts
from copgen_jax.errors import InputError
from copgen_jax.files import ASIDE, file_aside
from copgen_jax.rasters.ground import Ground
from copgen_jax.version import program_version


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """What goes into one shard: n patches, rows in order."""

    moments: Mapping[str, Float[np.ndarray, "n ?h ?w ?moments"]]
    """By image modality; one that is left out is absent in every patch. Values of absent patches do not matter."""
    presence: Mapping[str, Bool[np.ndarray, " n"]]
    """By image modality, for those in `moments`. Of place and date it is derived: they are present where known."""
    latitude: Float[np.ndarray, " n"]
    """Degrees (WGS 84) of the patch's centre; NaN where unknown."""
    longitude: Float[np.ndarray, " n"]
    time: Shaped[np.ndarray, " n"]
    """datetime64; kept to the day; NaT where unknown."""
    grounds: Sequence[Ground | None] = ()
    """Where the pixels are, for every row, None where unknown; or empty. Kept where the CRS has an EPSG code."""


def create_store(
    path: str | Path,
    description: Description,
    cells: Mapping[str, Sequence[str]],
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> LatentStore:
    """Make the frame of a store for the given cells, or open the same one.

    Args:
        path: the store's directory.
        description: what its latents mean.
        cells: names by split; the order is the order of the rows.
        resume: continue a store that was begun for the same cells and the same description. Processes of one job pass
            it, whichever of them comes first.
        overwrite: remove a latent store that is there.

    Raises:
        InputError: something else is at `path`, or a store for other cells or of another model; a cell twice; the place
            cannot be written to.
    """
    path = Path(path)
    layouts = {split: _layout(split, names, description) for split, names in cells.items()}
    if not layouts:
        raise InputError("a latent store needs cells; the data hold none")
    if _occupied(path) and not (resume and _begun(path, layouts)):
        if not overwrite:
            raise InputError(f"{path} exists already; continue it with --resume or replace it with --overwrite")
        open_store(path, incomplete=True)  # only a latent store is ever removed
        shutil.rmtree(path)
    if (path / "zarr.json").exists():
        store = open_store(path, incomplete=True)
        _require_same(store, description, layouts, cells)
        return store
    store = LatentStore(path=path, description=description, layouts=layouts)
    documents = documents_of(description, layouts, software=f"copgen_jax {program_version()}")
    root = documents.pop("zarr.json")
    for name, document in documents.items():
        _write_document(path / name, document)
    for split, layout in layouts.items():
        _write_labels(store, split, layout, cells[split])
    _write_document(path / "zarr.json", root)
    return store


def write_shard(store: LatentStore, split: str, shard: int, contents: Shard) -> None:
    """Write one shard whole, replacing it if it is there.

    Raises:
        InputError: shapes that do not fit the store, moments that are not finite (or too large for float16) in a patch
            that is present, a full disk, a place that cannot be written to.
    """
    rows = store.layout(split).rows_of(shard)
    where = f"shard {shard} of {split} in {store.path}"
    moments = _checked_moments(store.description, contents, len(rows), where)
    place_known = np.isfinite(contents.latitude) & np.isfinite(contents.longitude)
    columns = {m.name: np.zeros(len(rows), bool) for m in store.description.modalities}
    columns |= {name: np.asarray(contents.presence[name]) for name in moments}
    for modality in store.description.modalities.vectors:
        columns[modality.name] = place_known if modality.encoding == "position" else ~np.isnat(contents.time)
    arrays = _dense(store.description, moments, columns, len(rows))
    arrays |= {
        "lat": np.where(place_known, contents.latitude, np.nan),
        "lon": np.where(place_known, contents.longitude, np.nan),
        "time": days_of_dates(contents.time),
        **_corners(contents.grounds or [None] * len(rows)),
    }
    presence = np.stack([columns[name] for name in store.description.modalities.names], axis=1)
    with _explained(where):
        targets = {
            name: open_array(store, split, name, write=True)[rows.start : rows.stop] for name in (*arrays, "presence")
        }
        writes = [targets[name].write(values) for name, values in arrays.items()]
        for write in writes:
            write.result()
        targets["presence"].write(presence).result()


def _corners(grounds: Sequence[Ground | None]) -> dict[str, np.ndarray]:
    """Upper left corners by array name; 0 and NaN where there is no ground with an EPSG code."""
    codes = np.array([epsg_of(ground) for ground in grounds], np.int32)
    corners = np.array([(g.left, g.top) if g else (np.nan, np.nan) for g in grounds], np.float64)
    left, top = np.where(codes > 0, corners.T, np.nan)
    return {"epsg": codes, "left": left, "top": top}


def epsg_of(ground: Ground | None) -> int:
    """The EPSG code of a ground's CRS, 0 where it has none."""
    authority, _, code = ground.crs.partition(":") if ground else ("", "", "")
    return int(code) if authority == "EPSG" and code.isdigit() else 0


def remove_leftovers(store: LatentStore) -> None:
    """Remove what killed processes left beside a complete store's files; until it is complete others may still write.

    A complete store then holds the same files however often its making was interrupted.
    """
    if store.complete:
        for leftover in store.path.rglob(f"{ASIDE}*"):
            leftover.unlink(missing_ok=True)


def _dense(
    description: Description, moments: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], rows: int
) -> dict[str, np.ndarray]:
    """Moments of every row, NaN where absent, by array name; with the packed twin where the store has one."""
    parts = packed_parts(description)
    packed = np.full((rows, description.numbers), np.nan, description.precision)
    for name, values in moments.items():
        part, _ = parts[name]
        present = columns[name]
        packed[present, part] = values[present].reshape(-1, part.stop - part.start)
    arrays = {name: packed[:, part].reshape(rows, *shape) for name, (part, shape) in parts.items()}
    return arrays | ({"packed": packed} if description.packed else {})


def _checked_moments(description: Description, contents: Shard, rows: int, where: str) -> dict[str, np.ndarray]:
    """The moments in the store's precision, after checking shapes and values."""
    for what in ("latitude", "longitude", "time", *(["grounds"] if contents.grounds else [])):
        if len(getattr(contents, what)) != rows:
            raise InputError(f"{where} has {rows} patches, but {len(getattr(contents, what))} values of {what}")
    if set(contents.moments) != set(contents.presence):
        raise InputError(f"{where}: moments and presence name different modalities")
    checked = {}
    for name, values in contents.moments.items():
        expected = (rows, *description.moments_shape(name))
        if values.shape != expected or contents.presence[name].shape != (rows,):
            raise InputError(f"{where}: moments of {name} have shape {values.shape}, expected {expected}")
        with np.errstate(over="ignore"):
            converted = values.astype(description.precision)
        bad = contents.presence[name] & ~np.isfinite(converted).all(axis=(1, 2, 3))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            reason = "too large for float16 (choose float32)" if np.isfinite(values[row]).all() else "NaN or infinite"
            raise InputError(f"{where}: moments of {name} in patch {row} of the shard are {reason}")
        checked[name] = converted
    return checked


def _layout(split: str, names: Sequence[str], description: Description) -> Layout:
    if len(set(names)) != len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        raise InputError(f"cell {twice} appears twice in split {split}")
    if not split or split.startswith(".") or "/" in split:
        raise InputError(f"{split!r} is no name for a split: it becomes a directory")
    return Layout(cells=len(names), patches_per_cell=description.patches_per_cell)


def _occupied(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def _begun(path: Path, layouts: Mapping[str, Layout]) -> bool:
    """Whether the directory is a latent store, or the frame of one that was being made."""
    return path.is_dir() and (
        (path / "zarr.json").exists()
        or all(entry.name in layouts or entry.name.startswith(ASIDE) for entry in path.iterdir())
    )


def _require_same(
    store: LatentStore, description: Description, layouts: Mapping[str, Layout], cells: Mapping[str, Sequence[str]]
) -> None:
    for field in dataclasses.fields(Description):
        there, asked = getattr(store.description, field.name), getattr(description, field.name)
        if there != asked and field.name != "provenance":
            what = field.name.replace("_", " ")
            detail = "" if field.name == "modalities" else f" ({there}, now {asked})"
            raise InputError(f"{store.path} was begun with other {what}{detail}; --overwrite starts anew")
    for split in {*layouts, *store.layouts}:
        if store.layouts.get(split) != layouts.get(split) or list(store.cells(split)) != list(cells[split]):
            raise InputError(f"{store.path} was begun for other cells in split {split}; --overwrite starts anew")


def _write_document(path: Path, document: dict) -> None:
    with file_aside(path) as aside:
        aside.write_text(json.dumps(document, indent=1) + "\n")


def _write_labels(store: LatentStore, split: str, layout: Layout, cells: Sequence[str]) -> None:
    """The arrays that are known beforehand: which patch each row is, and the labels of dimensions."""
    import zarr

    modalities = store.description.modalities
    per_cell = layout.patches_per_cell
    labels = {
        "cell": np.repeat(np.array(cells, object), per_cell),
        "patch_index": np.tile(np.arange(per_cell, dtype=np.int32), layout.cells),
        "modality": np.array(modalities.names, object),
    }
    labels |= {axis: np.array(moment_labels(count), object) for axis, count in moment_axes(modalities).items()}
    with _explained(f"the labels of {split} in {store.path}"):
        for name, values in labels.items():
            zarr.open_array(store.path / split / name, mode="r+")[:] = values


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn the storage library's complaints about the disk into a sentence for the user."""
    reasons = {
        "RESOURCE_EXHAUSTED": "the disk is full or a quota is used up",
        "No space left": "the disk is full",
        "File too large": "the file would be larger than the system allows",
        "PERMISSION_DENIED": "permission is denied",
        "Read-only file system": "the disk is read-only",
    }
    try:
        yield
    except (ValueError, OSError) as error:
        reason = next((text for sign, text in reasons.items() if sign in str(error)), None)
        if reason is None:
            raise
        raise InputError(
            f"cannot write {where}: {reason}; finished shards stay good, continue with --resume"
        ) from error
