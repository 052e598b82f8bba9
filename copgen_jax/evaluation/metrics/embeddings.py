"""RGB embeddings and LPIPS of stacks of bands: preparation of inputs, and features where the weights are there.

The benchmark's RGB is red, green, blue reflectance clipped to [0, 1], not brightened: dark for a human eye. The
networks are ImageNet ResNet-50 and LPIPS with AlexNet, whose weights a user converts (`copgen_jax.nn`).
"""

import dataclasses
import itertools
import random
import zlib
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.explanation import Explanation
from copgen_jax.nn.perceptual import LpipsParams, lpips
from copgen_jax.nn.resnet import ResNetParams, resnet50_features

Features = Callable[[np.ndarray], np.ndarray]
"""[n, 224, 224, 3] prepared RGB -> [n, D] embeddings."""

PairDistance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Two stacks [p, H, W, 3] in [-1, 1] -> [p] distances."""

RGB = (3, 2, 1)
"""Places of B04, B03, B02 in the benchmark's stacks."""

SIDE = 224
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)

MOST_PAIRS = 500
"""More pairs than this are sampled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepFeatures:
    """The networks that a user has weights for; a missing one is None, and its columns are left out."""

    resnet: Features | None = None
    lpips: PairDistance | None = None
    identity: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Network -> what tells its weights from others: scores of one report are all of the same."""

    @property
    def missing(self) -> tuple[str, ...]:
        """One sentence per network without weights: which columns are left out and what would bring them."""
        reasons = []
        if self.resnet is None:
            reasons.append("rgb_ columns are left out: no ResNet-50 weights were given (torchvision, ImageNet, V1).")
        if self.lpips is None:
            reasons.append("lpips_ columns are left out: no AlexNet weights with LPIPS linear layers were given.")
        return tuple(reasons)


def deep_features(
    *, resnet: ResNetParams | None = None, lpips_alexnet: LpipsParams | None = None, batch: int = 16
) -> DeepFeatures:
    """The networks, compiled, from `nn.resnet.resnet50_params` and `nn.perceptual.lpips_params`.

    In full float32 on every device, so that scores do not depend on the machine.
    """
    return DeepFeatures(
        resnet=None if resnet is None else _embedding(resnet, batch),
        lpips=None if lpips_alexnet is None else _distance(lpips_alexnet),
        identity={
            name: _checksum(params)
            for name, params in (("resnet", resnet), ("lpips", lpips_alexnet))
            if params is not None
        },
    )


def _checksum(params: Mapping[str, np.ndarray]) -> str:
    total = 0
    for name in sorted(params):
        total = zlib.crc32(np.ascontiguousarray(params[name]).tobytes(), zlib.crc32(name.encode(), total))
    return f"{total:08x}"


def _embedding(params: ResNetParams, batch: int) -> Features:
    forward = jax.jit(resnet50_features)

    def embed(images: np.ndarray) -> np.ndarray:
        parts = [images[i : i + batch] for i in range(0, len(images), batch)]
        with jax.default_matmul_precision("highest"):
            return np.concatenate([np.asarray(forward(params, jnp.asarray(part))) for part in parts])

    return embed


def _distance(params: LpipsParams) -> PairDistance:
    compare = jax.jit(lpips)

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with jax.default_matmul_precision("highest"):
            return np.asarray(compare(params, jnp.asarray(a), jnp.asarray(b)))

    return distance


def rgb(images: np.ndarray, channels: Sequence[int] = RGB) -> np.ndarray:
    """Red, green, blue of stacks of reflectance [n, C, H, W], clipped to [0, 1]: [n, 3, H, W] float32."""
    if images.ndim != 4 or images.shape[1] <= max(channels):
        raise InputError(f"cannot take bands {tuple(channels)} of images of shape {images.shape}")
    return np.clip(images[:, list(channels)], 0, 1).astype(np.float32)


def resnet_input(colour: np.ndarray) -> np.ndarray:
    """Clipped RGB [n, 3, H, W] resized to 224 px and normalised as ImageNet's: [n, 224, 224, 3] float32."""
    resized = resize(colour, SIDE).transpose(0, 2, 3, 1)
    return ((resized - IMAGENET_MEAN) / IMAGENET_STD).astype(np.float32)


def lpips_input(colour: np.ndarray) -> np.ndarray:
    """Clipped RGB [n, 3, H, W] mapped to [-1, 1], not resized: [n, H, W, 3] float32."""
    return (2 * colour - 1).transpose(0, 2, 3, 1)


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Bilinear resize of the last two axes to side x side: half-pixel centres, edges repeated, no antialiasing."""
    return _resize_last(_resize_last(images, side).swapaxes(-1, -2), side).swapaxes(-1, -2)


def _resize_last(images: np.ndarray, side: int) -> np.ndarray:
    length = images.shape[-1]
    at = np.maximum((np.arange(side) + 0.5) * length / side - 0.5, 0)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, length - 1)
    share = (at - low).astype(images.dtype)
    return images[..., low] * (1 - share) + images[..., high] * share


def pairs(n: int) -> list[tuple[int, int]]:
    """The pairs i < j of a set of n, in lexicographic order; 500 drawn as published (seed 42) where there are more."""
    every = list(itertools.combinations(range(n), 2))
    return every if len(every) <= MOST_PAIRS else random.Random(42).sample(every, MOST_PAIRS)


def intra_set_pairs(images: np.ndarray, distance: PairDistance, *, batch: int = 32) -> float:
    """Mean distance over `pairs` of one set of prepared images [n, H, W, 3]; NaN below two images."""
    chosen = np.asarray(pairs(len(images)))
    if not len(chosen):
        return np.nan
    parts = [chosen[i : i + batch] for i in range(0, len(chosen), batch)]
    return float(np.concatenate([np.asarray(distance(images[p[:, 0]], images[p[:, 1]])) for p in parts]).mean())


EXPLANATIONS = (
    Explanation(
        name="lpips_intra_set",
        title="LPIPS within a set",
        question="diverse",
        better="ideal",
        measures="Mean perceptual distance between two images of the same set, on true-colour reflectance.",
        ideal="A perfect model has the value of the real images.",
        misleads="The network knows photographs; reflectance without brightening is nearly black to it. Noise raises "
        "the value as variety does. Above 500 pairs, a fixed random 500 of them are taken.",
    ),
)
