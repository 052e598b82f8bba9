"""Sources in xarray objects: coordinates x and y, a CRS in `spatial_ref`, band names on the band axis.

A DataArray is (band, y, x) or (y, x); a Dataset has one variable per band, or one variable with bands. One member must
have been chosen. Values stay where they are (a file, a Zarr array, dask) until a window of them is read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from copgen_jax.errors import InputError, suggestion
from copgen_jax.rasters.given.source import Source, Window, corner_and_pixel, crs_text
from copgen_jax.rasters.read import local_path

_X = ("x", "easting", "X")
_Y = ("y", "northing", "Y")
_DEGREES = ("lat", "lon", "latitude", "longitude")
_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


def is_xarray(value: Any) -> bool:
    """Whether this is a DataArray, Dataset or DataTree, without importing xarray."""
    return type(value).__module__.split(".")[0] == "xarray"


def is_zarr(path: Path) -> bool:
    """Whether this directory is a Zarr array or group."""
    return any((path / mark).is_file() for mark in _ZARR_MARKS)


def from_xarray(value: Any, *, where: str) -> list[Source]:
    """The sources of a DataArray or Dataset.

    Raises:
        InputError: dimensions that are no raster, several members, coordinates that are not a north-up metric grid.
    """
    if hasattr(value, "data_vars"):
        arrays = {name: array for name, array in value.data_vars.items() if array.ndim >= 2}
        if not arrays:
            raise InputError(f"{where} is a Dataset without a raster variable; expected one variable per band")
        return [
            _from_array(array, where=where if len(arrays) == 1 else f"{where} variable {name}", name=str(name))
            for name, array in arrays.items()
        ]
    if not hasattr(value, "dims"):
        raise InputError(f"{where} is a {type(value).__name__}; give its DataArrays one by one")
    return [_from_array(value, where=where, name=str(value.name) if value.name else None)]


def from_zarr(path: str | Path, *, names: Sequence[str], where: str) -> list[Source]:
    """The sources of a Zarr group or array in a local directory; `names` are the variables looked for.

    Raises:
        InputError: not a Zarr store that xarray can open, or none of the names in it.
    """
    import xarray as xr

    place = local_path(path)
    try:
        tree = xr.open_datatree(place, engine="zarr", chunks=None, consolidated=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where} cannot be opened as a Zarr group: {' '.join(str(error).split())}") from error
    rasters = {str(n): a for node in tree.subtree for n, a in node.data_vars.items() if a.ndim >= 2}
    found = {name: array for name, array in rasters.items() if name in names} or (rasters if len(rasters) == 1 else {})
    if not found:
        names = tuple(dict.fromkeys(names))
        hint = suggestion(names[0], rasters) if rasters else "it has no rasters"
        raise InputError(f"{where} holds no {' or '.join(names)}: {hint}")
    return [_from_array(array, where=f"{where}/{name}", name=name) for name, array in found.items()]


def _from_array(array: Any, *, where: str, name: str | None) -> Source:
    array = _one_member(array, where)
    y, x = _axes(array, where)
    others = [dim for dim in array.dims if dim not in (y, x)]
    if len(others) > 1:
        raise InputError(f"{where} has dimensions {', '.join(map(str, array.dims))}; expected (band, y, x) or (y, x)")
    band = others[0] if others else None
    array = array.transpose(*([band] if band else []), y, x)
    if y in array.coords and array.sizes[y] > 1 and float(array[y][1]) > float(array[y][0]):
        array = array.isel({y: slice(None, None, -1)})
    names = _band_names(array, band, name)
    crs, left, top, pixel = _georeference(array, y, x, where)
    attributes: Mapping[str, Any] = array.attrs

    def fetch(bands: Sequence[int], window: Window) -> np.ndarray:
        rows = slice(window.row, window.row + window.height)
        part = array.isel({y: rows, x: slice(window.column, window.column + window.width)})
        values = np.asarray((part.isel({band: list(bands)}) if band else part).values)
        return values if band else values[None]

    if array.dtype.kind not in "buif":
        raise InputError(f"{where} is an array of {array.dtype}; expected real numbers")
    count = len(names)
    return Source(
        where=where,
        names=names,
        shape=(array.sizes[y], array.sizes[x]),
        fetch=fetch,
        crs=crs,
        left=left,
        top=top,
        pixel=pixel,
        nodata=(_number(attributes.get("_FillValue", attributes.get("nodata"))),) * count,
        scales=(_number(attributes.get("scale_factor")) or 1.0,) * count,
        offsets=(_number(attributes.get("add_offset")) or 0.0,) * count,
        tags={str(key).lower(): str(value) for key, value in attributes.items()} | _time_tag(array) | _code_tag(array),
        integer=array.dtype.kind in "bui",
        in_memory=True,
    )


def _one_member(array: Any, where: str) -> Any:
    for dim in ("member", "time"):
        if dim in array.dims:
            if array.sizes[dim] != 1:
                raise InputError(f"{where} has {array.sizes[dim]} of dimension {dim}; choose one with .isel({dim}=0)")
            array = array.isel({dim: 0})
    return array


def _axes(array: Any, where: str) -> tuple[Any, Any]:
    y = next((dim for dim in array.dims if dim in _Y), None)
    x = next((dim for dim in array.dims if dim in _X), None)
    if y is None or x is None:
        degrees = [str(dim) for dim in array.dims if dim in _DEGREES]
        reason = " (degrees); reproject it to its UTM zone" if degrees else "; expected (band, y, x) or (y, x)"
        raise InputError(f"{where} has dimensions {', '.join(map(str, array.dims))}{reason}")
    return y, x


def _band_names(array: Any, band: Any, name: str | None) -> tuple[str | None, ...]:
    if band is None:
        return (name,)
    count = array.sizes[band]
    if band in array.coords and array[band].dtype.kind in "UOST":
        return tuple(str(value) for value in array[band].values)
    long_names = array.attrs.get("long_name")
    if isinstance(long_names, list | tuple) and len(long_names) == count:
        return tuple(str(value) for value in long_names)
    return (name,) if count == 1 else (None,) * count


def _georeference(array: Any, y: Any, x: Any, where: str) -> tuple[str | None, float, float, float | None]:
    definition = _crs_definition(array)
    if definition is None or x not in array.coords or y not in array.coords:
        return None, 0.0, 0.0, None
    xs, ys = np.asarray(array[x].values, np.float64), np.asarray(array[y].values, np.float64)
    if min(len(xs), len(ys)) < 2:
        raise InputError(f"{where} has {len(ys)} x {len(xs)} pixels; too small a raster to tell its pixel size")
    step, fall = (xs[-1] - xs[0]) / (len(xs) - 1), (ys[0] - ys[-1]) / (len(ys) - 1)
    slack = 1e-3 * abs(step)
    if not (np.allclose(np.diff(xs), step, rtol=0, atol=slack) and np.allclose(-np.diff(ys), fall, rtol=0, atol=slack)):
        raise InputError(f"{where} has coordinates x and y that are not evenly spaced; expected a regular grid")
    crs = crs_text(definition)
    transform = Affine(step, 0.0, xs[0] - step / 2, 0.0, -fall, ys[0] + fall / 2)
    return crs, *corner_and_pixel(transform, crs, where)


def _crs_definition(array: Any) -> str | None:
    """The CRS as text: of the grid mapping as CF and rioxarray keep it, else of the attribute `crs`."""
    for name in (array.encoding.get("grid_mapping"), array.attrs.get("grid_mapping"), "spatial_ref", "crs"):
        if name in array.coords:
            attributes = array.coords[name].attrs
            text = attributes.get("crs_wkt") or attributes.get("spatial_ref")
            if text:
                return str(text)
    return str(array.attrs["crs"]) if array.attrs.get("crs") else None


def _time_tag(array: Any) -> dict[str, str]:
    if "time" in array.coords and array.coords["time"].ndim == 0:
        return {"datetime": str(array.coords["time"].values)}
    return {}


def _code_tag(array: Any) -> dict[str, str]:
    """Class codes are stated by CF's `flag_values`, unless these are 0, 1, 2, ... and could be indices as well."""
    flags = np.asarray(array.attrs.get("flag_values", ())).reshape(-1)
    return {"units": "code"} if flags.size and not np.array_equal(flags, np.arange(flags.size)) else {}


def _number(value: Any) -> float | None:
    return None if value is None else float(np.asarray(value).reshape(-1)[0])
