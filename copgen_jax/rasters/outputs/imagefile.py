"""One image of a modality as a COG in that modality's format, and back."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from copgen_jax.modalities import Modality
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.cog import Raster, write_cog
from copgen_jax.rasters.outputs.pixelformat import PixelFormat, pixel_format
from copgen_jax.rasters.pictures.classcolours import class_colours
from copgen_jax.rasters.samples import resolution_of


def write_image(path: str | Path, array: xr.DataArray, modality: Modality, ground: Ground | None) -> None:
    """Write one member (band, y, x) of samples, with its provenance as tags.

    Raises:
        InputError: the disk is full, or the place cannot be written to.
    """
    tags = tags_of(array)
    tags |= {"modality": modality.name, "member": str(int(array.coords["member"]))}
    classes = dict(zip(modality.codes, modality.classes, strict=True))
    tags |= {f"class_{code}": name for code, name in classes.items()}
    raster = Raster(
        values=array.values,
        bands=modality.bands,
        colours=class_colours(modality) if classes else None,
        classes=classes or None,
        **placed(modality, ground, pixel_format(modality), tags),
    )
    write_cog(path, raster)


def read_image(path: str | Path, modality: Modality, rows: slice = slice(None)) -> np.ndarray:
    """Physical values (band, y, x) of a file that `write_image` wrote, or only its rows `rows`."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(path)
    with dataset:
        start, stop, _ = rows.indices(dataset.height)
        numbers = dataset.read(window=((start, stop), (0, dataset.width)))
    return pixel_format(modality).to_physical(numbers)


def placed(modality: Modality, ground: Ground | None, format: PixelFormat, tags: Mapping[str, str]) -> dict:
    """The fields of a `Raster` that say where it lies and what its numbers mean."""
    meaning = {"units": format.stated} if format.stated else {}
    if format.scale != 1.0:
        meaning |= {
            "dn_offset": "0",
            "dn_statement": f"reflectance = {format.scale:g} x number; the DN offset is removed, so values may be < 0",
        }
    return {
        "format": format,
        "transform": ground.transform(resolution_of(modality, ground)) if ground else None,
        "crs": ground.crs if ground else None,
        "tags": {**tags, **meaning},
    }


def tags_of(array: xr.DataArray) -> dict[str, str]:
    """Attributes and date of an array as file tags; unit, CRS and class codes are kept elsewhere."""
    elsewhere = ("units", "grid_mapping", "flag_values", "flag_meanings")
    tags = {key: str(value) for key, value in array.attrs.items() if key not in elsewhere}
    if "time" in array.coords:
        tags["datetime"] = str(array.coords["time"].values.astype("datetime64[D]"))
    return tags
