"""Where the files of one product lie: folders of extracted cells, or parquet files with a GeoTIFF per band.

An `Archive` lists the cells of a product and fetches the files of one; nobody above it knows which kind it is.

    Core-S2L2A/<row>/<row_col>/<product id>/<band>.tif          extracted
    Core-LULC/<row>/<col>/<row>_<col>_<year>.tif                land cover, one file per year: the latest counts
    Core-S2L2A/**/<part>.parquet                                one observation per row group, one column per band
    Core-S2L2A/metadata.parquet                                 optional beside folders
"""

import dataclasses
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from copgen_jax.data.majortom.dates import NEVER, time_in_name
from copgen_jax.data.majortom.grid import is_cell_name
from copgen_jax.data.majortom.metadata import Limits, Metadata, Row, open_parquet, read_metadata
from copgen_jax.data.majortom.observation import Issue
from copgen_jax.errors import InputError

_ROW = re.compile(r"\d{1,4}[UD]")
_YEAR = re.compile(r"_(\d{4})\.tiff?$")
LARGEST_OBSERVATION = 1 << 30
"""Bytes of one observation of one product beyond which it is refused."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fetched:
    """The files of one observation of one product, not yet opened."""

    where: str
    """Where they lie, for messages."""
    files: Mapping[str, Path | bytes]
    """By band file name without suffix, in the layout's spelling (`vv`, `B02`, `cloud_mask`); only what is there."""
    product_id: str = ""
    time: np.datetime64 = NEVER
    crs: str = ""
    """As the metadata states it; empty if not."""
    unused: tuple[str, ...] = ()
    """Further products of the same cell."""


class Archive(Protocol):
    """The observations of one product."""

    issues: list[Issue]
    """What was wrong with the listing."""
    metadata: Metadata
    """Empty where there is none."""

    @property
    def cells(self) -> Collection[str]:
        """Names of the cells it has."""
        ...

    def fetch(self, cell: str, files: Collection[str]) -> Fetched:
        """Those of the named files that a cell has.

        Raises:
            InputError: they cannot be read.
        """
        ...


class Folders:
    """Extracted cells of one product."""

    def __init__(self, root: Path, limits: Limits):
        """List the cells below `root`.

        Raises:
            InputError: `metadata.parquet` is there and cannot be read.
        """
        self._directories, self.issues = _cell_directories(root, lambda row, name: name)
        self.metadata = _metadata_of(root, lambda cell, _: cell in self._directories, limits)
        self._refused = {row.product_id for row, _ in self.metadata.refused}
        self.issues += _repeated(root, self.metadata)

    @property
    def cells(self) -> Collection[str]:
        """Names of the cells it has."""
        return self._directories.keys()

    def fetch(self, cell: str, files: Collection[str]) -> Fetched:
        """Those of the named files that a cell has, of its first listed product."""
        products = sorted(path.name for path in _subdirectories(self._directories[cell]))
        products = [name for name in products if name not in self._refused]
        if not products:
            raise InputError(f"{self._directories[cell]} holds no product")
        row = self.metadata.first.get(cell)
        chosen = row.product_id if row and row.product_id in products else products[0]
        directory = self._directories[cell] / chosen
        paths = {name: directory / f"{name}.tif" for name in files}
        time = row.time if row else NEVER
        return Fetched(
            where=str(directory),
            files={name: path for name, path in paths.items() if path.is_file()},
            product_id=chosen,
            time=time_in_name(chosen) if np.isnat(time) else time,
            crs=row.crs if row else "",
            unused=tuple(name for name in products if name != chosen),
        )


class LandCover:
    """Land cover of cells, a file per year."""

    metadata = Metadata()

    def __init__(self, root: Path):
        """List the cells below `root`."""
        self._directories, self.issues = _cell_directories(root, lambda row, name: f"{row}_{name}")

    @property
    def cells(self) -> Collection[str]:
        """Names of the cells it has."""
        return self._directories.keys()

    def fetch(self, cell: str, files: Collection[str]) -> Fetched:
        """The file of the latest year, under the name LULC."""
        del files
        directory = self._directories[cell]
        years = {int(m[1]): p for p in sorted(directory.glob(f"{cell}_*.tif*")) if (m := _YEAR.search(p.name))}
        if not years:
            raise InputError(f"{directory} holds no file {cell}_<year>.tif")
        return Fetched(where=str(directory), files={"LULC": years[max(years)]})


class Parquet:
    """One product in parquet files: an observation per row group, a GeoTIFF per band."""

    def __init__(self, root: Path, parts: Iterable[Path], limits: Limits):
        """List the observations of `parts`, from `metadata.parquet` where it is there, else from the parts.

        Raises:
            InputError: `metadata.parquet` is there and cannot be read.
        """
        self.issues: list[Issue] = []
        self._parts = {path.name: path for path in sorted(parts)}
        self._rows: dict[str, Row] = {}
        self.metadata = metadata = _metadata_of(root, lambda _, file: file in self._parts, limits)
        for row in metadata.rows if metadata.rows or metadata.refused else self._scanned(root):
            if row.row_group < 0:
                continue
            if is_cell_name(row.cell):
                self._rows.setdefault(row.cell, row)
            else:
                where = f"{self._parts[row.file]}, row group {row.row_group}"
                self.issues.append(_unknown_cell(row.cell, where))
        self.issues += _repeated(root, metadata)
        if elsewhere := metadata.listed - len(metadata.rows) - len(metadata.refused):
            reason = f"{elsewhere} of {metadata.listed} listed observations are in parquet files that are not here"
            self.issues.append(Issue(place="", kind="missing", where=root.name, reason=reason))

    @property
    def cells(self) -> Collection[str]:
        """Names of the cells it has."""
        return self._rows.keys()

    def fetch(self, cell: str, files: Collection[str]) -> Fetched:
        """Those of the named columns that a cell has; nothing else of the row group is read."""
        row = self._rows[cell]
        path = self._parts[row.file]
        where = f"{path}, row group {row.row_group}"
        with open_parquet(path) as parquet:
            _check_row_group(parquet, row.row_group, str(path))
            wanted = [n for n in ("grid_cell", "product_id", *files) if n in parquet.schema_arrow.names]
            columns = parquet.read_row_group(row.row_group, columns=wanted, use_threads=False).to_pydict()
        if columns.get("grid_cell") != [cell]:
            raise InputError(
                f"{where} holds {', '.join(map(str, columns.get('grid_cell', ['no cell'])))}, expected {cell} alone"
            )
        product_id = str((columns.get("product_id") or [""])[0] or "")
        return Fetched(
            where=where,
            files={name: columns[name][0] for name in files if columns.get(name) and columns[name][0]},
            product_id=product_id,
            time=time_in_name(product_id) if np.isnat(row.time) else row.time,
            crs=row.crs,
        )

    def _scanned(self, root: Path) -> Iterator[Row]:
        seen: set[str] = set()
        for name, path in self._parts.items():
            try:
                for row_group, cell in enumerate(_cells_in(path)):
                    if cell in seen:
                        self.issues.append(_several(cell, root.name))
                    seen.add(cell)
                    yield Row(cell=cell, time=NEVER, product_id="", file=name, row_group=row_group, crs="")
            except InputError as error:
                self.issues.append(Issue(place="", kind="broken", where=str(path), reason=str(error)))


def open_archive(root: Path, limits: Limits) -> Archive | None:
    """The archive below a directory `Core-*`, of whatever kind it is; None where it is empty.

    Raises:
        InputError: its metadata cannot be read.
    """
    if root.name == "Core-LULC":
        archive: Archive = LandCover(root)
        return archive if archive.cells or archive.issues else None
    if any(_ROW.fullmatch(path.name) for path in _subdirectories(root)):
        return Folders(root, limits)
    parts = [path for path in root.rglob("*.parquet") if path.name != "metadata.parquet" and path.is_file()]
    return Parquet(root, parts, limits) if parts else None


def _metadata_of(root: Path, keep: Callable[[str, str], bool], limits: Limits) -> Metadata:
    path = root / "metadata.parquet"
    return read_metadata(path, keep).within(limits) if path.is_file() else Metadata()


def _cell_directories(root: Path, name_of: Callable[[str, str], str]) -> tuple[dict[str, Path], list[Issue]]:
    """The directories of cells two levels below `root`, by name of the cell, and what was wrong with others."""
    directories: dict[str, Path] = {}
    issues: list[Issue] = []
    for row in _subdirectories(root):
        try:
            below = _subdirectories(row) if _ROW.fullmatch(row.name) else []
        except InputError as error:
            issues.append(Issue(place="", kind="broken", where=str(row), reason=str(error)))
            continue
        for directory in below:
            cell = name_of(row.name, directory.name)
            if is_cell_name(cell):
                directories[cell] = directory
            else:
                issues.append(_unknown_cell(cell, str(directory)))
    return directories, issues


def _cells_in(path: Path) -> Iterator[str]:
    """The cell of each row group of a parquet file."""
    with open_parquet(path) as parquet:
        if "grid_cell" not in parquet.schema_arrow.names:
            raise InputError(f"{path} is no parquet file of Major TOM: it has no column grid_cell")
        for row_group in range(parquet.num_row_groups):
            table = parquet.read_row_group(row_group, columns=["grid_cell"], use_threads=False)
            if len(table) != 1:
                raise InputError(f"{path} has {len(table)} observations in row group {row_group}, expected one")
            yield str(table["grid_cell"][0].as_py())


def _check_row_group(parquet, row_group: int, where: str) -> None:
    """Refuse a row group that is not there or too large, before a column of it is read."""
    if row_group >= parquet.num_row_groups:
        raise InputError(f"{where} has {parquet.num_row_groups} row groups, the metadata names {row_group}")
    size = parquet.metadata.row_group(row_group).total_byte_size
    if size > LARGEST_OBSERVATION:
        raise InputError(
            f"{where} says that row group {row_group} takes {size >> 20} MiB; one observation takes some 40, "
            f"and at most {LARGEST_OBSERVATION >> 20} are read"
        )


def _subdirectories(root: Path) -> list[Path]:
    """The directories in one, sorted, without hidden ones (what an interrupted program left)."""
    try:
        with os.scandir(root) as entries:
            return sorted(Path(e.path) for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise InputError(f"{root} cannot be listed: {error.strerror}") from error


def _repeated(root: Path, metadata: Metadata) -> Iterator[Issue]:
    seen: set[str] = set()
    for row in metadata.rows:
        if row.cell in seen:
            yield _several(row.cell, root.name)
        seen.add(row.cell)


def _several(cell: str, where: str) -> Issue:
    return Issue(place=cell, kind="several products", where=where, reason="listed again; the first listed one is used")


def _unknown_cell(name: str, where: str) -> Issue:
    return Issue(place=name, kind="unknown cell", where=where, reason="not a cell of the Major TOM grid; skipped")
