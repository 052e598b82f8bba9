"""Noising clean latents, and what a network may predict about them.

With x = alpha x_0 + sigma eps (alpha^2 + sigma^2 = 1) the three predictions carry the same information:

    eps    the noise (Ho et al. 2020)
    x0     the clean latent
    v      the velocity alpha eps - sigma x_0 (Salimans and Ho 2022)

Functions map over pytrees whose leaves are one modality each, shape (B, ...). A `network_time` (0 clean to 1000 noise)
is one array for all leaves or a pytree of arrays like them: scalars, or shape (B,) for a time per sample.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from copgen_jax.config import Prediction
from copgen_jax.diffusion.schedule import NoiseSchedule

Tree = Any
"""A pytree of float arrays, one leaf per modality."""


def corrupt(schedule: NoiseSchedule, clean: Tree, noise: Tree, network_time: Tree) -> Tree:
    """x = alpha x_0 + sigma eps."""

    def leaf(clean: Array, noise: Array, time: Array) -> Array:
        alpha, sigma = _alpha_sigma(schedule, time, clean)
        return alpha * clean + sigma * noise

    return jax.tree.map(leaf, clean, noise, _per_leaf(network_time, clean))


def target(schedule: NoiseSchedule, prediction: Prediction, clean: Tree, noise: Tree, network_time: Tree) -> Tree:
    """What a network of this kind of prediction should put out."""

    def leaf(clean: Array, noise: Array, time: Array) -> Array:
        if prediction == "eps":
            return noise
        if prediction == "x0":
            return clean
        alpha, sigma = _alpha_sigma(schedule, time, clean)
        return alpha * noise - sigma * clean

    return jax.tree.map(leaf, clean, noise, _per_leaf(network_time, clean))


def data_prediction(schedule: NoiseSchedule, prediction: Prediction, output: Tree, x: Tree, network_time: Tree) -> Tree:
    """The clean latent that a network's output at (x, network_time) implies: what solvers integrate."""

    def leaf(output: Array, x: Array, time: Array) -> Array:
        if prediction == "x0":
            return output
        alpha, sigma = _alpha_sigma(schedule, time, x)
        return (x - sigma * output) / alpha if prediction == "eps" else alpha * x - sigma * output

    return jax.tree.map(leaf, output, x, _per_leaf(network_time, x))


def min_snr_weight(
    schedule: NoiseSchedule, prediction: Prediction, network_time: Float[Array, "*batch"], gamma: float
) -> Float[Array, "*batch"]:
    """Min-SNR-gamma (Hang et al. 2023): the weight on the error of `prediction` that caps the one on x_0 at gamma.

    On the error of x_0 it is min(SNR, gamma); on eps that divided by SNR, on v by SNR + 1. Finite at time 0 too.
    """
    alpha, sigma = schedule.alpha_sigma(network_time)
    if prediction == "eps":
        return jnp.minimum(1.0, gamma * sigma**2 / alpha**2)
    if prediction == "v":
        return jnp.minimum(alpha**2, gamma * sigma**2)
    return jnp.where(alpha**2 < gamma * sigma**2, alpha**2 / jnp.maximum(sigma**2, 1e-30), gamma)


def over_samples(values: Shaped[Array, "*batch"], like: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """A value per sample, (B,) or a scalar, shaped to multiply (B, ...)."""
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))


def _alpha_sigma(schedule: NoiseSchedule, network_time: Array, like: Array) -> tuple[Array, Array]:
    alpha, sigma = schedule.alpha_sigma(network_time.astype(like.dtype))
    return over_samples(alpha, like), over_samples(sigma, like)


def _per_leaf(network_time: Tree, like: Tree) -> Tree:
    return jax.tree.broadcast(network_time, like)
