"""Networks with the golden cases' recipe weights, and their inputs, in this project's layout."""

import numpy as np
from golden_vectors import ROOT, load_json, recipe

from copgen_jax.checkpoints import autoencoder_params, backbone_params
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.backbone import Backbone


def to_latent(array, modality):
    """Published layout (B, C, H, W) or (B, 1, 1, 3) -> (B, h, w, c) or (B, 3)."""
    return array.transpose(0, 2, 3, 1) if modality.is_image else array[:, 0, 0]


def published_shape(modality, batch):
    if not modality.is_image:
        return batch, 1, 1, 3
    height, width, channels = modality.latent_shape
    return batch, channels, height, width


def recipe_latents(modalities, batch, seed, kind):
    """Standard-normal latents `<kind>/<published key>` of the recipe, for every modality."""
    return {
        m.name: to_latent(recipe.inputs(published_shape(m, batch), seed, f"{kind}/{m.published_key}"), m)
        for m in modalities
    }


def case_modalities(case) -> ModalitySet:
    """All published modalities, or the case's subset in network order."""
    if case.get("modalities", "all") == "all":
        return COPGEN
    return ModalitySet(tuple(m for m in COPGEN if m.published_key in case["modalities"]))


def case_backbone(case, manifest, seed):
    """(module, params) of a case with width, depth, heads, and the recipe's weights for a manifest."""
    backbone = Backbone(modalities=case_modalities(case), width=case["width"], depth=case["depth"], heads=case["heads"])
    return backbone, backbone_params(recipe.state_dict(load_json(manifest), seed), backbone)


def case_autoencoder(case):
    """(module, params) of a vae case."""
    vae = Autoencoder(
        channels=case["channels"],
        base_width=case["base_width"],
        multipliers=tuple(case["multipliers"]),
        blocks=case["blocks"],
        latent_channels=case["latent_channels"],
        groups=case["groups"],
    )
    return vae, autoencoder_params(recipe.state_dict(load_json(f"vae/{case['manifest']}"), case["seed"]), vae)


def arrays(path):
    return np.load(ROOT / path)
