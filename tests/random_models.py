"""Model directories with random weights, for tests of what is built around a model. Their samples mean nothing."""

import dataclasses
from pathlib import Path

import numpy as np

from copgen_jax.checkpoints import save_model
from copgen_jax.checkpoints.shapes import autoencoder_shapes, backbone_shapes, unflatten
from copgen_jax.config import BackboneConfig, ModelConfig, SolverConfig, preset
from copgen_jax.modalities import ModalitySet
from copgen_jax.model import build_autoencoder, build_backbone


def random_params(config: ModelConfig, *, seed: int = 0):
    """Random parameters of every network of a configuration; from shapes alone, because compiling `init` is slow."""
    rng = np.random.default_rng(seed)

    def tree(shapes):
        return unflatten({path: _random(rng, path, shape) for path, shape in shapes.items()})

    return {
        "backbone": tree(backbone_shapes(build_backbone(config))),
        "autoencoders": {n: tree(autoencoder_shapes(build_autoencoder(config, n))) for n in config.autoencoders},
    }


def write_random_model(path: Path, config: ModelConfig, *, seed: int = 0) -> Path:
    """Write a model directory of this configuration and return its path."""
    save_model(path, config, random_params(config, seed=seed))
    return path


def random_model(path: Path, modalities: ModalitySet, *, seed: int = 0) -> Path:
    """Write a tiny model of these modalities."""
    tiny = preset("tiny")
    autoencoder = dataclasses.replace(next(iter(tiny.autoencoders.values())), base_width=4, groups=4)
    config = ModelConfig(
        modalities=modalities,
        backbone=BackboneConfig(width=16, depth=2, heads=2),
        autoencoders={m.name: autoencoder for m in modalities.images},
        solver=SolverConfig(name="ddim", evaluations=2),
        provenance={"note": "random weights: a test"},
        s2_offset=0,
    )
    return write_random_model(path, config, seed=seed)


def _random(rng, path, shape):
    if path[-1] == "scale":
        return np.ones(shape, np.float32)
    spread = 0.5 / np.sqrt(np.prod(shape[:-1] or (1,)))
    return (spread * rng.standard_normal(shape)).astype(np.float32)
