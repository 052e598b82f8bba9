"""One raster as a cloud-optimised GeoTIFF that says what it holds.

GDAL writes to memory and the finished bytes go to a file aside, renamed when they are on the disk: GDAL reports some
write errors only when it closes a file, and then too late.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from affine import Affine

from copgen_jax.files import file_aside
from copgen_jax.rasters.outputs.pixelformat import PixelFormat
from copgen_jax.rasters.pictures.classcolours import Colour

BLOCK = 256
"""Side of a tile in pixels: a patch is one tile, larger rasters get overviews down to one tile."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Raster:
    """Bands on one grid, ready to be written."""

    values: np.ndarray
    """(band, y, x) physical values."""
    format: PixelFormat
    bands: tuple[str, ...]
    """Band descriptions."""
    transform: Affine | None
    """None together with `crs` where the place is unknown."""
    crs: str | None
    tags: Mapping[str, str]
    colours: Mapping[int, Colour] | None = None
    """Colour table of class codes."""
    classes: Mapping[int, str] | None = None
    """Names of class codes."""


def write_cog(path: str | Path, raster: Raster) -> None:
    """Write `raster` to `path` (.tif), whole or not at all; class names go to a sidecar `.aux.xml` as GDAL keeps them.

    Raises:
        InputError: the disk is full, or the place cannot be written to.
    """
    path = Path(path)
    with file_aside(path) as aside:
        aside.write_bytes(cog_bytes(raster))
    if raster.classes:
        with file_aside(path.with_name(path.name + ".aux.xml")) as aside:
            aside.write_text(_category_names(raster.classes), encoding="utf-8")


def cog_bytes(raster: Raster) -> bytes:
    """`raster` as the bytes of a tiled, compressed GeoTIFF of GDAL's COG driver."""
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    numbers = raster.format.to_numbers(raster.values)
    count, height, width = numbers.shape
    options = {
        "driver": "COG",
        "dtype": numbers.dtype.name,
        "count": count,
        "height": height,
        "width": width,
        "nodata": raster.format.nodata,
        "compress": "DEFLATE",
        "predictor": "YES",
        "blocksize": BLOCK,
        "overview_resampling": "MODE" if raster.classes else "AVERAGE",
    }
    if raster.transform is not None:
        options |= {"crs": raster.crs, "transform": raster.transform}
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**options) as dataset:
            dataset.write(numbers)
            _describe(dataset, raster)
        return memory.read()


def _describe(dataset, raster: Raster) -> None:
    """Band names, scale, unit, colours and tags of an open dataset."""
    from rasterio.enums import ColorInterp

    dataset.descriptions = raster.bands
    if raster.format.scale != 1.0 or raster.format.offset != 0.0:
        dataset.scales = (raster.format.scale,) * dataset.count
        dataset.offsets = (raster.format.offset,) * dataset.count
    if raster.format.units:
        dataset.units = (raster.format.units,) * dataset.count
    if raster.colours:
        dataset.write_colormap(1, {code: (*colour, 255) for code, colour in raster.colours.items()})
    elif set(_VISIBLE) <= set(raster.bands):
        dataset.colorinterp = [getattr(ColorInterp, _VISIBLE.get(band, "undefined")) for band in raster.bands]
    dataset.update_tags(**raster.tags)


_VISIBLE = {"B04": "red", "B03": "green", "B02": "blue"}


def _category_names(classes: Mapping[int, str]) -> str:
    """GDAL's sidecar with the name of each code, as QGIS shows them in its legend."""
    names = [classes.get(code, "") for code in range(max(classes) + 1)]
    lines = "\n".join(f"      <Category>{escape(name)}</Category>" for name in names)
    return (
        '<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n'
        f"{lines}\n    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )
