"""Operations of the networks by formula: two for a multiply and add of matrix products and convolutions.

Norms, activations and softmax are left out: below two in a hundred at the published sizes (`tests/benchmarks` compares
with XLA's own count). A training step of the backbone counts as three forward passes, whatever is recomputed.
"""

import numpy as np

from copgen_jax.config import ModelConfig
from copgen_jax.training.cost import forward_flops


def backbone_flops(config: ModelConfig) -> float:
    """One forward pass of one sample: blocks, embeddings and heads."""
    assert config.backbone is not None
    numbers = sum(int(np.prod(m.latent_shape)) for m in config.modalities)
    return forward_flops(config.backbone, config.modalities.tokens) + 2 * 2.0 * numbers * config.backbone.width


def train_flops(config: ModelConfig) -> float:
    """A training step of one sample."""
    return 3 * backbone_flops(config)


def encoder_flops(config: ModelConfig, name: str) -> float:
    """Encoding one image of a modality."""
    sizes, modality = config.autoencoders[name], config.modalities[name]
    side, _, channels = modality.image_shape
    width = sizes.base_width
    total = convolution(side, channels, width)
    for level, multiplier in enumerate(sizes.multipliers):
        for _ in range(sizes.blocks):
            total += residual(side, width, sizes.base_width * multiplier)
            width = sizes.base_width * multiplier
        if level < len(sizes.multipliers) - 1:
            side //= 2
            # Stride two: of the last tap's places one lies in the padding.
            total += 2.0 * (3 * side - 1) ** 2 * width * width
    moments = 2 * modality.latent_channels
    return total + middle(side, width) + convolution(side, width, moments) + 2.0 * side**2 * moments**2


def decoder_flops(config: ModelConfig, name: str) -> float:
    """Decoding one latent of a modality, as published; ours does `enlarging_saved` less.

    On CPUs its large convolutions, and an encoder's, multiply half as often (`copgen_jax.nn.convolution`).
    """
    sizes, modality = config.autoencoders[name], config.modalities[name]
    side, _, latents = modality.latent_shape
    width = sizes.base_width * sizes.multipliers[-1]
    total = 2.0 * side**2 * latents**2 + convolution(side, latents, width) + middle(side, width)
    for level in reversed(range(len(sizes.multipliers))):
        for _ in range(sizes.blocks + 1):
            total += residual(side, width, sizes.base_width * sizes.multipliers[level])
            width = sizes.base_width * sizes.multipliers[level]
        if level > 0:
            side *= 2
            total += convolution(side, width, width)
    return total + convolution(side, width, modality.channels)


def enlarging_saved(config: ModelConfig, name: str) -> float:
    """What decoding leaves out where images are enlarged: nine products of a pixel and its steps for 36."""
    sizes, (side, _, _) = config.autoencoders[name], config.modalities[name].latent_shape
    saved = 0.0
    for multiplier in reversed(sizes.multipliers[1:]):
        width = sizes.base_width * multiplier
        saved += convolution(2 * side, width, width) - 2.0 * (side + 2 * (side + 1)) ** 2 * width**2
        side *= 2
    return saved


def convolution(side: int, before: int, after: int) -> float:
    """A 3x3 convolution of a square that keeps its size; taps that fall in the padding cost nothing."""
    return 2.0 * (3 * side - 2) ** 2 * before * after


def residual(side: int, before: int, after: int) -> float:
    """Two convolutions, and the way around where widths differ."""
    around = 2.0 * side**2 * before * after if before != after else 0.0
    return convolution(side, before, after) + convolution(side, after, after) + around


def middle(side: int, width: int) -> float:
    """Two residual blocks, and attention of all pixels to all."""
    pixels = side**2
    return 2 * residual(side, width, width) + 4 * 2.0 * pixels * width**2 + 2 * 2.0 * pixels**2 * width


def matmul_flops(shape: tuple[int, int, int]) -> float:
    """Of (rows, inner) @ (inner, columns)."""
    return 2.0 * shape[0] * shape[1] * shape[2]
