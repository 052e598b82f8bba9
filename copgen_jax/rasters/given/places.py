"""Many places from one table: CSV or GeoParquet, a row per place and a column per product or modality.

    name,DEM,LULC,location,timestamp
    alps,dem/alps.tif,lulc/alps.tif,"46.5,8.0",2023-06-10

Cells are paths (relative to the table) or values; an empty cell means that this place does not have it. The column
`name` is optional, as is `geometry` in a GeoParquet file: its point, or the centre of its bounds, is the location where
no column gives one.
"""

import csv
import dataclasses
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from copgen_jax.errors import InputError, suggestion
from copgen_jax.modalities import ModalitySet
from copgen_jax.rasters.read import local_file

NAME = "name"
GEOMETRY = "geometry"
MOST_PLACES = 10_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class TablePlace:
    """One row of a table of places."""

    name: str | None
    """Unique among the rows; None where the table has no such column."""
    given: Mapping[str, Any]
    """What `read_given` takes."""


def read_places(path: str | Path, modalities: ModalitySet) -> list[TablePlace]:
    """The places of a CSV or Parquet file.

    Raises:
        InputError: neither of the two, a damaged file, an unknown column, a name twice, no rows.
    """
    place = local_file(path)
    suffix = place.suffix.lower()
    if suffix == ".csv":
        columns, rows = _read_csv(place)
    elif suffix in (".parquet", ".geoparquet"):
        columns, rows = _read_parquet(place)
    else:
        raise InputError(f"{path} is no table of places; expected .csv, .parquet or .geoparquet")
    _check_columns(columns, modalities, path)
    if not rows:
        raise InputError(f"{path} has no rows; give one per place")
    vectors = {word for word in columns if word in modalities and not modalities[word].is_image}
    positions = [m.name for m in modalities if m.encoding == "position"]
    found = [_place_of(row, place.parent, vectors, positions) for row in rows]
    _check_names([p.name for p in found], path)
    return found


def _read_csv(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    rows = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            columns = [column.strip() for column in next(reader, [])]
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(columns):
                    raise InputError(f"{path} line {reader.line_num} has {len(cells)} cells, expected {len(columns)}")
                rows.append(dict(zip(columns, cells, strict=True)))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    return columns, rows


def _read_parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise InputError(f"reading {path} needs pyarrow: pip install 'copgen_jax[data]'") from error
    try:
        file = parquet.ParquetFile(path)
        if file.metadata.num_rows > MOST_PLACES:
            raise InputError(f"{path} says it has {file.metadata.num_rows} rows; at most {MOST_PLACES} are read")
        geo = json.loads((file.schema_arrow.metadata or {}).get(b"geo", b"{}"))
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())}") from error
    primary = geo.get("primary_column", GEOMETRY) if isinstance(geo, dict) else GEOMETRY
    columns = [GEOMETRY if column == primary else column for column in table.column_names]
    rows = table.rename_columns(columns).to_pylist()
    for row in rows:
        if isinstance(row.get(GEOMETRY), bytes):
            row[GEOMETRY] = _centre_of_wkb(row[GEOMETRY], path)
        else:
            row.pop(GEOMETRY, None)
    return columns, rows


def _check_columns(columns: Sequence[str], modalities: ModalitySet, path: str | Path) -> None:
    known = tuple(dict.fromkeys((NAME, *modalities.products, *modalities.names)))
    for column in columns:
        if columns.count(column) > 1:
            raise InputError(f"{path} has the column {column!r} twice")
        if column not in (*known, GEOMETRY):
            raise InputError(f"{path} has an unknown column {column!r}: {suggestion(column, known)}")
    if not set(columns) - {NAME}:
        raise InputError(f"{path} has no column of a product; expected some of {', '.join(known[1:])}")


def _place_of(row: Mapping[str, Any], folder: Path, vectors: Iterable[str], positions: Sequence[str]) -> TablePlace:
    given = {}
    for word, cell in row.items():
        if word in (NAME, GEOMETRY) or cell is None or (isinstance(cell, str) and not cell.strip()):
            continue
        if isinstance(cell, str):
            cell = cell.strip()
            given[word] = cell if word in vectors or "://" in cell else str(folder / Path(cell).expanduser())
        else:
            given[word] = cell
    if row.get(GEOMETRY) is not None and positions and positions[0] not in given:
        given[positions[0]] = row[GEOMETRY]
    name = row.get(NAME)
    return TablePlace(name=str(name).strip() if name not in (None, "") else None, given=given)


def _check_names(names: Sequence[str | None], path: str | Path) -> None:
    seen = set()
    for name in names:
        if name is None and any(names):
            raise InputError(f"{path} names some places and not others; give every row a name, or none")
        if name is not None and name in seen:
            raise InputError(f"{path} has two places named {name!r}; names must differ")
        seen.add(name)


def _centre_of_wkb(data: bytes, path: Path) -> tuple[float, float]:
    """(latitude, longitude) of the centre of the bounds of a point, polygon or several, in well-known binary.

    Raises:
        InputError: another geometry, or a damaged one.
    """
    try:
        points, _ = _points(data, 0)
    except (struct.error, IndexError) as error:
        raise InputError(f"{path} has a damaged geometry; expected a point or polygon in WKB") from error
    if not points:
        raise InputError(f"{path} has an empty geometry or one of another kind; expected a point or polygon in WKB")
    x, y = zip(*points, strict=True)
    return (min(y) + max(y)) / 2, (min(x) + max(x)) / 2


_POINT, _LINE, _POLYGON, _SEVERAL = 1, 2, 3, (4, 5, 6, 7)


def _points(data: bytes, at: int, depth: int = 0) -> tuple[list[tuple[float, float]], int]:
    """Points of the geometry at this byte, and where it ends."""
    order = "<" if data[at] == 1 else ">"
    (code,) = struct.unpack_from(f"{order}I", data, at + 1)
    kind, extra = _kind_and_extra(code)
    at += 5 + (4 if code & 0x20000000 else 0)
    size = 8 * (2 + extra)
    if kind == _POINT:
        return [struct.unpack_from(f"{order}2d", data, at)], at + size
    (count,) = struct.unpack_from(f"{order}I", data, at)
    at += 4
    if count * 4 > len(data) or depth > 4:
        raise struct.error("more parts than bytes")
    points: list[tuple[float, float]] = []
    for _ in range(count):
        if kind in _SEVERAL:
            found, at = _points(data, at, depth + 1)
            points += found
        elif kind == _LINE:
            points.append(struct.unpack_from(f"{order}2d", data, at))
            at += size
        elif kind == _POLYGON:
            (corners,) = struct.unpack_from(f"{order}I", data, at)
            at += 4
            if corners * size > len(data):
                raise struct.error("more corners than bytes")
            points += [struct.unpack_from(f"{order}2d", data, at + i * size) for i in range(corners)]
            at += corners * size
    return points, at


def _kind_and_extra(code: int) -> tuple[int, int]:
    """Kind of geometry, and how many numbers a point has beyond x and y (ISO and extended codes)."""
    extra = bool(code & 0x80000000) + bool(code & 0x40000000)
    plain = code & 0x0FFFFFFF
    return plain % 1000, extra or {0: 0, 1: 1, 2: 1, 3: 2}.get(plain // 1000, 0)
