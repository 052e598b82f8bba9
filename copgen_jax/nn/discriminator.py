"""The patch discriminator of the autoencoders' training (Isola et al. 2017), channel-last: real or reconstructed?

Five 4x4 convolutions with LeakyReLU 0.2 between them, the first three of stride 2; each output judges 70 x 70 pixels.
The second to fourth are followed by batch normalisation with the statistics of the batch at hand, so that a batch is
judged by itself: real images and reconstructions are normalised apart.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from copgen_jax.nn.layers import fan_in_uniform
from copgen_jax.types import Array, Float, Image

LEAK = 0.2
"""Slope of LeakyReLU below zero."""
STATISTICS = "batch_stats"
"""The collection of running statistics: state that no gradient reaches."""
_KERNEL = nn.initializers.normal(0.02)


class BatchNorm(nn.Module):
    """Normalisation by the mean and biased variance of (B, H, W), in float32 and two passes.

    The running statistics (unbiased variance) follow where `STATISTICS` is mutable; nothing here reads them.
    """

    epsilon: float = 1e-5
    momentum: float = 0.1
    """Share of the new batch in the running statistics."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Normalise, scale and shift."""
        channels = x.shape[-1]
        scale = self.param("scale", _near_one, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        running_mean = self.variable(STATISTICS, "mean", jnp.zeros, (channels,), jnp.float32)
        running_variance = self.variable(STATISTICS, "variance", jnp.ones, (channels,), jnp.float32)
        wide = x.astype(jnp.float32)
        mean = wide.mean((0, 1, 2), keepdims=True)
        variance = jnp.square(wide - mean).mean((0, 1, 2), keepdims=True)
        if self.is_mutable_collection(STATISTICS) and not self.is_initializing():
            count = x.shape[0] * x.shape[1] * x.shape[2]
            unbiased = variance.reshape(-1) * (count / max(count - 1, 1))
            for running, new in ((running_mean, mean.reshape(-1)), (running_variance, unbiased)):
                running.value += self.momentum * (jax.lax.stop_gradient(new) - running.value)
        row = (1, 1, 1, channels)
        y = (wide - mean) * jax.lax.rsqrt(variance + self.epsilon) * scale.reshape(row) + bias.reshape(row)
        return y.astype(x.dtype)


class Discriminator(nn.Module):
    """Images to a map of logits, high where they look real."""

    width: int = 64
    """Channels of the first layer; each following one has twice as many, at most eight times."""
    strided: int = 3
    """Layers of stride 2."""

    @nn.compact
    def __call__(self, images: Image) -> Image:
        """(B, H, W, C) -> (B, h, w, 1) with h = H / 2 ** strided - 2."""
        with jax.named_scope("discriminate"):
            x = self._convolution(images, 0, self.width, stride=2, with_bias=True)
            for i in range(1, self.strided + 1):
                x = jax.nn.leaky_relu(x, LEAK)
                features = self.width * min(2**i, 8)
                x = self._convolution(x, i, features, stride=2 if i < self.strided else 1, with_bias=False)
                x = BatchNorm(name=f"norm_{i}")(x)
            x = jax.nn.leaky_relu(x, LEAK)
            return self._convolution(x, self.strided + 1, 1, stride=1, with_bias=True)

    def _convolution(self, x: Image, i: int, features: int, *, stride: int, with_bias: bool) -> Image:
        return nn.Conv(
            features,
            (4, 4),
            strides=(stride, stride),
            padding=((1, 1), (1, 1)),
            use_bias=with_bias,
            kernel_init=_KERNEL,
            bias_init=fan_in_uniform(16 * x.shape[-1]),
            name=f"conv_{i}",
        )(x)


def _near_one(key, shape, dtype=jnp.float32):
    return 1.0 + _KERNEL(key, shape, dtype)
