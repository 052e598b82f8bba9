"""The one way in which this package opens a raster that somebody else made.

GDAL opens two hundred formats, some of which are programs in disguise: a VRT reads any other file, `/vsicurl/` and
`s3:` reach the network, a sidecar `.aux.xml` can point anywhere. Here a raster is a plain local file (or bytes in
memory) whose first bytes say TIFF or JPEG 2000, opened by exactly these two drivers, alone, with the network closed and
sidecars unread. Sizes are looked at before a pixel is.
"""

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from copgen_jax.errors import InputError

READABLE = "a GeoTIFF, COG or JPEG 2000 file"

LARGEST_SIDE = 1_000_000
"""Pixels along a side beyond which a raster is refused; the Earth's circumference at 40 m."""
MOST_BANDS = 1_000
LARGEST_BLOCK = 1 << 30
"""Bytes of one tile or strip: the least that GDAL must hold to read a single pixel."""
_BYTES = {
    "uint8": 1,
    "int8": 1,
    "uint16": 2,
    "int16": 2,
    "uint32": 4,
    "int32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
}
"""Bytes per pixel; anything else is counted as the largest, 16."""

_SIGNATURES = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\0\0\0\x0cjP  ", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
)
_CLOSED = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_HTTP_MAX_RETRY": "0",
    "GDAL_HTTP_TIMEOUT": "1",
    "GDAL_CACHEMAX": 64,
}
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+._-]*:")


@contextlib.contextmanager
def open_raster(source: str | Path | bytes, *, where: str | None = None) -> Iterator[DatasetReader]:
    """Open a GeoTIFF, COG or JPEG 2000 file, or the bytes of one, for reading; `where` names it in messages.

    Reading belongs inside the block: what breaks there is the file's fault and is said so.

    Raises:
        InputError: no such file, a virtual or network path, another format, a damaged file, an absurd size.
    """
    where = where or ("the raster in memory" if isinstance(source, bytes) else str(source))
    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(**_CLOSED))
        if isinstance(source, bytes):
            driver = _driver(source[:16], where)
            place = stack.enter_context(MemoryFile(source)).name
        else:
            path = local_file(source)
            with path.open("rb") as file:
                driver = _driver(file.read(16), where)
            place = str(path)
        try:
            dataset = stack.enter_context(_opened(place, driver))
            _check_size(dataset, where)
            yield dataset
        except RasterioError as error:
            raise InputError(f"{where} cannot be read as {READABLE}: {_reason(error)}") from error


def local_path(source: str | Path) -> Path:
    """The absolute path of a local file or directory that exists.

    Raises:
        InputError: a virtual or network path, or nothing there.
    """
    text = str(source)
    if _SCHEME.match(text) or text.startswith("/vsi") or "://" in text or "\0" in text or "<" in text:
        raise InputError(f"{text!r} is not a plain local path: download or unpack it and give {READABLE}")
    path = Path(os.path.abspath(Path(text).expanduser()))
    try:
        there = path.exists()
    except OSError as error:
        raise InputError(f"{text} cannot be opened: {error.strerror}") from error
    if not there:
        raise InputError(f"{text} does not exist")
    if str(path).startswith("/vsi"):
        raise InputError(f"{text!r} is not a plain local path: download or unpack it and give {READABLE}")
    return path


def local_file(source: str | Path) -> Path:
    """The absolute path of a readable regular file.

    Raises:
        InputError: as `local_path`, or a directory, a device, or a file without read permission.
    """
    path = local_path(source)
    if not path.is_file():
        raise InputError(f"{source} is not a file: give {READABLE}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{source} cannot be opened: permission is denied")
    return path


def _driver(first: bytes, where: str) -> str:
    for signature, driver in _SIGNATURES:
        if first.startswith(signature):
            return driver
    raise InputError(f"{where} is not {READABLE}; convert it first, for instance with gdal_translate")


def _opened(place: str, driver: str) -> DatasetReader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(place, driver=driver, sharing=False)


def _check_size(dataset: DatasetReader, where: str) -> None:
    if max(dataset.shape) > LARGEST_SIDE or dataset.count > MOST_BANDS:
        raise InputError(
            f"{where} says it holds {dataset.count} bands of {dataset.height} x {dataset.width} pixels; "
            f"at most {MOST_BANDS} bands and {LARGEST_SIDE} pixels a side are read"
        )
    interleaved = dataset.count if dataset.profile.get("interleave") == "pixel" else 1
    for (height, width), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        block = height * width * _BYTES.get(dtype, 16) * interleaved
        if block > LARGEST_BLOCK:
            raise InputError(
                f"{where} is stored in blocks of {height} x {width} pixels, {block >> 20} MiB each; "
                "rewrite it as a COG to read parts of it"
            )


def _reason(error: RasterioError) -> str:
    """The innermost explanation GDAL gave, on one line."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return " ".join(str(getattr(cause, "errmsg", cause)).split()).rstrip(".")
