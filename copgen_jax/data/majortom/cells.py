"""Major TOM cells: the products of one cell put together into one observation."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from copgen_jax import units
from copgen_jax.data.majortom.archives import Archive, Fetched, open_archive
from copgen_jax.data.majortom.bands import MAY_BE_LONGER, Raster, kind_of, read_bands
from copgen_jax.data.majortom.cutting import CELL_EXTENT
from copgen_jax.data.majortom.dates import mean_date
from copgen_jax.data.majortom.grid import cell_named
from copgen_jax.data.majortom.metadata import Limits
from copgen_jax.data.majortom.observation import Issue, Observation
from copgen_jax.data.majortom.offsets import StatedOffsets, baseline_offset, stated_offset, unknown_offset
from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.rasters.ground import Ground

PRODUCT_FOLDERS = {
    "S2L2A": "Core-S2L2A",
    "S2L1C": "Core-S2L1C",
    "cloud_mask": "Core-S2L1C",
    "DEM": "Core-DEM",
    "S1RTC": "Core-S1RTC",
    "LULC": "Core-LULC",
}
"""Product -> directory. The order says whose georeference the cell takes."""
PROBED = 4
"""Cells read when a directory is opened."""
EARTH_RADIUS = 6_371_000.0
"""Metres."""
LARGEST_SHIFT = 60.0
"""Metres by which the corners of a cell's rasters may differ: one pixel of the coarsest grid."""


class MajorTom:
    """A directory of `Core-*` products, each extracted or in parquet files."""

    def __init__(self, root: Path, modalities: ModalitySet, *, s2_offset: StatedOffsets, limits: Limits):
        """List the cells.

        Raises:
            InputError: no `Core-*` directory with cells, damaged metadata, rasters on another grid, Sentinel-2 numbers
                of unknown offset, limits of what no metadata state, no cell within the limits.
        """
        self.root = root
        self.modalities = modalities
        self._stated = s2_offset
        self._images = tuple(m for p in PRODUCT_FOLDERS for m in modalities.images if m.product == p)
        self.issues: list[Issue] = []
        self._archives = dict(self._open_archives(limits))
        beyond = self._beyond(limits)
        self.names = tuple(sorted({cell for archive in self._archives.values() for cell in archive.cells} - beyond))
        if not self.names:
            kind = "no cell within the limits" if beyond else "no Major TOM cells in its directories Core-*"
            reason = f": {self.issues[-1 if beyond else 0]}" if self.issues else ""
            raise InputError(f"{root} holds {kind}{reason}")
        self._probe()

    def read(self, name: str) -> Observation:
        """One cell; what is missing or broken is in its issues."""
        fetched, issues = self._fetch(name)
        rasters: dict[str, Raster] = {}
        for modality in self._images:
            folder = PRODUCT_FOLDERS[modality.product]
            if folder in fetched:
                raster, issue = _raster(name, modality, fetched[folder])
                rasters.update({modality.name: raster} if raster else {})
                issues.extend([issue] if issue else [])
        ground, misplaced = _common_ground(name, rasters)
        offsets, unknown = self._offsets(name, rasters, fetched)
        date = mean_date(*([fetched[f].time] if f in fetched else [] for f in ("Core-S1RTC", "Core-S2L2A")))
        if np.isnat(date) and "Core-S2L1C" in fetched:
            date = fetched["Core-S2L1C"].time.astype("datetime64[D]")
        if np.isnat(date):
            issues.append(Issue(place=name, kind="no date", where="metadata", reason="no time of observation is known"))
        issues.extend(_elsewhere(name, ground))
        left_out = {issue.where for issue in (*misplaced, *unknown) if issue.kind != "no georeference"}
        return Observation(
            name=name,
            cell=cell_named(name),
            ground=ground,
            rasters={key: raster.values for key, raster in rasters.items() if key not in left_out},
            date=date,
            s2_offsets=offsets,
            issues=(*issues, *misplaced, *unknown),
        )

    def _beyond(self, limits: Limits) -> set[str]:
        """Cells that the metadata of a product put beyond the limits: all of them is left out."""
        for column in limits.columns if self._archives else ():
            if not any(column in archive.metadata.columns for archive in self._archives.values()):
                raise InputError(f"no metadata.parquet in {self.root} states {column}, so cells cannot be chosen by it")
        beyond: set[str] = set()
        for folder, archive in self._archives.items():
            refused = {cell: reason for cell, reason in archive.metadata.refused_cells.items() if cell not in beyond}
            beyond |= refused.keys()
            self.issues += [
                Issue(place=cell, kind="beyond limits", where=folder, reason=reason) for cell, reason in refused.items()
            ]
        return beyond

    def _open_archives(self, limits: Limits) -> Iterator[tuple[str, Archive]]:
        for folder in dict.fromkeys(PRODUCT_FOLDERS[m.product] for m in self._images):
            archive = open_archive(self.root / folder, limits) if (self.root / folder).is_dir() else None
            if archive is None:
                self.issues.append(
                    Issue(place="", kind="missing", where=folder, reason="no such data in the directory")
                )
                continue
            self.issues.extend(archive.issues)
            yield folder, archive

    def _fetch(self, name: str) -> tuple[dict[str, Fetched], list[Issue]]:
        fetched: dict[str, Fetched] = {}
        issues: list[Issue] = []
        for folder, archive in self._archives.items():
            files = [f for m in self._images if PRODUCT_FOLDERS[m.product] == folder for f in band_files(m)]
            if name not in archive.cells:
                issues.append(Issue(place=name, kind="missing", where=folder, reason="the cell lacks this product"))
                continue
            try:
                fetched[folder] = archive.fetch(name, files)
            except InputError as error:
                issues.append(Issue(place=name, kind="broken", where=folder, reason=str(error)))
                continue
            if unused := fetched[folder].unused:
                reason = f"{len(unused) + 1} products; {fetched[folder].product_id} is used"
                issues.append(Issue(place=name, kind="several products", where=folder, reason=reason))
        return fetched, issues

    def _offsets(
        self, name: str, rasters: Mapping[str, Raster], fetched: Mapping[str, Fetched]
    ) -> tuple[dict[str, int], list[Issue]]:
        offsets: dict[str, int] = {}
        issues: list[Issue] = []
        for modality in self._images:
            if modality.encoding != "reflectance" or modality.name not in rasters:
                continue
            source = fetched[PRODUCT_FOLDERS[modality.product]]
            known = (
                stated_offset(self._stated, name, modality.product),
                rasters[modality.name].tagged_offset,
                baseline_offset(source.product_id),
            )
            offset = next((o for o in known if o is not None), None)
            if offset is None:
                reason = str(unknown_offset(modality.product, source.where))
                issues.append(Issue(place=name, kind="no offset", where=modality.name, reason=reason))
            else:
                offsets[modality.product] = offset
        return offsets, issues

    def _probe(self) -> None:
        """Read a few cells to tell at once what is wrong with all of them."""
        for i in sorted({round(k * (len(self.names) - 1) / (PROBED - 1)) for k in range(PROBED)}):
            for issue in self.read(self.names[i]).issues:
                if issue.kind == "no offset":
                    raise InputError(issue.reason)
                if issue.kind in ("wrong size", "other ground") and issue.where in self._sets_the_grid:
                    raise InputError(f"{self.root} mixes grids or has another one: {issue.place}, {issue.reason}")

    @property
    def _sets_the_grid(self) -> set[str]:
        return {m.name for m in self._images if m.product not in MAY_BE_LONGER}


def band_files(modality: Modality) -> tuple[str, ...]:
    """Names of a modality's band files or columns without suffix, in channel order; radar's are in lower case."""
    return tuple(band.lower() if modality.product == "S1RTC" else band for band in modality.bands)


def _raster(name: str, modality: Modality, fetched: Fetched) -> tuple[Raster | None, Issue | None]:
    files = band_files(modality)
    lacking = [file for file in files if file not in fetched.files]
    if lacking:
        reason = f"{fetched.where} lacks {', '.join(lacking)}"
        return None, Issue(place=name, kind="missing", where=modality.name, reason=reason)
    sources = [(_where(fetched, file), fetched.files[file]) for file in files]
    try:
        return read_bands(modality, sources, crs=fetched.crs), None
    except InputError as error:
        return None, Issue(place=name, kind=kind_of(error), where=modality.name, reason=str(error))


def _where(fetched: Fetched, file: str) -> str:
    source = fetched.files[file]
    return str(source) if isinstance(source, Path) else f"{fetched.where}, column {file}"


def _common_ground(name: str, rasters: Mapping[str, Raster]) -> tuple[Ground | None, list[Issue]]:
    """The ground of a cell's rasters, which is that of the first one, and the rasters that lie elsewhere."""
    placed = {key: raster for key, raster in rasters.items() if raster.crs}
    issues = [
        Issue(place=name, kind="no georeference", where=key, reason="no coordinate reference system; kept")
        for key in rasters
        if key not in placed
    ]
    if not placed:
        return None, issues
    first, reference = next(iter(placed.items()))
    for key, raster in placed.items():
        shift = max(abs(raster.left - reference.left), abs(raster.top - reference.top))
        if raster.crs != reference.crs or shift > LARGEST_SHIFT:
            reason = (
                f"{key} starts at ({raster.left:.0f}, {raster.top:.0f}) of {raster.crs}, "
                f"{first} at ({reference.left:.0f}, {reference.top:.0f}) of {reference.crs}"
            )
            issues.append(Issue(place=name, kind="other ground", where=key, reason=reason))
    return Ground(reference.crs, reference.left, reference.top, float(CELL_EXTENT)), issues


def _elsewhere(name: str, ground: Ground | None) -> list[Issue]:
    """An issue if the cell's centre is not on its ground: then the name or the georeference is wrong."""
    if ground is None:
        return []
    told, found = units.position_to_network([cell_named(name).centre, ground.centre])
    away = EARTH_RADIUS * float(np.linalg.norm(told - found))
    if away < CELL_EXTENT / 2:
        return []
    reason = f"the georeference is {away / 1000:.0f} km from the cell of that name; kept"
    return [Issue(place=name, kind="other ground", where="georeference", reason=reason)]
