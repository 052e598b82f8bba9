"""Small model directories with random weights: they draw nonsense, in the right places."""

import jax
import numpy as np

from copgen_jax.checkpoints import save_model
from copgen_jax.config import ModelConfig
from copgen_jax.model import build_autoencoder, build_backbone


def random_params(config: ModelConfig, seed=0):
    """Freshly initialised parameters of every network of a configuration."""
    keys = iter(jax.random.split(jax.random.key(seed), 1 + len(config.autoencoders)))
    latents = {m.name: np.zeros((1, *m.latent_shape), np.float32) for m in config.modalities}
    times = {name: np.zeros((1,), np.float32) for name in config.modalities.names}
    autoencoders = {}
    for name in config.autoencoders:
        image = np.zeros((1, *config.modalities[name].image_shape), np.float32)
        autoencoders[name] = jax.jit(build_autoencoder(config, name).init)(next(keys), image)["params"]
    backbone = jax.jit(build_backbone(config).init)(next(keys), latents, times)["params"]
    return {"backbone": backbone, "autoencoders": autoencoders}


def write_random_model(path, config: ModelConfig, seed=0):
    """Write a model directory and return its path."""
    save_model(path, config, random_params(config, seed))
    return path
