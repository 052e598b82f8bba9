"""The outputs of one place, written as they are drawn: chunk after chunk of members, each complete or not there.

    with open_outputs("out", place="433D_629L_patch_7", modalities=wanted, ground=ground, provenance=how) as outputs:
        for members in chunks_of(set(range(1000)) - outputs.complete):
            outputs.write(draw(members))

A member counts as complete when its files lie under their final names and `members.geojson` names it; a run that was
interrupted goes on with the others (`resume`). Files are described in `copgen_jax.rasters.outputs.layout`. Nothing is
touched before the first chunk.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from copgen_jax.errors import InputError
from copgen_jax.modalities import ModalitySet
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.imagefile import read_image, write_image
from copgen_jax.rasters.outputs.layout import Layout, layout
from copgen_jax.rasters.outputs.memberrecord import feature, is_record, read_record, write_record
from copgen_jax.rasters.outputs.overview import write_overview
from copgen_jax.rasters.outputs.statistics import DEFAULT_QUANTILES
from copgen_jax.rasters.outputs.zarrstore import MemberStore
from copgen_jax.rasters.samples import Samples, attributes_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written."""

    cog: bool = True
    """A COG per modality and member."""
    zarr: bool = False
    """One Zarr store of all members."""
    latents: bool = False
    """A Zarr store of the latents as well."""
    statistics: bool = True
    """Rasters of mean, spread, quantiles or class probabilities over members, where there are two or more."""
    quantiles: tuple[float, ...] = DEFAULT_QUANTILES
    pictures: bool = True
    """PNG quicklooks of the first members, and a contact sheet."""

    def __post_init__(self):
        if not (self.cog or self.zarr):
            raise InputError("samples are written as COG, as Zarr or as both; neither was asked for")
        if not all(0.0 <= quantile <= 1.0 for quantile in self.quantiles):
            raise InputError(f"quantiles lie between 0 and 1, got {', '.join(map(str, self.quantiles))}")


class Outputs:
    """The outputs of one place, open for writing: see `open_outputs`."""

    def __init__(
        self,
        paths: Layout,
        *,
        modalities: ModalitySet,
        ground: Ground | None,
        provenance: Mapping[str, Any],
        options: OutputOptions,
        overwrite: bool,
    ):
        """Find out which members are complete."""
        self.paths = paths
        self.modalities = modalities
        self.ground = ground
        self.options = options
        self._description = {"modalities": list(modalities.names), **attributes_of(provenance)}
        self._attributes = {"synthetic": "true", **attributes_of(provenance)}
        self._overwrite = overwrite
        self._has_changed = False
        self._features = {} if overwrite else read_record(paths.record, self._description)
        self._stores = {} if overwrite else self._open_stores()

    @property
    def complete(self) -> frozenset[int]:
        """Numbers of the members that need not be drawn again."""
        recorded = {member for member in self._features if self._has_files(member)}
        return frozenset(recorded.intersection(*(store.members for store in self._stores.values())))

    def write(self, samples: Samples, latents: Mapping[str, Any] | None = None) -> None:
        """Write a chunk of members.

        Args:
            samples: of the modalities this place was opened with; members complete already are passed over.
            latents: where asked for, by modality name: (member, h, w, c) for images, (member, 3) for vectors.

        Raises:
            InputError: the disk is full, or the place cannot be written to.
        """
        if samples.modalities.names != self.modalities.names or self.options.latents != (latents is not None):
            raise ValueError(f"expected samples of {self.modalities.names}, latents: {self.options.latents}")
        complete = self.complete
        missing = [member for member in samples.members if member not in complete]
        if not missing:
            return
        self._begin()
        chunk = samples.select(missing)
        if self.options.cog:
            for modality in self.modalities.images:
                for member in missing:
                    path = self.paths.member(modality.name, member)
                    write_image(path, chunk[modality.name].sel(member=member), modality, self.ground)
        if self.options.zarr:
            self._append(self.paths.samples, chunk)
        if latents is not None:
            labelled = {name: _label_latents(values, samples.members) for name, values in latents.items()}
            self._append(self.paths.latents, {k: array.sel(member=missing) for k, array in labelled.items()})
        self._has_changed = True
        self._features |= {member: feature(chunk, member) for member in missing}
        write_record(self.paths.record, self._features, self._description)

    def stored(self) -> "StoredMembers":
        """The members that are complete now, to be read back."""
        store = self._stores.get(self.paths.samples)
        rows = {member: row for row, member in enumerate(store.members)} if store else {}
        return StoredMembers(
            members=tuple(sorted(self.complete)), modalities=self.modalities, paths=self.paths, store=store, rows=rows
        )

    def conclude(self, given: Samples | None) -> None:
        """Write what is made of all members: statistics, pictures and the STAC item, where members were added.

        Raises:
            InputError: the disk is full, or the place cannot be written to.
        """
        stored = self.stored()
        if not stored.members or not (self._has_changed or not self.paths.item.exists()):
            return
        write_overview(
            stored,
            self.paths,
            modalities=self.modalities,
            ground=self.ground,
            attributes=self._attributes,
            features=[self._features[member] for member in stored.members],
            given=given,
            quantiles=self.options.quantiles if self.options.statistics else None,
            pictures=self.options.pictures,
        )

    def close(self, *, completed: bool) -> None:
        """Give the Zarr stores their names where all went well."""
        for store in self._stores.values():
            if completed:
                store.finish()
            else:
                store.give_up()

    def _begin(self) -> None:
        """Make place, once, before the first chunk: the record comes first and marks the directory as ours."""
        if self._overwrite and self.paths.directory.exists():
            shutil.rmtree(self.paths.directory)
        self._overwrite = False
        if not self.paths.record.exists():
            write_record(self.paths.record, self._features, self._description)
        if not self._stores:
            self._stores = self._open_stores()

    def _open_stores(self) -> dict[Path, MemberStore]:
        asked = {self.paths.samples: self.options.zarr, self.paths.latents: self.options.latents}
        return {
            path: MemberStore(path, attributes=self._attributes)
            for path, is_asked in asked.items()
            if is_asked and self.paths.record.exists()
        }

    def _has_files(self, member: int) -> bool:
        images = self.modalities.images if self.options.cog else ()
        return all(self.paths.member(modality.name, member).exists() for modality in images)

    def _append(self, path: Path, arrays: Mapping[str, xr.DataArray]) -> None:
        """Append what the store lacks: after an interruption it may be ahead of the record."""
        store = self._stores[path]
        there = set(store.members)
        lacking = [int(m) for m in next(iter(arrays.values())).coords["member"].values if int(m) not in there]
        if lacking:
            store.append({name: array.sel(member=lacking) for name, array in arrays.items()})


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredMembers:
    """Complete members of a place, read from its files one by one."""

    members: tuple[int, ...]
    modalities: ModalitySet
    paths: Layout
    store: MemberStore | None
    """The Zarr store, preferred to COGs because it keeps reflectance unrounded."""
    rows: Mapping[int, int]
    """Row of each member in the store."""

    def read(self, name: str, member: int, rows: slice = slice(None)) -> np.ndarray:
        """Physical values (band, y, x) of one member's modality, or only its rows `rows`."""
        if self.store:
            return self.store.read(name, self.rows[member], rows)
        return read_image(self.paths.member(name, member), self.modalities[name], rows)


@contextlib.contextmanager
def open_outputs(
    out: str | Path,
    *,
    place: str,
    modalities: ModalitySet,
    ground: Ground | None,
    provenance: Mapping[str, Any],
    options: OutputOptions | None = None,
    given: Samples | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[Outputs]:
    """Open OUT/PLACE for writing chunks of members; statistics, pictures and the STAC item follow when the block ends.

    Args:
        out: the run's directory.
        place: name of the place's folder (`layout.place_name` where it has none).
        modalities: those that are written.
        ground: where the place lies; None without georeference.
        provenance: as in `build_samples`; resuming demands the same.
        options: what is written; COGs, statistics and pictures by default.
        given: what the samples were conditioned on (its first member is shown, its date goes into the STAC item).
        overwrite: earlier outputs of this place are removed before the first chunk is written.
        resume: go on with earlier outputs of this place.

    Raises:
        InputError: the place exists and neither was asked for, it is something else than earlier outputs, it was drawn
            otherwise (resume), the disk is full or the place cannot be written to.
    """
    paths = layout(out, place)
    if paths.directory.exists() and any(paths.directory.iterdir()):
        if not is_record(paths.record):
            raise InputError(f"{paths.directory} exists and holds no outputs of this program; choose another place")
        if not (overwrite or resume):
            raise InputError(f"{paths.directory} exists already; choose another place, or pass --overwrite or --resume")
    outputs = Outputs(
        paths,
        modalities=modalities,
        ground=ground,
        provenance=provenance,
        options=options or OutputOptions(),
        overwrite=overwrite and not resume,
    )
    completed = False
    try:
        yield outputs
        outputs.conclude(given)
        completed = True
    finally:
        outputs.close(completed=completed)


def _label_latents(values: Any, members: tuple[int, ...]) -> xr.DataArray:
    """(member, h, w, c) or (member, 3) latents with their dimensions' names."""
    values = np.asarray(values, np.float32)
    dims = ("member", "y", "x", "channel") if values.ndim == 4 else ("member", "number")
    return xr.DataArray(values, dims=dims, coords={"member": np.asarray(members, np.int64)})
