"""A small picture of a cell: what was true beside what was generated, on the fixed stretch of the quicklooks."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from copgen_jax.evaluation.scenes import Scene, Values
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import COPGEN
from copgen_jax.rasters.pictures.rendering import picture

SHOWN = 4
"""Truths above, samples below: so many each."""
TILE, GAP = 96, 4


def sheet(scene: Scene, samples: Sequence[Sample], modality: str = "S2L2A_10m", *, shown: int = SHOWN) -> bytes:
    """PNG of two rows: true acquisitions, then samples; of one row where there is one truth. Empty without images."""
    truths, drawn = (
        [values[modality] for values in sets[:shown] if modality in values]
        for sets in ([*scene.truths], [sample.values for sample in samples])
    )
    if len(truths) <= 1:
        return strip([{modality: image} for image in (*truths, *drawn)], modality)
    page = Image.new("RGBA", (max(len(truths), len(drawn)) * (TILE + GAP) - GAP, 2 * TILE + GAP), (0, 0, 0, 0))
    for r, row in enumerate((truths, drawn)):
        for c, values in enumerate(row):
            page.paste(thumbnail(values, modality), (c * (TILE + GAP), r * (TILE + GAP)))
    return png(page)


def strip(sets: Sequence[Values], modality: str = "S2L2A_10m") -> bytes:
    """PNG of images side by side; empty without any."""
    images = [values[modality] for values in sets if modality in values]
    if not images:
        return b""
    page = Image.new("RGBA", (len(images) * (TILE + GAP) - GAP, TILE), (0, 0, 0, 0))
    for c, values in enumerate(images):
        page.paste(thumbnail(values, modality), (c * (TILE + GAP), 0))
    return png(page)


def thumbnail(values: np.ndarray, modality: str) -> Image.Image:
    """One image (band, y, x) as a small picture."""
    colours = Image.fromarray(picture(values, COPGEN[modality]))
    codes = COPGEN[modality].encoding == "classes"
    return colours.resize((TILE, TILE), Image.Resampling.NEAREST if codes else Image.Resampling.BOX)


def png(page: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    stream = io.BytesIO()
    page.save(stream, "PNG", compress_level=3)
    return stream.getvalue()
