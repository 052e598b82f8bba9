"""Muon against what it claims: every direction of a matrix changes alike, and the rest goes the way of AdamW."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from copgen_jax.training.config import OptimiserConfig
from copgen_jax.training.optimiser import CHANGE, make_optimiser

RATE = 0.01
SETTINGS = {"learning_rate": RATE, "beta1": 0.9, "weight_decay": 0.0, "warmup_steps": 0}


def a_network(draw: np.random.Generator) -> dict:
    """Numbers named and shaped like a backbone's of width 24: two stacked blocks, one alone, and what is no block."""

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(draw.standard_normal(shape), jnp.float32)

    return {
        "in_blocks": {"qkv": {"kernel": normal(2, 24, 72)}, "norm": {"scale": normal(2, 24)}},
        "mid_block": {"mlp_out": {"kernel": normal(96, 24), "bias": normal(24)}},
        "head_DEM": {"kernel": normal(24, 32)},
        "position_embedding": normal(10, 24),
    }


def changes_of(method: str) -> tuple[dict, dict]:
    """(the first change, the gradient) of an optimiser."""
    draw = np.random.default_rng(3)
    params, gradients = a_network(draw), a_network(draw)
    optimiser = make_optimiser(OptimiserConfig(method=method, **SETTINGS))  # pyright: ignore
    with jax.numpy_dtype_promotion("standard"):
        changes, _ = optimiser.update(gradients, optimiser.init(params), params)
    return changes, gradients


def test_matrices_of_blocks_change_alike_in_every_direction_of_their_gradient():
    changes, gradients = changes_of("muon")
    pairs = [
        *zip(changes["in_blocks"]["qkv"]["kernel"], gradients["in_blocks"]["qkv"]["kernel"], strict=True),
        (changes["mid_block"]["mlp_out"]["kernel"], gradients["mid_block"]["mlp_out"]["kernel"]),
    ]
    for change, gradient in pairs:
        left, _, right = np.linalg.svd(np.asarray(gradient, np.float64), full_matrices=False)
        along = left.T @ np.asarray(change, np.float64) @ right.T
        full = CHANGE * RATE * np.sqrt(max(change.shape))
        # Five of Jordan's steps bring singular values between about 0.7 and 1.2 instead of to one.
        assert np.all(-np.diag(along) > 0.6 * full)
        assert np.all(-np.diag(along) < 1.3 * full)
        assert np.abs(along - np.diag(np.diag(along))).max() < 1e-3 * full


def test_what_is_no_matrix_of_a_block_goes_as_with_adamw_and_nesterov():
    changes, gradients = changes_of("muon")
    for tree in (changes, gradients):
        del tree["in_blocks"]["qkv"], tree["mid_block"]["mlp_out"]["kernel"]
    expected = optax.nadamw(RATE, b1=0.9, b2=0.99, weight_decay=0.0)
    with jax.numpy_dtype_promotion("standard"):
        others, _ = expected.update(gradients, expected.init(gradients), gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), changes, others)
