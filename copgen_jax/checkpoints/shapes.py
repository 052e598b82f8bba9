"""Names and shapes of a network's parameters, without making any: {path: shape}."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.backbone import Backbone

Path = tuple[str, ...]


def backbone_shapes(backbone: Backbone) -> dict[Path, tuple[int, ...]]:
    """{path in the Flax tree: shape} of a backbone's parameters."""
    latents = {m.name: jax.ShapeDtypeStruct((1, *m.latent_shape), np.float32) for m in backbone.modalities}
    times = {m.name: jax.ShapeDtypeStruct((1,), np.float32) for m in backbone.modalities}
    return _shapes(backbone, latents, times)


def autoencoder_shapes(autoencoder: Autoencoder) -> dict[Path, tuple[int, ...]]:
    """{path in the Flax tree: shape} of an autoencoder's parameters."""
    side = 2 ** (len(autoencoder.multipliers) - 1)
    return _shapes(autoencoder, jax.ShapeDtypeStruct((1, side, side, autoencoder.channels), np.float32))


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


def _shapes(network: Backbone | Autoencoder, *inputs: Any) -> dict[Path, tuple[int, ...]]:
    key = jax.eval_shape(lambda: jax.random.key(0))
    return {
        path: tuple(leaf.shape) for path, leaf in flatten(jax.eval_shape(network.init, key, *inputs)["params"]).items()
    }
