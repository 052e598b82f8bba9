"""Array aliases with shapes, in the words of ARCHITECTURE.md.

Letters: B batch (samples), M modalities, h w latent height and width, H W image height and width, c latent channels,
C image channels, N tokens, d width of the backbone. Shapes are checked under pytest only (tests/conftest.py).
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, Key, UInt32

Array = jax.Array | np.ndarray
"""What networks and samplers take; they return jax arrays."""

Image = Float[Array, "B _ _ _"]
"""(B, H, W, C): network values of one image modality, or features of an autoencoder."""

Images = Mapping[str, Image]
"""Network values per image modality, each on its own grid."""

Latents = Mapping[str, Float[Array, "B ..."]]
"""Scaled latents per modality: (B, h, w, c) for images, (B, 3) for location and timestamp."""

Moments = Mapping[str, Float[Array, "B ..."]]
"""Posterior mean and log-variance, joined on the last axis: (B, h, w, 2c)."""

Timesteps = Mapping[str, Float[Array, " B"]]
"""Network time (0 clean to 1000 noise) of each modality of each sample."""

Roles = Int[Array, "*B M"]
"""Role code per modality, in network order: `copgen_jax.modalities.GIVEN`, `WANTED` or `ABSENT`."""

Keys = Key[Array, " B"] | UInt32[Array, "B 2"]
"""One random key per sample, typed or raw."""

Params = Any
"""A pytree of parameters, as Flax returns it under "params"."""

__all__ = ["Array", "Float", "Image", "Images", "Int", "Keys", "Latents", "Moments", "Params", "Roles", "Timesteps"]
