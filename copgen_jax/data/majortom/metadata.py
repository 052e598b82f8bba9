"""Major TOM's `metadata.parquet`: what a product holds, where, and when it was observed."""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from copgen_jax.data.majortom.dates import NEVER, parse_time
from copgen_jax.errors import InputError

_COLUMNS = ("grid_cell", "timestamp", "product_id", "parquet_url", "parquet_row", "crs", "cloud_cover", "nodata")
_DOUBLED = re.compile(r"^(EPSG:)+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One observation of one product."""

    cell: str
    time: np.datetime64
    product_id: str
    """Empty for terrain."""
    file: str
    """Name of the parquet file that holds it, without any directory; empty if not stated."""
    row_group: int
    """Its row group there; -1 if not stated."""
    crs: str
    """Coordinate reference system of its rasters, `EPSG:32633`; empty if not stated."""
    cloud_cover: float | None = None
    """Percent of the product under cloud."""
    nodata: float | None = None
    """What is missing of it, in the unit of the file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that the metadata may say of an observation; None: anything. What is not stated passes."""

    cloud_cover: float | None = None
    nodata: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the metadata that have a limit."""
        return tuple(field.name for field in dataclasses.fields(self) if getattr(self, field.name) is not None)

    def excess(self, row: Row) -> str:
        """What of a row is beyond its limit; empty if nothing."""
        for column in self.columns:
            value, most = getattr(row, column), getattr(self, column)
            if value is not None and value > most:
                return f"{column} is {value:g}, above {most:g}"
        return ""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The rows of a product's metadata that matter, in file order."""

    rows: tuple[Row, ...] = ()
    listed: int = 0
    """Rows in the file, with those that were not kept."""
    columns: frozenset[str] = frozenset()
    """What it states."""
    refused: tuple[tuple[Row, str], ...] = ()
    """Rows beyond the limits, and why."""

    def within(self, limits: Limits) -> "Metadata":
        """Without the rows beyond the limits."""
        judged = [(row, limits.excess(row)) for row in self.rows]
        rows = tuple(row for row, reason in judged if not reason)
        refused = tuple((row, reason) for row, reason in judged if reason)
        return dataclasses.replace(self, rows=rows, refused=refused)

    @cached_property
    def refused_cells(self) -> dict[str, str]:
        """Cells of which no observation is within the limits, and why."""
        return {row.cell: reason for row, reason in self.refused if row.cell not in self.first}

    @cached_property
    def first(self) -> dict[str, Row]:
        """The first listed row of each cell: the one that counts."""
        first: dict[str, Row] = {}
        for row in self.rows:
            first.setdefault(row.cell, row)
        return first


def read_metadata(path: Path, keep: Callable[[str, str], bool]) -> Metadata:
    """The metadata of a product from a parquet file; columns it does not have count as not stated.

    Args:
        path: may list two million observations of the whole Earth.
        keep: whether the row of a cell, in a parquet file of that name, matters.

    Raises:
        InputError: truncated, no parquet file, or no column `grid_cell`.
    """
    with open_parquet(path) as parquet:
        names = [name for name in _COLUMNS if name in parquet.schema_arrow.names]
        if "grid_cell" not in names:
            raise InputError(f"{path} is no metadata of Major TOM: it has no column grid_cell")
        return Metadata(tuple(_rows(parquet, names, keep)), parquet.metadata.num_rows, frozenset(names))


@contextlib.contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile`. Reading belongs inside the block: what breaks there is the file's fault.

    Raises:
        InputError: truncated, damaged or no parquet file, or pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f"reading {path} needs pyarrow: pip install 'copgen_jax[data]'") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as parquet:
            yield parquet
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is truncated, damaged or no parquet file: download it again") from error


def plain_crs(text: str) -> str:
    """A coordinate reference system without the doubled prefix that some rows have (`EPSG:EPSG:32633`)."""
    return _DOUBLED.sub("EPSG:", text.strip())


def _rows(parquet: Any, names: Sequence[str], keep: Callable[[str, str], bool]) -> Iterator[Row]:
    import pyarrow

    for batch in parquet.iter_batches(columns=list(names)):
        cells = batch.column("grid_cell").to_pylist()
        urls = batch.column("parquet_url").to_pylist() if "parquet_url" in names else [""] * len(cells)
        kept = [keep(cell or "", _file_name(url or "")) for cell, url in zip(cells, urls, strict=True)]
        matters = batch.filter(pyarrow.array(kept, pyarrow.bool_()))
        columns = [_plain(matters.column(name)) for name in names]
        for values in zip(*columns, strict=True):
            yield _row(dict(zip(names, values, strict=True)))


def _plain(column: Any) -> list[Any]:
    """Python values of a column; times of whatever resolution and zone as microseconds since 1970 in UTC."""
    import pyarrow

    if pyarrow.types.is_timestamp(column.type):
        microseconds = pyarrow.timestamp("us", tz=column.type.tz)
        column = column.cast(microseconds, safe=False).cast(pyarrow.int64())
    return column.to_pylist()


@functools.lru_cache(maxsize=1 << 16)
def _file_name(url: str) -> str:
    return PurePosixPath(url.partition("?")[0]).name


def _row(values: dict[str, Any]) -> Row:
    row_group = values.get("parquet_row")
    return Row(
        cell=str(values.get("grid_cell") or ""),
        time=_time(values.get("timestamp")),
        product_id=str(values.get("product_id") or ""),
        file=_file_name(str(values.get("parquet_url") or "")),
        row_group=-1 if row_group is None else int(row_group),
        crs=plain_crs(str(values.get("crs") or "")),
        cloud_cover=_number(values.get("cloud_cover")),
        nodata=_number(values.get("nodata")),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _time(value: Any) -> np.datetime64:
    if isinstance(value, int):
        return np.datetime64(value, "us")
    return NEVER if value is None else parse_time(str(value))
