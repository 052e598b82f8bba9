"""LPIPS: a perceptual distance between two images, for evaluation and for the autoencoder's loss.

Zhang et al. 2018. Both images pass a frozen ImageNet trunk; after five of its layers the features are scaled to unit
length over channels, their squared difference is weighted by a learnt 1x1 layer and averaged over pixels, and the five
numbers are added. The published benchmark has AlexNet as trunk, the published autoencoders' loss VGG-16: both are data
here (`ALEXNET`, `VGG16`), one implementation. Images are in [-1, 1].
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from copgen_jax.errors import InputError

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10
"""Added to a feature vector's length before dividing by it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convolution:
    """One convolution of a trunk; a ReLU follows it."""

    index: int
    """Place in torchvision's `features`, which is in the parameter's name."""
    channels: int
    size: int = 3
    stride: int = 1
    padding: int = 1
    pooled: bool = False
    """Whether a max-pool of the trunk's size comes before it."""
    compared: bool = False
    """Whether the output of its ReLU enters the distance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk:
    """A frozen feature network as a table."""

    name: str
    layers: tuple[Convolution, ...]
    pool: int
    """Side of the max-pools, all of stride 2 and without padding."""

    @property
    def compared(self) -> tuple[int, ...]:
        """Channels of the five compared layers."""
        return tuple(layer.channels for layer in self.layers if layer.compared)


ALEXNET = Trunk(
    name="AlexNet",
    pool=3,
    layers=(
        Convolution(index=0, channels=64, size=11, stride=4, padding=2, compared=True),
        Convolution(index=3, channels=192, size=5, padding=2, pooled=True, compared=True),
        Convolution(index=6, channels=384, pooled=True, compared=True),
        Convolution(index=8, channels=256, compared=True),
        Convolution(index=10, channels=256, compared=True),
    ),
)
"""The trunk of the published benchmark."""

VGG16 = Trunk(
    name="VGG-16",
    pool=2,
    layers=(
        Convolution(index=0, channels=64),
        Convolution(index=2, channels=64, compared=True),
        Convolution(index=5, channels=128, pooled=True),
        Convolution(index=7, channels=128, compared=True),
        Convolution(index=10, channels=256, pooled=True),
        Convolution(index=12, channels=256),
        Convolution(index=14, channels=256, compared=True),
        Convolution(index=17, channels=512, pooled=True),
        Convolution(index=19, channels=512),
        Convolution(index=21, channels=512, compared=True),
        Convolution(index=24, channels=512, pooled=True),
        Convolution(index=26, channels=512),
        Convolution(index=28, channels=512, compared=True),
    ),
)
"""The trunk of the published autoencoders' training loss."""

LpipsParams = Mapping[str, Any]
"""{name: array}, as `lpips_params` returns them."""


def lpips_names(trunk: Trunk) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters, in PyTorch layout: torchvision's trunk and the linear layers."""
    shapes: dict[str, tuple[int, ...]] = {}
    into = 3
    for layer in trunk.layers:
        shapes[f"features.{layer.index}.weight"] = (layer.channels, into, layer.size, layer.size)
        shapes[f"features.{layer.index}.bias"] = (layer.channels,)
        into = layer.channels
    return shapes | {f"lin{i}.model.1.weight": (1, c, 1, 1) for i, c in enumerate(trunk.compared)}


def lpips_params(trunk: Trunk, *state_dicts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters from a user's files together: torchvision's trunk plus lpips' linear layers, or one with both.

    Understood are the names "features.0.weight" (torchvision), "net.slice1.0.weight" and "lin0.model.1.weight" (lpips),
    the same below "loss.perceptual_loss." (a published autoencoder's training state).

    Raises:
        InputError: a parameter is missing or has another shape.
    """
    found = {_plain(name): value for state_dict in state_dicts for name, value in state_dict.items()}
    params = {}
    for name, shape in lpips_names(trunk).items():
        if name not in found:
            raise InputError(
                f"the files have no {name}: LPIPS needs torchvision's {trunk.name} and lpips' linear layers"
            )
        value = np.asarray(found[name], np.float32)
        if value.shape != shape:
            raise InputError(f"{name} has shape {value.shape}, LPIPS with {trunk.name} has {shape}")
        if name.startswith("lin"):
            value = value.reshape(-1)
        params[name] = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
    return params


def _plain(name: str) -> str:
    name = re.sub(r"^(loss\.)?perceptual_loss\.", "", name)
    name = re.sub(r"^net\.slice\d+\.", "features.", name)
    return re.sub(r"^lins\.(\d+)\.", r"lin\1.", name)


def lpips(
    params: LpipsParams, x: Float[Array, "B H W 3"], y: Float[Array, "B H W 3"], *, trunk: Trunk = ALEXNET
) -> Float[Array, " B"]:
    """LPIPS of RGB images in [-1, 1]. Differentiable, at equal images and at black ones too."""
    total = jnp.zeros(x.shape[0], x.dtype)
    with jax.named_scope("lpips"):
        features = _features(params, jnp.concatenate([x, y]), trunk)
        for i, feature in enumerate(features):
            one, other = jnp.split(_unit_length(feature), 2)
            weight = jnp.asarray(params[f"lin{i}.model.1.weight"], x.dtype)
            total += jnp.einsum("bhwc,c->b", (one - other) ** 2, weight) / (feature.shape[1] * feature.shape[2])
    return total


def lpips_of_bands(
    params: LpipsParams, x: Float[Array, "B H W C"], y: Float[Array, "B H W C"], *, trunk: Trunk = VGG16
) -> Float[Array, " B"]:
    """LPIPS of images with any number of channels, in [-1, 1]: the mean over `channel_groups`."""
    groups = channel_groups(x.shape[-1])
    black = jnp.zeros((*x.shape[:-1], 1), x.dtype)

    def take(images: Array, group: tuple[int, ...]) -> Array:
        return jnp.concatenate([images, black], axis=-1)[..., jnp.asarray(group)]

    each = [lpips(params, take(x, group), take(y, group), trunk=trunk) for group in groups]
    return jnp.stack(each).mean(axis=0)


def channel_groups(channels: int) -> tuple[tuple[int, int, int], ...]:
    """The triples that LPIPS sees of an image; index `channels` is a channel of zeros.

    One channel three times; two channels and a zero one; else threes, and the last three for a remainder.
    """
    if channels == 1:
        return ((0, 0, 0),)
    if channels == 2:
        return ((0, 1, 2),)
    groups = [(i, i + 1, i + 2) for i in range(0, channels - 2, 3)]
    if channels % 3:
        groups.append((channels - 3, channels - 2, channels - 1))
    return tuple(groups)


def _features(params: LpipsParams, images: Array, trunk: Trunk) -> list[Array]:
    x = (images - _row(SHIFT, images)) / _row(SCALE, images)
    compared = []
    for layer in trunk.layers:
        if layer.pooled:
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, trunk.pool, trunk.pool, 1), (1, 2, 2, 1), "VALID")
        kernel = jnp.asarray(params[f"features.{layer.index}.weight"], x.dtype)
        around = ((layer.padding, layer.padding),) * 2
        x = lax.conv_general_dilated(
            x, kernel, (layer.stride, layer.stride), around, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + _row(params[f"features.{layer.index}.bias"], x))
        if layer.compared:
            compared.append(x)
    return compared


def _row(values, like: Array) -> Array:
    return jnp.asarray(values, like.dtype)[None, None, None]


def _unit_length(x: Array) -> Array:
    """x / (|x| + 1e-10) over channels, with the gradient 0 (not NaN) where all channels are 0."""
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    some = square > 0
    length = jnp.where(some, jnp.sqrt(jnp.where(some, square, 1.0)), 0.0)
    return x / (length + _EPSILON)
