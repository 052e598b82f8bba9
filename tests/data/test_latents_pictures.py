"""Decoded patches are drawn where they belong, by a model whose decoder is known."""

import dataclasses

import numpy as np
import pytest
from latent_stores import DESCRIPTION, cell_names, make_store

from copgen_jax.config import preset
from copgen_jax.data.latents import create_store
from copgen_jax.data.latents.pictures import GAP, LABELS, MARGIN, PANEL, decoded_patches
from copgen_jax.data.latents.store import read_coordinates
from copgen_jax.errors import InputError
from copgen_jax.model import Model
from copgen_jax.rasters.pictures.rendering import MISSING


class Flat(Model):
    """Decodes everything to the network value 0."""

    def decode(self, latents):
        return {
            name: np.zeros((len(latent), *self.config.modalities[name].image_shape), np.float32)
            for name, latent in latents.items()
        }


def test_a_panel_is_grey_exactly_where_the_modality_is_absent(tmp_path):
    store = make_store(tmp_path / "store", cells={"train": cell_names(4)}, absent=0.5)
    model = Flat(preset("tiny"), {})
    sheet = np.asarray(decoded_patches(store, "train", model, latent_space=DESCRIPTION.latent_space))
    presence = read_coordinates(store, "train").presence
    there = np.flatnonzero(presence[:, 1:3].any(1))
    rows = there[np.linspace(0, len(there) - 1, 6).astype(int)]
    for line in range(2):
        for column, row in enumerate(rows):
            y, x = 52 + line * (PANEL + GAP), MARGIN + LABELS + column * (PANEL + GAP)
            panel = sheet[y + 5 : y + PANEL - 5, x + 5 : x + PANEL - 5]
            assert (panel == MISSING).all() == (not presence[row, 1 + line])


def test_latents_of_another_model_and_empty_splits_are_refused(tmp_path):
    store = create_store(tmp_path / "store", DESCRIPTION, {"train": cell_names(1)})
    model = Flat(dataclasses.replace(preset("tiny")), {})
    with pytest.raises(InputError, match="other autoencoders"):
        decoded_patches(store, "train", model, latent_space="b" * 64)
    with pytest.raises(InputError, match="no patch to show"):
        decoded_patches(store, "train", model, latent_space=DESCRIPTION.latent_space)
