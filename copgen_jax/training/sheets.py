"""Sheets of small pictures: what a network makes of the same patches as training goes on.

All on the fixed colours of `copgen_jax.rasters.pictures`; a patch's true picture and what stands for it share one range
of heights.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from copgen_jax import units
from copgen_jax.modalities import Modality
from copgen_jax.rasters.pictures.canvas import FAINT, INK, Canvas, round_up, save_png, wrap
from copgen_jax.rasters.pictures.quicklook import title
from copgen_jax.rasters.pictures.rendering import HEAT, height_range, picture, ramp_colours

PANEL, GAP, MARGIN, LABELS, TOP = 112, 6, 14, 118, 62

Colours = np.ndarray
"""uint8 (y, x, 3)."""


def pictures(
    modality: Modality,
    images: Float[np.ndarray, "n H W C"],
    *,
    s2_offset: int,
    like: Float[np.ndarray, "n H W C"] | None = None,
) -> list[Colours]:
    """Network images as colours; heights in the range of those of `like`, where it is given."""
    values = _physical(modality, images, s2_offset)
    ranges = [None] * len(images)
    if modality.encoding == "height":
        ranges = [height_range(v) for v in (values if like is None else _physical(modality, like, s2_offset))]
    return [picture(v, modality, heights=heights) for v, heights in zip(values, ranges, strict=True)]


def reconstruction_sheet(
    modality: Modality,
    truth: Float[np.ndarray, "n H W C"],
    found: Float[np.ndarray, "n H W C"],
    *,
    s2_offset: int,
    heading: str,
) -> Canvas:
    """Images, their reconstructions and how far they are apart, a column per patch.

    The difference is the root mean square over bands in reflectance, dB or metres, dark for none; of classes, bright
    where another class came out.
    """
    difference, unit = _difference(modality, truth, found)
    high = 1.0 if modality.encoding == "classes" else round_up(float(np.percentile(difference, 98)))
    rows = {
        "truth": pictures(modality, truth, s2_offset=s2_offset),
        "reconstruction": pictures(modality, found, s2_offset=s2_offset, like=truth),
        "difference": [ramp_colours(values, HEAT, 0.0, high) for values in difference],
    }
    page = grid(rows, [f"patch {i}" for i in range(len(truth))], heading=heading, notes=[], below=32)
    page.bar(MARGIN + LABELS, page.image.height - 32 - MARGIN // 2, 2 * PANEL, HEAT, ("0", f"{high:g}"), unit)
    return page


def sample_sheet(
    rows: Mapping[Modality, Sequence[Colours]], captions: Sequence[str], *, heading: str, notes: Sequence[str]
) -> Canvas:
    """A row per modality, a column per sample or truth."""
    return grid({title(m): colours for m, colours in rows.items()}, captions, heading=heading, notes=notes)


def grid(
    rows: Mapping[str, Sequence[Colours]],
    captions: Sequence[str],
    *,
    heading: str,
    notes: Sequence[str],
    below: int = 0,
) -> Canvas:
    """Panels with a label per row and a caption per column; `below` pixels are left free under them."""
    width = 2 * MARGIN + LABELS + max(len(captions), 4) * (PANEL + GAP)
    lines = [line for note in notes for line in wrap(note, width - 2 * MARGIN, 12)]
    top = TOP + 17 * len(lines)
    page = Canvas(width, top + len(rows) * (PANEL + GAP) + below + MARGIN)
    page.text(MARGIN, MARGIN, heading, size=16)
    for i, line in enumerate(lines):
        page.text(MARGIN, MARGIN + 24 + 17 * i, line, size=12, ink=FAINT)
    for column, caption in enumerate(captions):
        page.text(_left(column), top - 18, caption, size=11)
    for line, (label, panels) in enumerate(rows.items()):
        y = top + line * (PANEL + GAP)
        page.lines(MARGIN, y + 4, label, width=LABELS - 8, size=13, ink=INK)
        for column, colours in enumerate(panels):
            page.panel(_left(column), y, colours, PANEL)
    return page


def write_sheet(path: Path, page: Canvas, *, what: str) -> None:
    """Write a sheet as PNG, whole or not at all, with a text tag that says what it is."""
    save_png(path, page.image, {"Description": what})


def _left(column: int) -> int:
    return MARGIN + LABELS + column * (PANEL + GAP)


def _physical(modality: Modality, images: np.ndarray, s2_offset: int) -> Float[np.ndarray, "n bands H W"]:
    values = units.image_to_physical(modality, np.asarray(images, np.float32))
    if modality.encoding == "reflectance":
        values = units.dn_to_reflectance(values, offset=s2_offset, nodata=None)
    return np.moveaxis(np.asarray(values), -1, 1)


def _difference(modality: Modality, truth: np.ndarray, found: np.ndarray) -> tuple[Float[np.ndarray, "n H W"], str]:
    """How far two sets of network images are apart in each pixel, and in what unit."""
    if modality.encoding == "classes":
        return (truth.argmax(-1) != found.argmax(-1)).astype(np.float64), "another class"
    values = [_physical(modality, images, 0).astype(np.float64) for images in (truth, found)]
    if modality.encoding == "power":
        values = [10 * np.log10(v) for v in values]
    unit = {"reflectance": "reflectance", "power": "dB", "height": "m"}.get(modality.encoding, "")
    return np.sqrt(np.square(values[0] - values[1]).mean(axis=1)), unit
