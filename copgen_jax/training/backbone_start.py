"""Parameters with which a backbone knows from its first step on where its tokens lie.

As published, a short run spends many of its steps on finding out which tokens are neighbours, which of different
modalities show the same ground, and which time token is whose. `placed_start` says so in the parameters that would
learn it: half of the width of the position embedding holds sines and cosines of a token's place in the patch, the same
for all modalities; the rest a random vector of its modality; and one head of every block attends by place. Nothing is
fixed: training goes on from there. (Trockman and Kolter 2023 start vision transformers in a like spirit.)
"""

import jax
import jax.numpy as jnp
import numpy as np

from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.nn.backbone import Backbone
from copgen_jax.training.initialise import token_rows
from copgen_jax.types import Params

LONGEST, SHORTEST = 2.0, 1 / 3
"""Wavelengths of places, in sides of a patch."""
OF_MODALITY = 0.3
"""Standard deviation of the modalities' vectors."""
BY_PLACE = 0.8
"""Scale of the queries and keys of the heads that attend by place: near tokens get e^2 to e^5 times the weight of far
ones."""


def placed_start(backbone: Backbone, params: Params, key: jax.Array) -> Params:
    """Freshly drawn parameters with the position embedding, the embeddings and a head of each block set by place."""
    for_modalities, for_heads = jax.random.split(key)
    half, head = backbone.width // 2, backbone.width // backbone.heads
    changed = dict(params)
    kinds = OF_MODALITY * jax.random.normal(for_modalities, (len(backbone.modalities), backbone.width - half))
    position = params["position_embedding"].at[:, :half].add(place_embedding(backbone.modalities, backbone.width))
    for kind, rows in zip(kinds, token_rows(backbone.modalities).values(), strict=True):
        position = position.at[np.array(rows), half:].add(kind)
    changed["position_embedding"] = position
    for modality in backbone.modalities:
        name = f"embed_{modality.name}"
        changed[name] = jax.tree.map(lambda leaf: leaf.at[..., :half].set(0.0), params[name])
    reads = BY_PLACE * jax.random.orthogonal(for_heads, max(half, head))[:half, :head]
    reads = jnp.zeros((backbone.width, head)).at[:half].set(reads)
    for name in ("in_blocks", "mid_block", "out_blocks"):
        kernel = params[name]["qkv"]["kernel"]
        for first in (0, backbone.width):  # of the first head's queries, and of its keys
            kernel = kernel.at[..., first : first + head].set(reads)
        changed[name] = {**params[name], "qkv": {"kernel": kernel}}
    return changed


def place_embedding(modalities: ModalitySet, width: int) -> np.ndarray:
    """Sines and cosines of places (tokens, width / 2): time tokens and vectors have none, so zeros."""
    found = np.zeros((modalities.tokens, width // 2), np.float32)
    rows = token_rows(modalities)
    for modality in modalities.images:
        found[rows[modality.name][1:]] = _of_tokens(modality, width // 2)
    return found


def _of_tokens(modality: Modality, features: int) -> np.ndarray:
    side = modality.latent_shape[0] // modality.token_side
    centres = (np.arange(side) + 0.5) / side
    waves = np.geomspace(LONGEST, SHORTEST, features // 4)
    angles = 2 * np.pi * centres[:, None] / waves
    along = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    rows, columns = np.divmod(np.arange(modality.tokens), side)
    return np.concatenate([along[rows], along[columns]], axis=1).astype(np.float32)
