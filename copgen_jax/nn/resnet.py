"""ResNet-50 features of images, from torchvision's parameters.

He et al. 2016 with the stride in the 3x3 convolution of a bottleneck, as torchvision has it. Parameters keep their
published names ("layer1.0.conv1.weight"); `resnet50_params` checks them and brings convolutions to (h, w, in, out).
Batch normalisation uses the stored statistics.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from copgen_jax.errors import InputError

BLOCKS = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
FEATURES = 2048
_EPSILON = 1e-5

ResNetParams = Mapping[str, Any]
"""{published name: array}, as `resnet50_params` returns them."""


def resnet50_names() -> dict[str, tuple[int, ...]]:
    """Published names and shapes of the parameters used, in PyTorch layout: {name: shape}. The classifier is not."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, norm: str, out: int, into: int, size: int) -> None:
        shapes[f"{name}.weight"] = (out, into, size, size)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (out,)

    convolution("conv1", "bn1", 64, 3, 7)
    into = 64
    for name, width, first, _ in _bottlenecks():
        convolution(f"{name}.conv1", f"{name}.bn1", width, into, 1)
        convolution(f"{name}.conv2", f"{name}.bn2", width, width, 3)
        convolution(f"{name}.conv3", f"{name}.bn3", width * EXPANSION, width, 1)
        if first:
            convolution(f"{name}.downsample.0", f"{name}.downsample.1", width * EXPANSION, into, 1)
        into = width * EXPANSION
    return shapes


def resnet50_params(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters of a torchvision ResNet-50, convolutions transposed to (h, w, in, out).

    Raises:
        InputError: a parameter is missing or has another shape.
    """
    params = {}
    for name, shape in resnet50_names().items():
        if name not in state_dict:
            raise InputError(f"the file has no {name}: it does not hold a torchvision ResNet-50")
        value = np.asarray(state_dict[name], np.float32)
        if value.shape != shape:
            raise InputError(f"{name} has shape {value.shape}, a torchvision ResNet-50 has {shape}")
        params[name] = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
    return params


def resnet50_features(params: ResNetParams, images: Float[Array, "B H W 3"]) -> Float[Array, "B 2048"]:
    """Output of the global average pool for normalised RGB images."""
    with jax.named_scope("stem"):
        x = jax.nn.relu(_normalised(params, "bn1", _convolve(params, "conv1", images, stride=2, padding=3)))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for name, _, first, stride in _bottlenecks():
        with jax.named_scope(name):
            x = _bottleneck(params, name, x, first=first, stride=stride)
    return x.mean(axis=(1, 2))


def _bottlenecks() -> Iterator[tuple[str, int, bool, int]]:
    """Name, width, whether it is the first of its layer, and stride of every block."""
    for layer, (blocks, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True), start=1):
        for block in range(blocks):
            yield f"layer{layer}.{block}", width, block == 0, 2 if block == 0 and layer > 1 else 1


def _bottleneck(params: ResNetParams, name: str, x: Array, *, first: bool, stride: int) -> Array:
    y = jax.nn.relu(_normalised(params, f"{name}.bn1", _convolve(params, f"{name}.conv1", x)))
    y = _convolve(params, f"{name}.conv2", y, stride=stride, padding=1)
    y = jax.nn.relu(_normalised(params, f"{name}.bn2", y))
    y = _normalised(params, f"{name}.bn3", _convolve(params, f"{name}.conv3", y))
    if first:
        x = _convolve(params, f"{name}.downsample.0", x, stride=stride)
        x = _normalised(params, f"{name}.downsample.1", x)
    return jax.nn.relu(x + y)


def _convolve(params: ResNetParams, name: str, x: Array, *, stride: int = 1, padding: int = 0) -> Array:
    kernel = jnp.asarray(params[f"{name}.weight"], x.dtype)
    around = ((padding, padding), (padding, padding))
    return lax.conv_general_dilated(x, kernel, (stride, stride), around, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _normalised(params: ResNetParams, name: str, x: Array) -> Array:
    weight, bias, mean, variance = (
        jnp.asarray(params[f"{name}.{part}"], x.dtype)[None, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) * (weight * lax.rsqrt(variance + _EPSILON)) + bias
