"""What is where: a GeoParquet table of patches and a STAC collection.

GeoParquet 1.1: geometries are WKB, longitude before latitude on WGS 84 (OGC:CRS84, the standard's default). A patch
whose ground is known is the outline of its pixels, another one the point that the network was told.
"""

import datetime
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.data.latents.writing import epsg_of
from copgen_jax.errors import InputError
from copgen_jax.export.selection import Chosen
from copgen_jax.files import file_aside
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.stac import VERSION

POINT, POLYGON, MULTIPOLYGON = 1, 3, 6
_WKB = {"Point": POINT, "Polygon": POLYGON, "MultiPolygon": MULTIPOLYGON}


def write_index(path: Path, chosen: Sequence[Chosen], *, folders: bool) -> None:
    """Write the GeoParquet table.

    Args:
        path: ends in .parquet.
        chosen: the patches.
        folders: whether every patch has a folder of COGs beside the table, which it then names.

    Raises:
        InputError: pyarrow is not installed, or the place cannot be written to.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("a GeoParquet index needs pyarrow: pip install 'copgen_jax[data]'") from error
    tables = [pyarrow.table(_columns(part, folders=folders)) for part in chosen]
    table = pyarrow.concat_tables(tables)
    shapes = [shape for part in chosen for shape in part.geometries]
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": sorted({shape["type"] for shape in shapes if shape}),
                **({"bbox": box} if (box := bounds(shapes)) else {}),
            }
        },
    }
    with file_aside(path) as aside:
        pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), aside, compression="zstd")


def wkb(geometry: Mapping[str, Any] | None) -> bytes | None:
    """Little-endian well-known binary of a GeoJSON Point, Polygon or MultiPolygon."""
    if geometry is None:
        return None
    kind, coordinates = geometry["type"], geometry["coordinates"]
    head = struct.pack("<BI", 1, _WKB[kind])
    if kind == "Point":
        return head + struct.pack("<2d", *coordinates)
    if kind == "Polygon":
        rings = [struct.pack("<I", len(ring)) + np.asarray(ring, "<f8").tobytes() for ring in coordinates]
        return head + struct.pack("<I", len(rings)) + b"".join(rings)
    parts = [wkb({"type": "Polygon", "coordinates": polygon}) or b"" for polygon in coordinates]
    return head + struct.pack("<I", len(parts)) + b"".join(parts)


def bounds(shapes: Sequence[Mapping[str, Any] | None]) -> list[float] | None:
    """[west, south, east, north] of all geometries; the whole range of longitudes where one crosses the date line."""
    points = [point for shape in shapes if shape for point in _points(shape["coordinates"])]
    if not points:
        return None
    west, south = np.min(points, axis=0).tolist()
    east, north = np.max(points, axis=0).tolist()
    return [west, south, east, north]


def stac_collection(
    chosen: Sequence[Chosen], *, links: Sequence[Mapping[str, str]], assets: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The collection of everything that was exported."""
    store = chosen[0].store
    box = bounds([shape for part in chosen for shape in part.geometries]) or [-180.0, -90.0, 180.0, 90.0]
    times = np.concatenate([part.coordinates.time[part.rows] for part in chosen])
    times = times[~np.isnat(times)]
    first, last = (f"{times.min()}T00:00:00Z", f"{times.max()}T00:00:00Z") if len(times) else (None, None)
    return {
        "type": "Collection",
        "stac_version": VERSION,
        "id": f"{store.path.name}-export",
        "description": f"{sum(map(len, chosen))} patches{' of synthetic data' * store.description.synthetic}, exported "
        f"from the latent store {store.path.name}, latent space {store.description.latent_space[:12]}",
        "license": "other",
        "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [[first, last]]}},
        "links": [dict(link) for link in links],
        "assets": {key: dict(asset) for key, asset in assets.items()},
    }


def day_of(chosen: Chosen, number: int) -> str:
    """The date of a chosen patch, or today's where none is known."""
    time = chosen.coordinates.time[chosen.rows[number]]
    return str(datetime.datetime.now(datetime.UTC).date()) if np.isnat(time) else str(time)


def _columns(chosen: Chosen, *, folders: bool) -> dict[str, Any]:
    import pyarrow

    rows, coordinates = chosen.rows, chosen.coordinates
    cells, indices = zip(*chosen.places, strict=True)
    columns: dict[str, Any] = {
        "id": list(chosen.patches),
        "split": [chosen.split] * len(rows),
        "cell": list(cells),
        "patch_index": pyarrow.array(indices, pyarrow.int32()),
        "row": rows,
        "date": pyarrow.array(coordinates.time[rows].astype("datetime64[D]"), pyarrow.date32()),
        "latitude": _nullable(coordinates.latitude[rows]),
        "longitude": _nullable(coordinates.longitude[rows]),
        "epsg": pyarrow.array([epsg_of(ground) or None for ground in chosen.grounds], pyarrow.int32()),
        "left": _corner(chosen.grounds, "left"),
        "top": _corner(chosen.grounds, "top"),
    }
    columns |= {name: chosen.presence(name) for name in chosen.names}
    if folders:
        columns["item"] = [f"{patch}/item.json" for patch in chosen.patches]
    return columns | {"geometry": pyarrow.array([wkb(shape) for shape in chosen.geometries], pyarrow.binary())}


def _nullable(values: np.ndarray) -> Any:
    import pyarrow

    return pyarrow.array(values, pyarrow.float64(), mask=~np.isfinite(values))


def _corner(grounds: Sequence[Ground | None], side: str) -> Any:
    import pyarrow

    return pyarrow.array([getattr(ground, side) if ground else None for ground in grounds], pyarrow.float64())


def _points(coordinates: Any) -> list[Any]:
    """All points of nested GeoJSON coordinates."""
    if not isinstance(coordinates[0], list | tuple):
        return [coordinates]
    return [point for part in coordinates for point in _points(part)]
