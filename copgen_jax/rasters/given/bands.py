"""Which band is which, and which modalities the given bands make up.

Names decide: band descriptions, dictionary keys, coordinates, or the names of one-band files (`T32V_..._B02_10m.jp2`).
Without names, a file of all bands of a product is in the sensor's order, two bands of Sentinel-1 are VV and VH, and an
array of one modality is in the order of its channels; what was assumed is noted. Anything else is refused.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from copgen_jax.errors import InputError, suggestion
from copgen_jax.modalities import Modality
from copgen_jax.rasters.given.source import Source, from_array, from_file
from copgen_jax.rasters.given.xarrays import from_xarray, from_zarr, is_xarray, is_zarr
from copgen_jax.rasters.read import local_path

SENSOR_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Bands of Sentinel-2 L1C as its products list them; L2A has no B10."""

_WHOLE_FILES = {
    "S2L1C": SENSOR_ORDER,
    "S2L2A": tuple(band for band in SENSOR_ORDER if band != "B10"),
    "S1RTC": ("VV", "VH"),
}
"""Order of the bands of a file that holds a whole product and names none."""


class Band(NamedTuple):
    """One band of a source."""

    source: Source
    index: int


def gather(value: Any, *, product: str, modalities: Sequence[Modality]) -> list[Source]:
    """The sources of what a user gives for a product or one of its modalities.

    Args:
        value: a path (GeoTIFF, COG, JPEG 2000; a Zarr group; a directory of one file per band), the bytes of a file, a
            list of these, {band: path or array}, an array (band, H, W) or (H, W), or an xarray object.
        product: its name, for messages.
        modalities: those that may be in it.

    Raises:
        InputError: nothing of the kind, or a source that cannot be opened.
    """
    if isinstance(value, Mapping) and not is_xarray(value):
        return _named(value, product, modalities)
    if isinstance(value, list | tuple):
        if not value:
            raise InputError(f"{product} is an empty list; give a raster per band")
        return [source for item in value for source in gather(item, product=product, modalities=modalities)]
    if isinstance(value, bytes):
        return [from_file(value, where=f"{product} (in memory)")]
    if isinstance(value, str | Path):
        return _from_path(value, product, modalities)
    if is_xarray(value):
        return from_xarray(value, where=f"{product} ({type(value).__name__})")
    if hasattr(value, "__array__"):
        return [from_array(value, where=f"{product} (array)")]
    raise InputError(f"{product} is a {type(value).__name__}; give a path, an array, an xarray object or bands by name")


def assign(
    sources: Sequence[Source], *, product: str, modalities: Sequence[Modality], given_as: str
) -> tuple[dict[str, list[Band]], list[str]]:
    """Bands in channel order of each modality that the sources hold, by modality name, and what was assumed.

    Args:
        sources: all that was given for the product.
        product: the product's name.
        modalities: those that may be in it: all of the product, or the one that was named.
        given_as: the word the user used.

    Raises:
        InputError: bands that cannot be told, one band twice, or a modality of which only some bands are there.
    """
    found: dict[str, Band] = {}
    notes: list[str] = []
    for source in sources:
        names, note = _names_of(source, product, modalities, alone=len(sources) == 1)
        notes.extend(f"{given_as}: {text}" for text in note)
        for index, name in enumerate(names):
            if name is None:
                continue
            if name in found:
                raise InputError(
                    f"{given_as} has the band {name} twice: in {found[name].source.where} and {source.where}"
                )
            found[name] = Band(source, index)
    complete = {m.name: [found[b] for b in m.bands] for m in modalities if all(b in found for b in m.bands)}
    for modality in modalities:
        missing = [band for band in modality.bands if band not in found]
        if modality.name in complete or len(missing) == len(modality.bands):
            continue
        there = [band for band in modality.bands if band in found]
        raise InputError(
            f"{given_as} has {', '.join(there)} but not {', '.join(missing)}; "
            f"{modality.name} needs {', '.join(modality.bands)}, or leave its bands out"
        )
    if not complete:
        raise InputError(f"{given_as}: {sources[0].where} holds none of the bands {', '.join(_bands(modalities))}")
    return complete, notes


def _from_path(path: str | Path, product: str, modalities: Sequence[Modality]) -> list[Source]:
    place = local_path(path)
    if not place.is_dir():
        return [from_file(place, where=str(path))]
    if is_zarr(place):
        return from_zarr(place, names=(*(m.name for m in modalities), product), where=str(path))
    known = _bands(modalities)
    files = [f for f in sorted(place.iterdir()) if f.suffix.lower() in (".tif", ".tiff", ".jp2")]
    files = [f for f in files if _band_in(f.stem, known)]
    if not files:
        raise InputError(f"{path} is a directory without a raster named after a band of {product} ({', '.join(known)})")
    return [from_file(f, where=str(f)) for f in files]


def _named(bands: Mapping[Any, Any], product: str, modalities: Sequence[Modality]) -> list[Source]:
    """Sources of {band: one-band raster}."""
    import dataclasses

    known = tuple(dict.fromkeys((*_bands(modalities), *_WHOLE_FILES.get(product, ()))))
    sources = []
    for name, value in bands.items():
        band = _band_in(str(name), known)
        if band is None:
            raise InputError(f"{product} has no band {name!r}: {suggestion(str(name), known)}")
        for source in gather(value, product=f"{product} {band}", modalities=modalities):
            if len(source.names) != 1:
                raise InputError(f"{product} {band}: {source.where} has {len(source.names)} bands, expected one")
            sources.append(dataclasses.replace(source, names=(band,)))
    if not sources:
        raise InputError(f"{product} is an empty mapping; give a raster per band: {', '.join(known)}")
    return sources


def _names_of(
    source: Source, product: str, modalities: Sequence[Modality], *, alone: bool
) -> tuple[tuple[str | None, ...], list[str]]:
    """The name of each band of a source (None: a band that is not used), and what was assumed."""
    known = tuple(dict.fromkeys((*_bands(modalities), *_WHOLE_FILES.get(product, ()))))
    count = len(source.names)
    named = tuple(_band_in(name, known) if name else None for name in source.names)
    if any(named):
        ignored = [str(name) for name, band in zip(source.names, named, strict=True) if band is None]
        return named, [f"bands {', '.join(ignored)} of {source.where} are not used"] if ignored else []
    if count == 1:
        if len(known) == 1:
            return known, []
        stem = None if source.in_memory else _band_in(Path(source.where).stem, known)
        if stem:
            return (stem,), [f"{source.where} is {stem} by its name"]
    if alone and count == len(_WHOLE_FILES.get(product, ())):
        order = _WHOLE_FILES[product]
        return order, [f"{source.where} names no bands; taken as {' '.join(order)}"]
    if alone and source.in_memory and len(modalities) == 1 and count == len(modalities[0].bands):
        order = modalities[0].bands
        return order, [f"{source.where} names no bands; taken in channel order {' '.join(order)}"]
    expected = " or ".join(str(n) for n in sorted({len(_WHOLE_FILES.get(product, known))}))
    raise InputError(
        f"{source.where} has {count} bands without names, and a whole {product} has {expected}; "
        f"name them ({', '.join(known)}) by band descriptions or as {{'{known[0]}': ...}}"
    )


def _bands(modalities: Sequence[Modality]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(band for m in modalities for band in m.bands))


def _band_in(text: str, known: Sequence[str]) -> str | None:
    """The one known band that a description or file name names: "B02", "b2", "B08A", "Gamma0_VV", "B02 (490 nm)"."""
    if text in known:
        return text
    words = [_canonical(word) for word in re.split(r"[^A-Za-z0-9]+", text)]
    found = {band for band in known if band.upper() in words}
    if not found and text.lower() == text:
        found = {band for band in known if band.lower() == text}
    return found.pop() if len(found) == 1 else None


def _canonical(word: str) -> str:
    match = re.fullmatch(r"B0?(\d{1,2})(A?)", word.upper())
    if not match:
        return word.upper()
    return f"B{int(match[1])}A" if match[2] else f"B{int(match[1]):02d}"
