"""A source: bands on one grid, whatever they are kept in, read a window at a time.

Files, arrays and xarray objects all become this one form; nothing later asks which it was. A bare array, or a file
without georeference, knows neither its CRS nor its pixel size: both are None until `alignment` settles the pixel size.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from affine import Affine

from copgen_jax.errors import InputError
from copgen_jax.rasters.read import local_file, open_raster

LARGEST_READ = 1 << 31
"""Bytes that one window may take; a patch of all bands is some megabytes."""


class Window(NamedTuple):
    """Rows and columns of a source's own pixels."""

    row: int
    column: int
    height: int
    width: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Bands on one grid."""

    where: str
    """How messages name it: a path, or "S2L2A (array)"."""
    names: tuple[str | None, ...]
    """What each band is called there; None where it has no name."""
    shape: tuple[int, int]
    fetch: Callable[[Sequence[int], Window], np.ndarray]
    """(n, height, width) numbers as they are stored, of the bands with these indices."""
    crs: str | None = None
    left: float = 0.0
    top: float = 0.0
    pixel: float | None = None
    """Side of a pixel in metres."""
    nodata: tuple[float | None, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    """Physical value = scale * number + offset, where the source says so; else 1 and 0. Empty: 1 and 0 for all."""
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What the source says about itself, keys in lower case."""
    integer: bool = False
    """Whether numbers are stored as integers."""
    in_memory: bool = False
    """Whether it is an array rather than a file, so that its band order is the one this package documents."""

    def scaling(self, band: int) -> tuple[float, float]:
        """(scale, offset) of a band."""
        return (self.scales[band] if self.scales else 1.0, self.offsets[band] if self.offsets else 0.0)

    def read(self, bands: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Numbers float64 and where they are valid, both (n, height, width): not NaN, infinite or the stated nodata.

        Raises:
            InputError: the source breaks while it is read, or the window is absurdly large.
        """
        if len(bands) * window.height * window.width * 8 > LARGEST_READ:
            raise InputError(f"{self.where}: {window.height} x {window.width} pixels are too many to read at once")
        numbers = np.asarray(self.fetch(bands, window)).astype(np.float64)
        valid = np.isfinite(numbers)
        for i, band in enumerate(bands):
            nodata = self.nodata[band] if self.nodata else None
            if nodata is not None and np.isfinite(nodata):
                valid[i] &= numbers[i] != nodata
        return numbers, valid


def from_file(path: str | Path | bytes, *, where: str) -> Source:
    """The source of a GeoTIFF, COG or JPEG 2000 file, or of its bytes; pixels stay in it.

    Raises:
        InputError: as `open_raster`; a geographic CRS, rotated, non-square or south-up pixels; complex numbers.
    """
    if not isinstance(path, bytes):
        path = local_file(path)

    def fetch(bands: Sequence[int], window: Window) -> np.ndarray:
        with open_raster(path, where=where) as dataset:
            rows = (window.row, window.row + window.height)
            columns = (window.column, window.column + window.width)
            return dataset.read([band + 1 for band in bands], window=(rows, columns))

    with open_raster(path, where=where) as dataset:
        if any(dtype.startswith("complex") for dtype in dataset.dtypes):
            raise InputError(f"{where} holds complex numbers; give detected power")
        tags = {key.lower(): value for key, value in dataset.tags().items()}
        unit = next((unit for unit in dataset.units if unit), None)
        if unit:
            tags.setdefault("units", unit)
        crs, left, top, pixel = None, 0.0, 0.0, None
        if dataset.crs is not None and dataset.transform != Affine.identity():
            crs = crs_text(dataset.crs.to_wkt())
            left, top, pixel = corner_and_pixel(dataset.transform, crs, where)
        return Source(
            where=where,
            names=tuple(dataset.descriptions),
            shape=dataset.shape,
            fetch=fetch,
            crs=crs,
            left=left,
            top=top,
            pixel=pixel,
            nodata=tuple(dataset.nodatavals),
            scales=tuple(dataset.scales),
            offsets=tuple(dataset.offsets),
            tags=tags,
            integer=all("int" in dtype for dtype in dataset.dtypes),
        )


def from_array(array: Any, *, where: str) -> Source:
    """The source of a bare array (band, H, W) or (H, W) of real numbers.

    Raises:
        InputError: another number of dimensions, no numbers, nothing in it.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3) or not array.size:
        raise InputError(
            f"{where} is an array {array.shape} of {array.dtype}; expected numbers, (band, H, W) or (H, W)"
        )
    stack = array[None] if array.ndim == 2 else array

    def fetch(bands: Sequence[int], window: Window) -> np.ndarray:
        rows = slice(window.row, window.row + window.height)
        return stack[list(bands), rows, window.column : window.column + window.width]

    return Source(
        where=where,
        names=(None,) * len(stack),
        shape=(stack.shape[1], stack.shape[2]),
        fetch=fetch,
        integer=array.dtype.kind in "bui",
        in_memory=True,
    )


def crs_text(definition: Any) -> str:
    """A CRS as `Ground` keeps it: "EPSG:32633" where there is a code, else WKT.

    Raises:
        InputError: the definition is none.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        crs = CRS.from_user_input(definition)
    except CRSError as error:
        raise InputError(f"{definition!r} is no coordinate reference system; give for instance EPSG:32633") from error
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt()


def corner_and_pixel(transform: Affine, crs: str, where: str) -> tuple[float, float, float]:
    """(left, top, pixel) of a north-up grid in metres.

    Raises:
        InputError: a geographic CRS or one not in metres; rotated, non-square or south-up pixels.
    """
    from pyproj import CRS

    system = CRS.from_user_input(crs)
    if not system.is_projected or abs(system.axis_info[0].unit_conversion_factor - 1.0) > 1e-9:
        raise InputError(
            f"{where} is in {crs.splitlines()[0][:60]} ({system.axis_info[0].unit_name}s); "
            "expected a projected CRS in metres: reproject it, for instance to its UTM zone"
        )
    a, b, c, d, e, f = tuple(transform)[:6]
    tolerance = 1e-6 * max(abs(a), abs(e), 1e-12)
    if abs(b) > tolerance or abs(d) > tolerance or a <= 0 or e >= 0:
        raise InputError(f"{where} is rotated or not north-up (transform {a:g} {b:g} {d:g} {e:g}); warp it to north-up")
    if abs(a + e) > 1e-5 * a:
        raise InputError(f"{where} has pixels of {a:g} x {-e:g} m; expected square ones")
    return c, f, a
