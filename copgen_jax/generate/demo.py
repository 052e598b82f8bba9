"""What any-to-any generation looks like, before a trained model ships: exact draws from the simulator.

The synthetic world knows its own conditionals, p(everything else | DEM, land cover, place[, date[, clouds]]). A perfect
model of that world would draw from them; so these draws, their spread and how it narrows are what `copgen generate`
is to show, written by the same code. No neural network takes part, and every file says so.
"""

import dataclasses
import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.data.world.world import Patch, World
from copgen_jax.errors import InputError
from copgen_jax.files import file_aside
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.progress import Track, silently
from copgen_jax.rasters.outputs.write import OutputOptions, open_outputs
from copgen_jax.rasters.samples import Samples, build_samples
from copgen_jax.units import dn_to_reflectance

DRAWN_BY = "the simulator's exact conditional, no neural network"
WANTED = ("S1RTC", "S2L2A")
SEASONS = {"january": "2023-01-15", "july": "2023-07-15"}
PAGE = "index.html"

_CONDITIONS = {
    "DEM, land cover, place": (),
    "+ date": ("timestamp",),
    "+ clouds": ("timestamp", "cloud_mask"),
}
"""What is held in the narrowing figure, beside DEM, land cover and place."""


def write_demo(
    out: str | Path, *, place: int, members: int, seed: int, overwrite: bool, track: Track = silently
) -> dict[str, Any]:
    """Write OUT/january, OUT/july and OUT/index.html. Returns what was written and the narrowing figures.

    Args:
        out: the directory.
        place: number of the place in the world of this seed.
        members: draws per season.
        seed: of the world.
        overwrite: replace an earlier demo.
        track: told about draws.

    Raises:
        InputError: the directory holds something, fewer than two members, or the disk is full.
    """
    if members < 2:
        raise InputError(f"{members} members are asked for; the demo shows a spread, so two or more")
    out = Path(out)
    world = World(seed)
    truth = world.patch(place)
    if (out / PAGE).exists() and not overwrite:
        raise InputError(f"{out} exists already; choose another place, or pass --overwrite")
    for season, date in SEASONS.items():
        _write_season(world, truth, season, date, out, members=members, overwrite=overwrite, track=track)
    narrowing = _narrowing(world, truth, members, track)
    with file_aside(out / PAGE) as aside:
        aside.write_text(_page(truth, members, seed, narrowing), encoding="utf-8")
    return {
        "out": str(out),
        "page": str(out / PAGE),
        "cell": truth.cell,
        "place": [float(degrees) for degrees in truth["location"]],
        "drawn_by": DRAWN_BY,
        "narrowing": narrowing,
    }


def _write_season(
    world: World, truth: Patch, season: str, date: str, out: Path, *, members: int, overwrite: bool, track: Track
) -> None:
    """Samples of the wanted modalities at this place on this date, as `copgen generate` writes them."""
    held = dataclasses.replace(truth, values={**truth.values, "timestamp": np.datetime64(date, "D")})
    wanted = COPGEN.subset(WANTED)
    provenance = {
        "drawn_by": DRAWN_BY,
        "conditions": ["location", "DEM", "LULC", "timestamp"],
        "seed": world.seed,
    }
    given = _samples(
        [held],
        COPGEN.subset(provenance["conditions"]),
        {"drawn_by": "the synthetic world", "conditions": [], "seed": world.seed},
    )
    draws = world.acquisitions(held, members, fixed=("timestamp",))
    with open_outputs(
        out,
        place=season,
        modalities=wanted,
        ground=truth.ground,
        provenance=provenance,
        options=OutputOptions(zarr=True),
        given=given,
        overwrite=overwrite,
    ) as outputs:
        for member, draw in enumerate(track(draws, total=members, what=f"drawing {season}")):
            outputs.write(_samples([draw], wanted, provenance, first=member))


def _samples(
    patches: Sequence[Patch], modalities: ModalitySet, provenance: Mapping[str, Any], first: int = 0
) -> Samples:
    """Patches of the world as samples in physical units, reflectance without offset."""
    arrays = {m.name: np.stack([_physical(patch, m.name) for patch in patches]) for m in modalities}
    return build_samples(
        arrays,
        modalities=modalities,
        ground=patches[0].ground,
        members=range(first, first + len(patches)),
        provenance=provenance,
        time=np.datetime64(patches[0]["timestamp"], "D"),
    )


def _physical(patch: Patch, name: str) -> np.ndarray:
    value = np.asarray(patch[name])
    if COPGEN[name].encoding == "reflectance":
        return np.asarray(dn_to_reflectance(value, offset=patch.offset))
    return value


def _narrowing(world: World, truth: Patch, members: int, track: Track) -> dict[str, float]:
    """Mean standard deviation over draws of the 10 m reflectances, by what is held."""
    found = {}
    for name, fixed in track(_CONDITIONS.items(), total=len(_CONDITIONS), what="narrowing"):
        draws: Iterator[Patch] = world.acquisitions(truth, members, fixed=fixed)
        stack = np.stack([_physical(draw, "S2L2A_10m") for draw in draws])
        found[name] = float(np.nanmean(np.nanstd(stack, axis=0)))
    return found


def _page(truth: Patch, members: int, seed: int, narrowing: Mapping[str, float]) -> str:
    latitude, longitude = truth["location"]
    where = f"{latitude:.2f}, {longitude:.2f} (cell {truth.cell}) of the synthetic world {seed}"
    seasons = "\n".join(
        f"<h2>{html.escape(season.title())}</h2>"
        f'<a href="{season}/quicklooks/contact_sheet.png"><img src="{season}/quicklooks/contact_sheet.png" '
        f'alt="Given maps, drawn radar and optical images, mean and spread, {html.escape(season)}"></a>'
        for season in SEASONS
    )
    return _TEMPLATE.format(
        where=html.escape(where),
        members=members,
        seasons=seasons,
        bars=_bars(narrowing),
        drawn_by=html.escape(DRAWN_BY),
    )


def _bars(narrowing: Mapping[str, float]) -> str:
    """Horizontal bars as SVG."""
    most = max(narrowing.values())
    rows = [
        f'<text x="0" y="{20 + 30 * i}">{html.escape(name)}</text>'
        f'<rect x="190" y="{7 + 30 * i}" width="{340 * value / most:.1f}" height="18"></rect>'
        f'<text x="{196 + 340 * value / most:.1f}" y="{20 + 30 * i}">{value:.4f}</text>'
        for i, (name, value) in enumerate(narrowing.items())
    ]
    height = 30 * len(rows) + 4
    return f'<svg viewBox="0 0 620 {height}" role="img" aria-label="Spread by condition">{"".join(rows)}</svg>'


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Any-to-any generation: what it looks like</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
img, svg {{ max-width: 100%; height: auto; background: #fff; }}
svg {{ max-width: 40rem; font: 14px system-ui, sans-serif; }}
svg text {{ fill: #222; }} svg rect {{ fill: #3b6ea8; }}
.note {{ border-left: 4px solid #c60; padding: .5rem 1rem; }}
</style>
</head>
<body>
<h1>Many images of one place</h1>
<p class="note"><b>Drawn by {drawn_by}.</b> This version ships no trained model. The synthetic world
knows its own distributions, so these are the draws that a perfect model of it would make. With a model directory
(<code>copgen convert</code> makes one from the published weights), <code>copgen generate</code> writes the same
files.</p>
<p>Given: height, land cover, place and date at {where}. Wanted: Sentinel-1 backscatter and Sentinel-2 surface
reflectance. There is no single right answer: weather, soil moisture, fields and clouds are not given. So {members}
members are drawn for each season. All share terrain and land cover; where they differ, the spread is bright.</p>
{seasons}
<h2>More given, less spread</h2>
<p>Mean standard deviation over {members} draws of the 10 m reflectances, as conditions are added.</p>
{bars}
<h2>Files</h2>
<p>Each season's folder holds a Cloud-Optimised GeoTIFF per modality and member on its own grid, rasters of mean,
standard deviation and quantiles, <code>samples.zarr</code>, <code>members.geojson</code> and a STAC item. Open them in
QGIS, rasterio or xarray. All carry the tag <code>synthetic=true</code>.</p>
</body>
</html>
"""
