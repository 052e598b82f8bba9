"""How much memory sampling takes, by formula, and the batch that fits.

Counted are the parameters and what is alive at the widest point of the backbone and of a decoder; the rest is small
beside them.
"""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from copgen_jax.config import ModelConfig
from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality

_MOST_PER_DEVICE = {"cpu": 4}
"""A CPU is busy with few samples; more only delay the first result."""
_MOST_ELSEWHERE = 64
_USABLE = 0.8
"""Share of the free memory that is counted on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes, on one device that has the parameters already."""

    parameters: int
    per_sample: int
    available: int
    """Free beside the parameters and what does not grow with samples."""

    def fitting(self) -> int:
        """Samples that fit on one device at a time."""
        return int(_USABLE * self.available // self.per_sample)

    def __str__(self) -> str:
        gigabytes = (self.parameters / 1e9, self.per_sample / 1e9, self.available / 1e9)
        return "parameters {:.2f} GB, {:.2f} GB more per sample at a time, {:.1f} GB free beside them".format(
            *gigabytes
        )


def estimate_memory(config: ModelConfig, networks: Iterable[str], *, dtype: str, parameters: int) -> MemoryEstimate:
    """The estimate for sampling with a model whose loaded parameters take `parameters` bytes.

    Args:
        config: the model's configuration.
        networks: modalities whose autoencoders run.
        dtype: compute dtype.
        parameters: bytes of all loaded parameters.
    """
    return MemoryEstimate(
        parameters=parameters,
        per_sample=sample_bytes(config, networks, dtype=dtype),
        available=_available(jax.local_devices()[0]) - block_bytes(config, dtype=dtype),
    )


def block_bytes(config: ModelConfig, *, dtype: str = "float32") -> int:
    """Bytes of the matrices of one block, which the loop copies out of their stack, in the compute dtype."""
    if config.backbone is None:
        return 0
    return (6 + 2 * config.backbone.mlp_ratio) * config.backbone.width**2 * jnp.dtype(dtype).itemsize


def sample_bytes(config: ModelConfig, networks: Iterable[str], *, dtype: str = "float32") -> int:
    """Bytes that one sample adds at the widest point of the backbone or of the decoders of `networks`."""
    size = jnp.dtype(dtype).itemsize
    return max([_backbone_bytes(config, size), *(_decoder_bytes(config, name, size) for name in networks)])


def encode_bytes(config: ModelConfig, name: str, *, dtype: str = "float32") -> int:
    """Bytes that one image of a modality adds at the widest point of its encoder: at full size, in the first blocks."""
    autoencoder = config.autoencoders[name]
    width, size = autoencoder.base_width * autoencoder.multipliers[0], jnp.dtype(dtype).itemsize
    at_points = 0
    if jax.default_backend() == "cpu":
        # Of what a large convolution takes and gives (`nn.convolution`), one and a half times each, and a copy.
        height, across, _ = config.modalities[name].image_shape
        at_points = 4 * height * across * width * 4
    return _residual_bytes(config.modalities[name], width, size) + at_points


def choose_batch(estimate: MemoryEstimate, *, items: int, asked: int | str) -> int:
    """Samples per call over all local devices: as asked, or what fits; a multiple of the number of devices.

    Raises:
        InputError: a batch that is not "auto" or positive, or not one sample fits.
    """
    devices = len(jax.local_devices())
    if asked == "auto":
        fitting = estimate.fitting()
        if fitting < 1:
            raise InputError(
                f"the model does not fit: {estimate}; a bfloat16 compute dtype or a larger device may help"
            )
        most = _MOST_PER_DEVICE.get(jax.default_backend(), _MOST_ELSEWHERE)
        asked = min(fitting, most, -(-items // devices)) * devices
    if not isinstance(asked, int) or asked < 1:
        raise InputError(f"batch size is {asked!r}; expected auto or a positive number")
    return -(-asked // devices) * devices


def _backbone_bytes(config: ModelConfig, size: int) -> int:
    """Skips of all in-blocks, and the wider of attention (queries to values, logits, weights) and MLP."""
    if config.backbone is None:
        return 0
    tokens, width = config.modalities.tokens, config.backbone.width
    skips = (config.backbone.depth // 2 + 4) * tokens * width * size
    # A CPU takes as few heads at a time as its cache holds (`nn.attention`): one, in a large batch.
    heads = 1 if jax.default_backend() == "cpu" else config.backbone.heads
    attention = 4 * tokens * width * size + heads * tokens**2 * (4 + 4 + size)
    mlp = 2 * config.backbone.mlp_ratio * tokens * width * size
    return skips + max(attention, mlp)


def _decoder_bytes(config: ModelConfig, name: str, size: int) -> int:
    """In the first residual block at full size, whose input still has the width of the level before."""
    if name not in config.autoencoders or not config.modalities[name].is_image:
        return 0
    autoencoder = config.autoencoders[name]
    return _residual_bytes(config.modalities[name], autoencoder.base_width * max(autoencoder.multipliers[:2]), size)


def _residual_bytes(modality: Modality, channels: int, size: int) -> int:
    """Feature maps alive in a residual block at full size: input, output, way around, a normalised one (float32)."""
    height, width, _ = modality.image_shape
    return height * width * channels * (3 * size + 4)


def _available(device: Any) -> int:
    statistics = device.memory_stats() or {}
    if "bytes_limit" in statistics:
        return int(statistics["bytes_limit"]) - int(statistics.get("bytes_in_use", 0))
    try:
        # What the kernel could free counts as available: file caches fill the memory of any busy machine.
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
