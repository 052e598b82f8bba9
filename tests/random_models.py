"""Small model directories with random weights: they draw nonsense, in the right places."""

import jax
import numpy as np

from copgen_jax.checkpoints import save_model
from copgen_jax.config import ModelConfig
from copgen_jax.model import build_autoencoder, build_backbone


def random_params(config: ModelConfig, seed=0):
    """Random parameters of every network of a configuration; from shapes alone, because compiling `init` is slow."""
    rng = np.random.default_rng(seed)
    latents = {m.name: np.zeros((1, *m.latent_shape), np.float32) for m in config.modalities}
    times = {name: np.zeros((1,), np.float32) for name in config.modalities.names}

    def fill(path, leaf):
        if path[-1].key == "scale":
            return np.ones(leaf.shape, np.float32)
        spread = 0.5 / np.sqrt(np.prod(leaf.shape[:-1] or (1,)))
        return (spread * rng.standard_normal(leaf.shape)).astype(np.float32)

    def params(module, *inputs):
        shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
        return jax.tree_util.tree_map_with_path(fill, shapes)

    autoencoders = {
        name: params(build_autoencoder(config, name), np.zeros((1, *config.modalities[name].image_shape), np.float32))
        for name in config.autoencoders
    }
    return {"backbone": params(build_backbone(config), latents, times), "autoencoders": autoencoders}


def write_random_model(path, config: ModelConfig, seed=0):
    """Write a model directory and return its path."""
    save_model(path, config, random_params(config, seed))
    return path
