"""Names and shapes of a network's parameters, without making any: {path: shape}."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from copgen_jax.modalities import ModalitySet
from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.backbone import Backbone

Path = tuple[str, ...]


def backbone_shapes(backbone: Backbone) -> dict[Path, tuple[int, ...]]:
    """{path in the Flax tree: shape} of a backbone's parameters."""
    b = backbone
    return dict(_backbone_shapes(b.modalities, b.width, b.depth, b.heads, b.mlp_ratio))


def autoencoder_shapes(autoencoder: Autoencoder) -> dict[Path, tuple[int, ...]]:
    """{path in the Flax tree: shape} of an autoencoder's parameters."""
    a = autoencoder
    shapes = dict(_autoencoder_shapes(a.base_width, tuple(a.multipliers), a.blocks, a.latent_channels, a.groups))
    for path, axis in _OF_CHANNELS.items():
        shapes[path] = (*shapes[path][:axis], a.channels, *shapes[path][axis + 1 :])
    return shapes


def flatten(tree: Any) -> dict[Path, Any]:
    """{path: leaf} of a tree of nested dictionaries."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {tuple(str(key.key) for key in path): leaf for path, leaf in leaves}


def unflatten(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """Inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        branch = tree
        for key in path[:-1]:
            branch = branch.setdefault(key, {})
        branch[path[-1]] = leaf
    return tree


_OF_CHANNELS = {
    ("encoder", "conv_in", "kernel"): 2,
    ("decoder", "conv_out", "kernel"): 3,
    ("decoder", "conv_out", "bias"): 0,
}
"""The axes of an autoencoder's parameters that are as long as its image has channels."""


# Tracing a network takes half a second: once for all autoencoders, though a model has ten and a conversion asks often.
@lru_cache(maxsize=32)
def _backbone_shapes(
    modalities: ModalitySet, width: int, depth: int, heads: int, mlp_ratio: int
) -> tuple[tuple[Path, tuple[int, ...]], ...]:
    backbone = Backbone(modalities=modalities, width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio)
    latents = {m.name: jax.ShapeDtypeStruct((1, *m.latent_shape), np.float32) for m in modalities}
    times = {m.name: jax.ShapeDtypeStruct((1,), np.float32) for m in modalities}
    return _shapes(backbone, latents, times)


@lru_cache(maxsize=32)
def _autoencoder_shapes(
    base_width: int, multipliers: tuple[int, ...], blocks: int, latent_channels: int, groups: int
) -> tuple[tuple[Path, tuple[int, ...]], ...]:
    """Of one channel."""
    autoencoder = Autoencoder(
        channels=1,
        base_width=base_width,
        multipliers=multipliers,
        blocks=blocks,
        latent_channels=latent_channels,
        groups=groups,
    )
    side = 2 ** (len(multipliers) - 1)
    return _shapes(autoencoder, jax.ShapeDtypeStruct((1, side, side, 1), np.float32))


def _shapes(network: Backbone | Autoencoder, *inputs: Any) -> tuple[tuple[Path, tuple[int, ...]], ...]:
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(network.init, key, *inputs)["params"]
    return tuple((path, tuple(leaf.shape)) for path, leaf in flatten(params).items())
