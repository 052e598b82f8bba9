"""The export itself: everything into a directory aside, which gets its name when all of it is there."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from copgen_jax.errors import InputError
from copgen_jax.export.decoder import Decoder
from copgen_jax.export.index import stac_collection, write_index
from copgen_jax.export.latents import export_latents
from copgen_jax.export.rasters import RasterStore, raster_names, write_patch
from copgen_jax.export.selection import Chosen
from copgen_jax.files import directory_aside
from copgen_jax.progress import Track, silently

INDEX, COLLECTION, LATENTS, RASTERS = "index.parquet", "collection.json", "latents", "rasters.zarr"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    patches: int
    images: int
    """Rasters decoded."""
    contents: tuple[str, ...]
    """Names at the top of the directory, without the patches' folders."""


def export(
    chosen: Sequence[Chosen],
    out: str | Path,
    *,
    decoder: Decoder | None = None,
    cog: bool = False,
    zarr: bool = False,
    latents: bool = False,
    overwrite: bool = False,
    track: Track = silently,
) -> Exported:
    """Write chosen patches, with an index, to a new directory; it appears when it is complete.

    Args:
        chosen: from `choose`.
        out: the directory.
        decoder: needed for rasters.
        cog: a folder per patch with a COG per modality and a STAC item.
        zarr: one Zarr of all decoded patches.
        latents: a latent store of the patches.
        overwrite: replace what is there.
        track: told about batches decoded and shards copied.

    Raises:
        InputError: rasters without a decoder, or of modalities that it does not decode; the place is taken or cannot be
            written to.
    """
    chosen = list(chosen)
    if (cog or zarr) and decoder is None:
        raise InputError("rasters are decoded from latents; that needs a model")
    images = 0
    with directory_aside(out, overwrite=overwrite) as aside:
        if latents:
            export_latents(chosen, aside / LATENTS, track=track)
        if decoder and (cog or zarr):
            images = _write_rasters(chosen, aside, decoder, cog=cog, zarr=zarr, track=track)
        write_index(aside / INDEX, chosen, folders=cog)
        contents = [name for name in (INDEX, LATENTS, RASTERS) if (aside / name).exists()]
        links = [{"rel": "self", "href": COLLECTION, "type": "application/json"}]
        if cog:
            items = [f"{patch}/item.json" for part in chosen for patch in part.patches]
            links += [{"rel": "item", "href": item, "type": "application/geo+json"} for item in items]
        collection = stac_collection(chosen, links=links, assets={name: _ASSETS[name] for name in contents})
        (aside / COLLECTION).write_text(json.dumps(collection, indent=1) + "\n")
    return Exported(patches=sum(map(len, chosen)), images=images, contents=(*contents, COLLECTION))


_ASSETS: dict[str, dict[str, Any]] = {
    INDEX: {"href": INDEX, "type": "application/vnd.apache.parquet", "title": "what is where", "roles": ["metadata"]},
    LATENTS: {"href": LATENTS, "type": "application/vnd.zarr; version=3", "title": "latents", "roles": ["data"]},
    RASTERS: {"href": RASTERS, "type": "application/vnd.zarr; version=3", "title": "rasters", "roles": ["data"]},
}


def _write_rasters(chosen: list[Chosen], out: Path, decoder: Decoder, *, cog: bool, zarr: bool, track: Track) -> int:
    """Decode batch by batch and write; returns how many images."""
    names = raster_names(chosen[0], decoder)
    if not names:
        raise InputError(f"{decoder.source} decodes {', '.join(decoder.names)}; none of them is wanted")
    store = RasterStore(out / RASTERS, chosen, names, decoder) if zarr else None
    images = first = 0
    batches = ((part, rows, values) for part in chosen for rows, values in decoder.decoded(part))
    for part, rows, values in track(batches, total=sum(map(decoder.batches, chosen)), what="decoding batches"):
        there = {name: part.presence(name)[rows] for name in values}
        images += sum(int(present.sum()) for present in there.values())
        if store:
            store.write(first, values, there)
        first += rows.stop - rows.start
        for number in range(rows.start, rows.stop) if cog else ():
            own = {name: v[number - rows.start] for name, v in values.items() if there[name][number - rows.start]}
            if own:
                write_patch(out / part.patches[number], part, number, own, decoder)
    if store:
        store.finish()
    return images
