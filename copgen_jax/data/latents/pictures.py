"""What latents look like: the modes of some posteriors, decoded, a column per patch and a row per modality."""

import numpy as np
from PIL import Image

from copgen_jax import units
from copgen_jax.data.latents.store import LatentStore, MomentsReader, read_coordinates, require_latent_space
from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality
from copgen_jax.model import Model, latents_from_moments
from copgen_jax.rasters.pictures.canvas import FAINT, Canvas
from copgen_jax.rasters.pictures.rendering import MISSING, picture

PANEL, MARGIN, GAP, LABELS = 144, 14, 8, 110


def decoded_patches(
    store: LatentStore, split: str, model: Model, *, latent_space: str, columns: int = 6
) -> Image.Image:
    """A sheet of patches spread evenly over a split; grey where a patch lacks a modality.

    Args:
        store: the latents.
        split: which of its splits.
        model: decodes them; its configuration says the Sentinel-2 offset.
        latent_space: the model's hash, compared with the store's.
        columns: patches shown at most.

    Raises:
        InputError: the latents are another model's, or the split has no patch.
    """
    require_latent_space(store, latent_space)
    modalities, layout = store.description.modalities, store.layout(split)
    presence = read_coordinates(store, split).presence
    there = np.flatnonzero(presence[:, [modalities.names.index(m.name) for m in modalities.images]].any(axis=1))
    if not len(there):
        raise InputError(f"split {split} of {store.path} has no patch to show")
    rows = there[np.unique(np.linspace(0, len(there) - 1, columns).astype(int))]
    moments = MomentsReader(store=store, split=split, names=tuple(m.name for m in modalities.images)).read(rows)
    cells = store.cells(split)
    page = Canvas(2 * MARGIN + LABELS + columns * (PANEL + GAP), 52 + len(modalities.images) * (PANEL + GAP) + MARGIN)
    page.text(MARGIN, 8, f"{split}: decoded modes of the stored posteriors", size=16)
    for column, row in enumerate(rows):
        cell, index = divmod(int(row), layout.patches_per_cell)
        page.text(_left(column), 32, f"{cells[cell]} patch {index}", size=11, ink=FAINT)
    for line, modality in enumerate(modalities.images):
        top = 52 + line * (PANEL + GAP)
        page.text(MARGIN, top, modality.name, size=13)
        present = presence[rows, modalities.names.index(modality.name)]
        for column, colours in enumerate(_pictures(model, modality, moments[modality.name], present)):
            page.panel(_left(column), top, colours, PANEL)
    return page.image


def _pictures(model: Model, modality: Modality, moments: np.ndarray, present: np.ndarray) -> list[np.ndarray]:
    """Colours (y, x, 3) of every patch."""
    latents = latents_from_moments(np.where(present[:, None, None, None], moments, 0), None, modality.scale_factor)
    images = np.asarray(model.decode({modality.name: latents})[modality.name])
    physical = units.image_to_physical(modality, images)
    if modality.encoding == "reflectance":
        physical = units.dn_to_reflectance(physical, offset=model.config.s2_offset, nodata=None)
    missing = np.full((1, 1, 3), MISSING, np.uint8)
    return [
        picture(np.moveaxis(values, -1, 0), modality) if there else missing
        for values, there in zip(physical, present, strict=True)
    ]


def _left(column: int) -> int:
    return MARGIN + LABELS + column * (PANEL + GAP)
