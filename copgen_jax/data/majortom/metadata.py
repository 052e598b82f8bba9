"""Major TOM's `metadata.parquet`: what a product holds, where, and when it was observed."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from copgen_jax.data.majortom.dates import NEVER, parse_time
from copgen_jax.errors import InputError

_COLUMNS = ("grid_cell", "timestamp", "product_id", "parquet_url", "parquet_row", "crs")
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


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The rows of a product's metadata, in file order."""

    rows: tuple[Row, ...] = ()

    @cached_property
    def first(self) -> dict[str, Row]:
        """The first listed row of each cell: the one that counts."""
        first: dict[str, Row] = {}
        for row in self.rows:
            first.setdefault(row.cell, row)
        return first


def read_metadata(path: Path) -> Metadata:
    """The metadata of a product from a parquet file; columns it does not have count as not stated.

    Raises:
        InputError: truncated, no parquet file, or no column `grid_cell`.
    """
    with open_parquet(path) as parquet:
        names = [name for name in _COLUMNS if name in parquet.schema_arrow.names]
        if "grid_cell" not in names:
            raise InputError(f"{path} is no metadata of Major TOM: it has no column grid_cell")
        return Metadata(tuple(_rows(parquet, names)))


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


def _rows(parquet: Any, names: Sequence[str]) -> Iterator[Row]:
    for batch in parquet.iter_batches(columns=list(names)):
        columns = [batch.column(name).to_pylist() for name in names]
        for values in zip(*columns, strict=True):
            yield _row(dict(zip(names, values, strict=True)))


def _row(values: dict[str, Any]) -> Row:
    row_group = values.get("parquet_row")
    return Row(
        cell=str(values.get("grid_cell") or ""),
        time=_time(values.get("timestamp")),
        product_id=str(values.get("product_id") or ""),
        file=PurePosixPath(str(values.get("parquet_url") or "").partition("?")[0]).name,
        row_group=-1 if row_group is None else int(row_group),
        crs=plain_crs(str(values.get("crs") or "")),
    )


def _time(value: Any) -> np.datetime64:
    return NEVER if value is None else parse_time(str(value))
