"""Layers that the networks share, with the published initial values and float32 statistics."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from copgen_jax.types import Array, Float


def fan_in_uniform(fan_in: int) -> nn.initializers.Initializer:
    """Uniform in +-1/sqrt(fan_in): PyTorch's default for weights and biases of convolutions."""
    bound = 1.0 / math.sqrt(fan_in)

    def initialise(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialise


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis; float32 statistics in two passes (one loses digits on large means)."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Normalise, scale and shift; the result has the dtype of `x`."""
        features = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (features,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        shape = (1,) * (x.ndim - 1) + (features,)
        y = centred * jax.lax.rsqrt(variance + self.epsilon) * scale.reshape(shape) + bias.reshape(shape)
        return y.astype(x.dtype)


class GroupNorm(nn.Module):
    """Group normalisation over (H, W, channels of a group); statistics in float32, two passes.

    Statistics are taken of each channel first and of the channels of a group then: reductions along whole rows of
    channels are several times faster on CPUs than reductions that leave a group's channels in between.
    """

    groups: int
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Normalise, scale and shift; the result has the dtype of `x`."""
        batch, height, width, channels = x.shape
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        wide = x.astype(jnp.float32).reshape(batch, height * width, channels)
        centred = wide - self._group_means(wide.mean(1, keepdims=True))
        variance = self._group_means(jnp.square(centred).mean(1, keepdims=True))
        factor = jax.lax.rsqrt(variance + self.epsilon) * scale.reshape(1, 1, channels)
        y = centred * factor + bias.reshape(1, 1, channels)
        return y.reshape(x.shape).astype(x.dtype)

    def _group_means(self, means: Float[Array, "B 1 C"]) -> Float[Array, "B 1 C"]:
        """Each channel's mean replaced by that of its group."""
        batch, _, channels = means.shape
        of_groups = means.reshape(batch, 1, self.groups, channels // self.groups).mean(-1)
        return jnp.repeat(of_groups, channels // self.groups, axis=-1)


def patchify(x: Float[Array, "B h w c"], side: int) -> Float[Array, "B N p"]:
    """Cut into tokens of side x side pixels, row-major; within a token (row, column, channel), channel fastest."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, (height // side) * (width // side), side * side * channels)


def unpatchify(tokens: Float[Array, "B N p"], shape: tuple[int, int, int], side: int) -> Float[Array, "B h w c"]:
    """Inverse of `patchify`, to images of `shape` (h, w, c)."""
    height, width, channels = shape
    x = tokens.reshape(-1, height // side, width // side, side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, height, width, channels)
