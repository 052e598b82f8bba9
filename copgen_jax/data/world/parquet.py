"""Parquet files as Major TOM's: an observation per row group with a GeoTIFF per band, and a list of observations.

    Core-S2L2A/images/part_00001.parquet        product_id (not of terrain), grid_cell, B01 ... B12
    Core-S2L2A/metadata.parquet                 a row per observation: cell, time, place, file and row group

Real parts hold many observations; here each holds one, so that cells are written in any order and by any process.
Thumbnails and outlines are left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from copgen_jax.errors import InputError
from copgen_jax.files import file_aside


def pyarrow_parquet() -> ModuleType:
    """`pyarrow.parquet`.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("writing parquet needs pyarrow: pip install 'copgen_jax[data]'") from error
    return pyarrow.parquet


def write_part(path: Path, row: Mapping[str, str | bytes]) -> None:
    """One observation as a parquet file; the bands are compressed already."""
    import pyarrow

    table = pyarrow.Table.from_pylist([dict(row)])
    with file_aside(path) as aside:
        pyarrow_parquet().write_table(table, aside, compression="none", use_dictionary=False)


def write_metadata(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The list of a product's observations."""
    import pyarrow

    with file_aside(path) as aside:
        pyarrow_parquet().write_table(pyarrow.Table.from_pylist(list(map(dict, rows))), aside)
