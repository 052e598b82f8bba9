"""The KL autoencoder of one image modality (Rombach et al. 2022, latent diffusion), channel-last.

encode: (B, H, W, C) network values -> moments (B, H/f, W/f, 2 c): posterior mean, then log-variance, not clipped.
decode: unscaled latents (B, h, w, c) -> (B, f h, f w, C), no clipping. f = 2 ** (levels - 1).

Residual blocks of two 3x3 convolutions with GroupNorm and SiLU, attention in the middle block only. Parameter names
follow the published ones: `encoder.down.0.block.1.norm1` is `encoder/down_0_block_1/norm1`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from copgen_jax.nn.attention import attention
from copgen_jax.nn.convolution import Convolution, Enlarging
from copgen_jax.nn.layers import GroupNorm, fan_in_uniform
from copgen_jax.types import Array, Float, Image


def _pointwise(features: int, fan_in: int, dtype: Any, name: str) -> nn.Dense:
    """A 1x1 convolution, which is a Dense layer on the last axis."""
    initialise = fan_in_uniform(fan_in)
    return nn.Dense(features, dtype=dtype, kernel_init=initialise, bias_init=initialise, name=name)


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice; a 1x1 convolution on the way around where widths differ."""

    features: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Image) -> Image:
        """Transform to `features` channels."""
        h = nn.silu(GroupNorm(self.groups, name="norm1")(x))
        h = Convolution(self.features, self.dtype, name="conv1")(h)
        h = nn.silu(GroupNorm(self.groups, name="norm2")(h))
        h = Convolution(self.features, self.dtype, name="conv2")(h)
        if x.shape[-1] != self.features:
            x = _pointwise(self.features, x.shape[-1], self.dtype, "nin_shortcut")(x)
        return x + h


class SpatialAttention(nn.Module):
    """Single-head attention over all pixels."""

    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Image) -> Image:
        """x + proj(attention(norm(x)))."""
        batch, height, width, channels = x.shape
        normed = GroupNorm(self.groups, name="norm")(x).reshape(batch, height * width, channels)
        query, key, value = (_pointwise(channels, channels, self.dtype, name)(normed)[:, :, None] for name in "qkv")
        attended = attention(query, key, value)[:, :, 0]
        out = _pointwise(channels, channels, self.dtype, "proj_out")(attended)
        return x + out.reshape(x.shape)


class _Half(nn.Module):
    """What encoder and decoder share: sizes and the middle."""

    base_width: int
    multipliers: tuple[int, ...]
    blocks: int
    groups: int
    dtype: Any

    def _block(self, level: int, name: str) -> ResidualBlock:
        return ResidualBlock(self.base_width * self.multipliers[level], self.groups, self.dtype, name=name)

    def _conv(self, x: Image, features: int, name: str, *, halving: bool = False) -> Image:
        return Convolution(features, self.dtype, halving, name=name)(x)

    def _middle(self, x: Image) -> Image:
        x = self._block(-1, "mid_block_1")(x)
        x = SpatialAttention(self.groups, self.dtype, name="mid_attn_1")(x)
        return self._block(-1, "mid_block_2")(x)

    def _out(self, x: Image, features: int) -> Image:
        return self._conv(nn.silu(GroupNorm(self.groups, name="norm_out")(x)), features, "conv_out")


class Encoder(_Half):
    """Image to the features that `quant_conv` turns into moments."""

    out_channels: int = 16

    @nn.compact
    def __call__(self, x: Image) -> Image:
        """(B, H, W, C) -> (B, H/f, W/f, out_channels)."""
        x = self._conv(x, self.base_width, "conv_in")
        for level in range(len(self.multipliers)):
            for i in range(self.blocks):
                x = self._block(level, f"down_{level}_block_{i}")(x)
            if level < len(self.multipliers) - 1:
                x = self._conv(x, x.shape[-1], f"down_{level}_downsample", halving=True)
        return self._out(self._middle(x), self.out_channels)


class Decoder(_Half):
    """Latent to image; level 0 is the full resolution and comes last."""

    out_channels: int = 3

    @nn.compact
    def __call__(self, z: Image) -> Image:
        """(B, h, w, c) -> (B, f h, f w, out_channels)."""
        x = self._middle(self._conv(z, self.base_width * self.multipliers[-1], "conv_in"))
        for level in reversed(range(len(self.multipliers))):
            for i in range(self.blocks + 1):
                x = self._block(level, f"up_{level}_block_{i}")(x)
            if level > 0:
                x = Enlarging(self.dtype, name=f"up_{level}_upsample")(x)
        return self._out(x, self.out_channels)


class Autoencoder(nn.Module):
    """See the module. Call `encode` or `decode` with `apply(..., method=...)`; `init` runs both."""

    channels: int
    base_width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    latent_channels: int = 8
    groups: int = 32
    dtype: Any = jnp.float32
    """Compute dtype of convolutions; parameters, statistics and softmax stay float32."""

    def setup(self):
        """Build both halves."""
        sizes = (self.base_width, self.multipliers, self.blocks, self.groups, self.dtype)
        moments = 2 * self.latent_channels
        self.encoder = Encoder(*sizes, out_channels=moments)
        self.decoder = Decoder(*sizes, out_channels=self.channels)
        self.quant_conv = _pointwise(moments, moments, self.dtype, "quant_conv")
        self.post_quant_conv = _pointwise(self.latent_channels, self.latent_channels, self.dtype, "post_quant_conv")

    def encode(self, images: Image) -> Float[Array, "B h w moments"]:
        """Network values -> moments: posterior mean and log-variance (not clipped), joined on the last axis."""
        with jax.named_scope("encode"):
            return self.quant_conv(self.encoder(images)).astype(jnp.float32)

    def decode(self, latents: Float[Array, "B h w c"]) -> Image:
        """Unscaled latents -> network values (not clipped)."""
        with jax.named_scope("decode"):
            return self.decoder(self.post_quant_conv(jnp.asarray(latents, self.dtype))).astype(jnp.float32)

    def __call__(self, images: Image) -> Image:
        """Reconstruct through the posterior mean."""
        return self.decode(self.encode(images)[..., : self.latent_channels])
