"""A STAC item for the outputs of one place, as plain JSON: proj, eo, raster, classification and grid extensions.

Bands are described by STAC 1.1's common `bands`. Reflectance files hold numbers of 1e-4 with the DN offset already
removed, so `raster:offset` is absent: a reader that adds -0.1 by habit would do it twice.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.footprint import box, outline
from copgen_jax.rasters.outputs.pixelformat import long_name, pixel_format, statistic_format
from copgen_jax.rasters.pictures.classcolours import class_colours
from copgen_jax.rasters.samples import resolution_of

VERSION = "1.1.0"
_EXTENSIONS = {
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "classification": "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "grid": "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
}
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_CELL = re.compile(r"(\d+[UD]_\d+[LR])(_patch_\d+)?")


class Wavelength(NamedTuple):
    """Where a Sentinel-2 band lies in the spectrum, in micrometres, and its common name."""

    name: str | None
    centre: float
    width: float


SENTINEL2 = {
    "B01": Wavelength("coastal", 0.443, 0.027),
    "B02": Wavelength("blue", 0.490, 0.098),
    "B03": Wavelength("green", 0.560, 0.045),
    "B04": Wavelength("red", 0.665, 0.038),
    "B05": Wavelength("rededge071", 0.704, 0.019),
    "B06": Wavelength("rededge075", 0.740, 0.018),
    "B07": Wavelength("rededge078", 0.783, 0.028),
    "B08": Wavelength("nir", 0.842, 0.145),
    "B8A": Wavelength("nir08", 0.865, 0.033),
    "B09": Wavelength("nir09", 0.945, 0.026),
    "B10": Wavelength("cirrus", 1.374, 0.075),
    "B11": Wavelength("swir16", 1.610, 0.143),
    "B12": Wavelength("swir22", 2.190, 0.242),
}


class RasterFile(NamedTuple):
    """A file that an item lists."""

    href: str
    """Relative to the item."""
    modality: Modality
    statistic: str | None = None
    """None for a member itself."""


def stac_item(
    place: str,
    *,
    ground: Ground | None,
    modalities: ModalitySet,
    rasters: Mapping[str, RasterFile],
    others: Mapping[str, Mapping[str, Any]],
    properties: Mapping[str, Any],
    dates: tuple[str, str],
) -> dict[str, Any]:
    """The item of a place.

    Args:
        place: its name, which becomes the id; a Major TOM cell or patch name gives `grid:code`.
        ground: where it lies; without it the item has no geometry and no projection.
        modalities: those that were written.
        rasters: COGs by asset key.
        others: further assets as STAC writes them, by key.
        properties: provenance; keys get the prefix `copgen:`.
        dates: first and last day (YYYY-MM-DD) that the samples show, or on which they were drawn where none is known.
    """
    start, end = (f"{date}T00:00:00Z" for date in dates)
    about: dict[str, Any] = {"datetime": start} if start == end else {"datetime": None}
    if start != end:
        about |= {"start_datetime": start, "end_datetime": end}
    about |= {f"copgen:{key}": value for key, value in properties.items()}
    used = {"raster"}
    if ground:
        about |= _crs(ground)
        used.add("proj")
    code = grid_code(place)
    if code:
        about["grid:code"] = code
        used.add("grid")
    used |= {"eo" for m in modalities if m.encoding == "reflectance"}
    used |= {"classification" for m in modalities if m.encoding == "classes"}
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [_EXTENSIONS[name] for name in _EXTENSIONS if name in used],
        "id": place,
        "geometry": outline(ground) if ground else None,
        **({"bbox": box(ground)} if ground else {}),
        "properties": about,
        "links": [],
        "assets": {**{key: _raster_asset(file, ground) for key, file in rasters.items()}, **others},
    }


def grid_code(place: str) -> str | None:
    """`MAJORTOM-433D_629L` for a place named after a Major TOM cell or one of its patches, else None."""
    match = _CELL.fullmatch(place)
    return f"MAJORTOM-{match[1]}" if match else None


def _raster_asset(file: RasterFile, ground: Ground | None) -> dict[str, Any]:
    modality, statistic = file.modality, file.statistic
    is_member = statistic in (None, "mode")
    format = pixel_format(modality) if is_member else statistic_format(modality)
    what = f"{long_name(modality)}: {statistic.replace('_', ' ')}" if statistic else long_name(modality)
    asset: dict[str, Any] = {
        "href": file.href,
        "type": _COG,
        "title": what,
        "roles": ["data", "synthetic"] if statistic is None else ["metadata", "statistics"],
        "data_type": format.dtype,
    }
    if format.nodata is not None:
        asset["nodata"] = "nan" if format.nodata != format.nodata else format.nodata
    if format.units and format.units != "1":
        asset["unit"] = format.units
    if format.scale != 1.0:
        asset["raster:scale"] = format.scale
    if ground:
        resolution = resolution_of(modality, ground)
        asset["raster:spatial_resolution"] = resolution
        asset["proj:shape"] = [modality.pixels, modality.pixels]
        asset["proj:transform"] = [*ground.transform(resolution)][:6]
    if modality.codes and is_member:
        asset["classification:classes"] = _classes(modality)
    names = modality.classes if statistic == "probability" else modality.bands
    asset["bands"] = [_band(name, modality) for name in names]
    return asset


def _band(name: str, modality: Modality) -> dict[str, Any]:
    band: dict[str, Any] = {"name": name}
    wavelength = SENTINEL2.get(name) if modality.encoding == "reflectance" else None
    if wavelength:
        band |= {
            "eo:common_name": wavelength.name,
            "eo:center_wavelength": wavelength.centre,
            "eo:full_width_half_max": wavelength.width,
        }
    return band


def _classes(modality: Modality) -> list[dict[str, Any]]:
    colours = class_colours(modality)
    return [
        {
            "value": code,
            "name": name.replace(" ", "_"),
            "title": name,
            "color_hint": "".join(f"{channel:02X}" for channel in colours[code]),
        }
        for code, name in zip(modality.codes, modality.classes, strict=True)
    ]


def _crs(ground: Ground) -> dict[str, Any]:
    left, top, extent = ground.left, ground.top, ground.extent
    latitude, longitude = ground.centre
    fields: dict[str, Any] = {
        "proj:bbox": [left, top - extent, left + extent, top],
        "proj:centroid": {"lat": latitude, "lon": longitude},
    }
    if re.fullmatch(r"EPSG:\d+", ground.crs):
        return {"proj:code": ground.crs, **fields}
    from pyproj import CRS

    return {"proj:code": None, "proj:wkt2": CRS.from_user_input(ground.crs).to_wkt("WKT2_2019"), **fields}
