"""Pictures of samples: one image with its legend, how much members differ, and a sheet that shows all at once."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

from copgen_jax.modalities import Modality
from copgen_jax.rasters.pictures.canvas import FAINT, Canvas, round_up, wrap
from copgen_jax.rasters.pictures.classcolours import class_colours
from copgen_jax.rasters.pictures.rendering import (
    HEAT,
    TERRAIN,
    chosen_bands,
    composite,
    describe,
    height_range,
    picture,
    ramp_colours,
    spread,
)

SIDE = 384
"""Pixels of the picture in a quicklook: a whole multiple of every native grid."""
PANEL = 192
"""The same on a contact sheet."""
MARGIN, GAP = 14, 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One modality on a contact sheet."""

    modality: Modality
    members: Mapping[int, np.ndarray]
    """(band, y, x) by member number: the first few."""
    statistics: Mapping[str, np.ndarray]
    """As `image_statistics` gives them; empty where there is only one member."""
    drawn_by: str = ""
    """Whose members these are, where a sheet compares."""


def title(modality: Modality) -> str:
    """A modality's name for people: product and pixel size."""
    size = f", {modality.resolution:g} m" if modality.resolution else ""
    return f"{modality.product.replace('_', ' ')}{size}"


def image_quicklook(
    values: np.ndarray,
    modality: Modality,
    *,
    caption: str,
    footer: str,
    heights: tuple[float, float] | None = None,
) -> Image.Image:
    """One image (band, y, x) of physical values with title, legend and footer."""
    heights = heights or (height_range(values) if modality.encoding == "height" else None)
    page = _page(
        f"{title(modality)}: {caption}", describe(modality), picture(values, modality, heights=heights), footer
    )
    y = _BELOW_PICTURE
    if heights:
        page.bar(MARGIN, y, SIDE, TERRAIN, (f"{heights[0]:.0f} m", f"{heights[1]:.0f} m"))
    elif modality.encoding == "classes":
        page.swatches(MARGIN, y - 2, _present(modality, [values]), width=SIDE)
    else:
        page.lines(MARGIN, y, _stretch(modality), width=SIDE, size=11)
    return page.image


def spread_quicklook(statistics: dict[str, np.ndarray], modality: Modality, *, footer: str) -> Image.Image:
    """How much members differ, on a colour ramp from zero to a round number."""
    values, what = spread(statistics, modality)
    high = _high(values, modality)
    page = _page(f"{title(modality)}: spread of members", what, ramp_colours(values, HEAT, 0.0, high), footer)
    page.bar(MARGIN, _BELOW_PICTURE, SIDE, HEAT, ("0", f"{high:g}"), what)
    return page.image


def contact_sheet(
    rows: Sequence[Row],
    *,
    given: Mapping[Modality, np.ndarray],
    heading: str,
    notes: Sequence[str],
    truth: Mapping[Modality, np.ndarray] | None = None,
) -> Image.Image:
    """Given images (band, y, x), the truth of what is wanted where it is known, then a row per wanted modality: its
    first members, their mean and their spread."""
    above = {name: images for name, images in (("given", given), ("truth", truth)) if images}
    heights = _common_heights(rows, above.values())
    columns = max(
        [_FEWEST_COLUMNS, *map(len, above.values()), *(len(row.members) + 2 * bool(row.statistics) for row in rows)]
    )
    width = 2 * MARGIN + _LABELS + columns * (PANEL + GAP) - GAP
    note_lines = [line for note in notes for line in wrap(note, width - 2 * MARGIN, 12)]
    height = 56 + _ROW * (len(rows) + len(above)) + 17 * len(note_lines) + MARGIN
    page = Canvas(width, height)
    page.text(MARGIN, MARGIN, heading, size=20)
    y = 56
    for name, images in above.items():
        page.text(MARGIN, y + 20, name, size=16)
        for column, (modality, values) in enumerate(images.items()):
            _sheet_panel(page, column, y, title(modality), picture(values, modality, heights=heights))
            _sheet_legend(page, column, y, modality, [values], heights)
        y += _ROW
    for row in rows:
        _draw_row(page, y, row, heights)
        y += _ROW
    for line in note_lines:
        page.text(MARGIN, y, line, size=12, ink=FAINT)
        y += 17
    return page.image


_TOP = 54
_BELOW_PICTURE = _TOP + SIDE + 8
_LEGEND = 48
_LABELS = 140
_FEWEST_COLUMNS = 3
"""Room for the heading and for legends where there is one member."""
_ROW = PANEL + 18 + 52


def _page(heading: str, below: str, colours: np.ndarray, footer: str) -> Canvas:
    lines = wrap(footer, SIDE, 11)
    page = Canvas(SIDE + 2 * MARGIN, _BELOW_PICTURE + _LEGEND + 15 * len(lines) + MARGIN)
    page.text(MARGIN, 10, heading, size=16)
    page.text(MARGIN, 32, below, size=12, ink=FAINT)
    page.panel(MARGIN, _TOP, colours, SIDE)
    page.lines(MARGIN, _BELOW_PICTURE + _LEGEND, footer, width=SIDE, size=11)
    return page


def _draw_row(page: Canvas, y: int, row: Row, heights: tuple[float, float] | None) -> None:
    modality = row.modality
    page.lines(MARGIN, y + 18, title(modality), width=_LABELS - 10, size=16, ink=(25, 28, 32))
    page.lines(MARGIN, y + 62, describe(modality), width=_LABELS - 14)
    page.lines(MARGIN, y + 104, row.drawn_by, width=_LABELS - 14, size=13, ink=(25, 28, 32))
    for column, (member, values) in enumerate(row.members.items()):
        _sheet_panel(page, column, y, f"member {member}", picture(values, modality, heights=heights))
    _sheet_legend(page, 0, y, modality, list(row.members.values()), heights, max(_FEWEST_COLUMNS, len(row.members)))
    if not row.statistics:
        return
    column = len(row.members)
    name = "mode" if modality.encoding == "classes" else "mean"
    _sheet_panel(page, column, y, name, picture(row.statistics[name], modality, heights=heights))
    values, what = spread(dict(row.statistics), modality)
    high = _high(values, modality)
    _sheet_panel(page, column + 1, y, "spread", ramp_colours(values, HEAT, 0.0, high))
    page.bar(_column(column + 1), y + 18 + PANEL + 6, PANEL, HEAT, ("0", f"{high:g}"), what)


def _sheet_panel(page: Canvas, column: int, y: int, caption: str, colours: np.ndarray) -> None:
    page.text(_column(column), y, caption, size=12)
    page.panel(_column(column), y + 18, colours, PANEL)


def _sheet_legend(
    page: Canvas,
    column: int,
    y: int,
    modality: Modality,
    images: Sequence[np.ndarray],
    heights: tuple[float, float] | None,
    columns: int = 1,
) -> None:
    below = y + 18 + PANEL + 6
    if modality.encoding == "height" and heights:
        page.bar(_column(column), below, PANEL, TERRAIN, (f"{heights[0]:.0f} m", f"{heights[1]:.0f} m"))
    elif modality.encoding == "classes":
        classes = dict(list(_present(modality, images).items())[: 4 * columns])
        page.swatches(_column(column), below, classes, width=columns * (PANEL + GAP) - GAP)


def _column(column: int) -> int:
    return MARGIN + _LABELS + column * (PANEL + GAP)


def _present(modality: Modality, images: Sequence[np.ndarray]) -> dict[str, tuple[int, int, int]]:
    """Names and colours of the classes that occur, the most frequent first."""
    counts = np.bincount(np.concatenate([image.ravel() for image in images]), minlength=256)
    named = zip(modality.codes, modality.classes, strict=True)
    colours = class_colours(modality)
    found = sorted(((counts[code], name, code) for code, name in named if counts[code]), reverse=True)
    return {name: colours[code] for _, name, code in found}


def _stretch(modality: Modality) -> str:
    if modality.encoding == "power":
        return "red VV -20 to 0 dB, green VH -28 to -6 dB, blue VV/VH 2 to 16 dB"
    if modality.encoding == "reflectance":
        shown = chosen_bands(composite(modality))
        parts = [f"{c} {band} 0 to {high:g}" for c, (band, high) in zip(("red", "green", "blue"), shown, strict=True)]
        return ", ".join(parts) + " reflectance"
    return ""


def _high(values: np.ndarray, modality: Modality) -> float:
    """Upper end of a spread's ramp: a round number above nearly all values; one for shares."""
    finite = values[np.isfinite(values)]
    if modality.encoding == "classes" or not finite.size:
        return 1.0
    return round_up(float(np.percentile(finite, 98)))


def _common_heights(rows: Sequence[Row], above: Iterable[Mapping[Modality, np.ndarray]]) -> tuple[float, float] | None:
    """One range of heights for all relief on the sheet."""
    images = [values for shown in above for modality, values in shown.items() if modality.encoding == "height"]
    for row in rows:
        if row.modality.encoding == "height":
            images += list(row.members.values())
    return height_range(np.concatenate([image.ravel() for image in images])) if images else None
