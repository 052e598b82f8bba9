"""The demo's page: one HTML file beside the folders it shows, opened without a network."""

import html
from collections.abc import Iterable, Mapping

from copgen_jax.data.world.world import Patch


def demo_page(
    *,
    drawn_by: str,
    truth: Patch,
    seed: int,
    members: int,
    seasons: Iterable[str],
    has_model: bool,
    errors: Mapping[str, float] | None,
    narrowing: Mapping[str, Mapping[str, float]],
) -> str:
    """The page.

    Args:
        drawn_by: who drew the samples.
        truth: the place.
        seed: of its world.
        members: draws per condition.
        seasons: folders of the seasons.
        has_model: whether a model drew, and the simulator's draws lie beside in folders named SEASON-simulator.
        errors: of the reverse direction (`copgen_jax.generate.demo.reverse_errors`), if it was drawn.
        narrowing: by who drew, the spread by what was given.
    """
    latitude, longitude = truth["location"]
    where = f"{latitude:.2f}, {longitude:.2f} (cell {truth.cell}) of the synthetic world {seed}"
    shown = "\n".join(_season(season, has_model) for season in seasons)
    return _TEMPLATE.format(
        drawn_by=html.escape(drawn_by),
        who=_MODEL if has_model else _NO_MODEL,
        where=html.escape(where),
        members=members,
        seasons=shown,
        reverse=_reverse(errors) if errors else "",
        bars=_bars(narrowing),
    )


def _season(season: str, has_model: bool) -> str:
    name = html.escape(season)
    folders = {name: "all bands", **({f"{name}-simulator": "all bands, by the simulator"} if has_model else {})}
    links = ", ".join(f'<a href="{folder}/{_SHEET}">{words}</a>' for folder, words in folders.items())
    words = "Given maps, drawn optical and radar images, mean and spread"
    return f"<h2>{name.title()}</h2>{_picture(name, words)}<p>More: {links}.</p>"


def _picture(name: str, words: str) -> str:
    return f'<a href="{name}.png"><img src="{name}.png" alt="{words}: {name}"></a>'


def _reverse(errors: Mapping[str, float]) -> str:
    return (
        "<h2>The other way round: images to land cover and height</h2>"
        "<p>The same model, given the optical images of the place and nothing else. Per drawn member, "
        f"{100 * errors['class_error']:.0f} % of the pixels have another land cover than the truth (calling all of "
        f"them the most frequent class: {100 * errors['majority_class_error']:.0f} %); height is "
        f"{errors['height_rmse']:.0f} m off, and {errors['relief_rmse']:.0f} m apart from a common offset (a plane at "
        f"the true mean height: {errors['flat_rmse']:.0f} m). Reflectance says little about height above the sea, so "
        "the spread is wide there.</p>" + _picture("reverse", "Given optical images, drawn height and land cover")
    )


def _bars(narrowing: Mapping[str, Mapping[str, float]]) -> str:
    """Horizontal bars as SVG, a colour per who drew."""
    conditions = list(dict.fromkeys(name for values in narrowing.values() for name in values))
    most = max(value for values in narrowing.values() for value in values.values())
    rows, y = [], 0
    for name in conditions:
        rows.append(f'<text x="0" y="{y + 14}">{html.escape(name)}</text>')
        for number, values in enumerate(narrowing.values()):
            if name in values:
                width = 340 * values[name] / most
                rows.append(f'<rect class="who{number}" x="130" y="{y}" width="{width:.1f}" height="16"></rect>')
                rows.append(f'<text x="{136 + width:.1f}" y="{y + 14}">{values[name]:.4f}</text>')
                y += 20
        y += 10
    for number, who in enumerate(narrowing):
        rows.append(f'<rect class="who{number}" x="130" y="{y}" width="16" height="16"></rect>')
        rows.append(f'<text x="152" y="{y + 14}">{html.escape(who)}</text>')
        y += 22
    return f'<svg viewBox="0 0 620 {y}" role="img" aria-label="Spread by what is given">{"".join(rows)}</svg>'


_SHEET = "quicklooks/contact_sheet.png"

_NO_MODEL = """No model drew these. The synthetic world knows its own distributions, so these are the draws that a
perfect model of it would make. <code>copgen demo --model MODEL</code> shows those of a model directory beside
them."""

_MODEL = """The place belongs to a synthetic world whose simulator knows its own distributions; its draws stand below
the model's, as a perfect model would draw. This shows how generation works, not how well a model does on Earth."""

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
svg text {{ fill: #222; }} svg .who0 {{ fill: #3b6ea8; }} svg .who1 {{ fill: #b9b9b9; }}
.note {{ border-left: 4px solid #c60; padding: .5rem 1rem; }}
</style>
</head>
<body>
<h1>Many images of one place</h1>
<p class="note"><b>Drawn by {drawn_by}.</b> {who}</p>
<p>Given: height, land cover, place and date at {where}. Wanted: Sentinel-1 backscatter and Sentinel-2 surface
reflectance. There is no single right answer: weather, soil moisture, fields and clouds are not given. So {members}
members are drawn for each season. All share terrain and land cover; where they differ, the spread is bright. The page
shows the 10 m bands and the radar; the folders hold everything.</p>
{seasons}
{reverse}
<h2>More given, less spread</h2>
<p>Mean standard deviation over {members} draws of the 10 m reflectances, as conditions are added.</p>
{bars}
<h2>Files</h2>
<p>Each folder holds a Cloud-Optimised GeoTIFF per modality and member on its own grid, rasters of mean, standard
deviation and quantiles, <code>samples.zarr</code>, <code>members.geojson</code> and a STAC item. Open them in QGIS,
rasterio or xarray. All carry the tag <code>synthetic=true</code>.</p>
</body>
</html>
"""
