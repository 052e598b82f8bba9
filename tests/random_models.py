"""Model directories with random weights, for tests of what is built around a model. Their samples mean nothing."""

import dataclasses
from pathlib import Path

import numpy as np

from copgen_jax.checkpoints import save_model
from copgen_jax.checkpoints.shapes import autoencoder_shapes, backbone_shapes, unflatten
from copgen_jax.config import BackboneConfig, ModelConfig, SolverConfig, preset
from copgen_jax.model import build_autoencoder, build_backbone
from copgen_jax.modalities import ModalitySet


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
    rng = np.random.default_rng(seed)

    def tree(shapes):
        return unflatten({p: 0.1 * rng.standard_normal(shape, np.float32) for p, shape in shapes.items()})

    params = {
        "backbone": tree(backbone_shapes(build_backbone(config))),
        "autoencoders": {n: tree(autoencoder_shapes(build_autoencoder(config, n))) for n in config.autoencoders},
    }
    save_model(path, config, params)
    return path
