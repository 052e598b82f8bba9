"""What an autoencoder's latents and reconstructions are worth.

The scale factor is 1 / std of latents over patches, pixels and channels together, with latents drawn from the
posterior: var = E[mean^2] - E[mean]^2 + E[variance], so that nothing needs to be drawn.

Reconstructions, through the posterior's mean, are compared in physical units: reflectance, dB, metres, or classes. The
trivial opponent keeps one value per block of `downsampling` x `downsampling` pixels, the block's mean in the same unit
or its most frequent class. An autoencoder that loses to it has learnt nothing.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from copgen_jax import units
from copgen_jax.modalities import Modality
from copgen_jax.model import LOG_VARIANCE_RANGE

UNITS = {"reflectance": "reflectance", "power": "dB", "height": "m", "colour": "0..255", "classes": "class"}
"""By encoding: what figures of reconstructions are in."""
AUTOENCODER, BLOCK_MEAN = "autoencoder", "block_mean"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentMeasure:
    """Of unscaled latents of some patches."""

    patches: int
    mean: float
    std: float

    @property
    def scale_factor(self) -> float:
        """What brings latents to unit variance."""
        return 1.0 / self.std


def measure_latents(moments: Float[np.ndarray, "n h w moments"]) -> LatentMeasure:
    """Mean and standard deviation of latents drawn from these posteriors."""
    mean, log_variance = np.split(np.asarray(moments, np.float64), 2, axis=-1)
    variance = np.exp(np.clip(log_variance, *LOG_VARIANCE_RANGE))
    total = np.square(mean).mean() - mean.mean() ** 2 + variance.mean()
    return LatentMeasure(patches=len(mean), mean=float(mean.mean()), std=float(np.sqrt(total)))


def measure_reconstructions(
    modality: Modality, images: Float[np.ndarray, "n H W C"], reconstructions: Float[np.ndarray, "n H W C"]
) -> dict[str, Any]:
    """Errors of network images' reconstructions, beside those of block means; plain data.

    Continuous values: {"unit", "patches", "rmse": {band: {"autoencoder", "block_mean"}}}. Classes: {"unit", "patches",
    "accuracy": {"autoencoder", "block_mean"}, "accuracy_by_class": {class: the same with "share"}}, the accuracy of a
    class being the share of its pixels that stay what they are.
    """
    if modality.encoding == "classes":
        truth = images.argmax(axis=-1)
        found = {AUTOENCODER: reconstructions.argmax(axis=-1)}
        hot = np.eye(modality.channels, dtype=np.float32)[truth]
        found[BLOCK_MEAN] = _blocks(hot, modality.downsampling).argmax(axis=-1)
        figures = _class_figures(modality, truth, found)
    else:
        truth = _reported(modality, images)
        found = {AUTOENCODER: _reported(modality, reconstructions), BLOCK_MEAN: _blocks(truth, modality.downsampling)}
        rmse = {name: np.sqrt(np.square(values - truth).mean((0, 1, 2))) for name, values in found.items()}
        bands = enumerate(modality.bands)
        figures = {"rmse": {band: {name: float(rmse[name][i]) for name in found} for i, band in bands}}
    return {"unit": UNITS[modality.encoding], "patches": len(images), **figures}


def reconstruction_lines(modality: Modality, measured: Mapping[str, Any]) -> list[str]:
    """The same for people, a line per band or class."""
    if modality.encoding == "classes":
        lines = [("all", measured["accuracy"], "")]
        lines += [(name, f, f"  ({f['share']:.1%} of pixels)") for name, f in measured["accuracy_by_class"].items()]
        return [
            f"{name}: accuracy {f[AUTOENCODER]:.3f}, block majority {f[BLOCK_MEAN]:.3f}{more}"
            for name, f, more in lines
        ]
    return [
        f"{band}: RMSE {f[AUTOENCODER]:.4g} {measured['unit']}, block mean {f[BLOCK_MEAN]:.4g}"
        for band, f in measured["rmse"].items()
    ]


def _class_figures(modality: Modality, truth: np.ndarray, found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    right = {name: values == truth for name, values in found.items()}
    by_class: dict[str, dict[str, float]] = {}
    for i, name in enumerate(modality.classes):
        there = truth == i
        if there.any():
            shares = {candidate: float(hits[there].mean()) for candidate, hits in right.items()}
            by_class[name] = {**shares, "share": float(there.mean())}
    return {"accuracy": {name: float(hits.mean()) for name, hits in right.items()}, "accuracy_by_class": by_class}


def _reported(modality: Modality, images: np.ndarray) -> Float[np.ndarray, "n H W bands"]:
    """Physical values in the unit of the figures, float64."""
    values = units.image_to_physical(modality, np.asarray(images, np.float32))
    if modality.encoding == "reflectance":
        values = values / units.REFLECTANCE_SCALE
    if modality.encoding == "power":
        values = units.power_to_decibel(values)
    return np.asarray(values, np.float64)


def _blocks(values: Float[np.ndarray, "n H W C"], side: int) -> Float[np.ndarray, "n H W C"]:
    """Every pixel replaced by the mean of its block."""
    n, height, width, channels = values.shape
    means = values.reshape(n, height // side, side, width // side, side, channels).mean((2, 4))
    return means.repeat(side, axis=1).repeat(side, axis=2)


def padded(arrays: Sequence[np.ndarray] | np.ndarray, size: int) -> list[np.ndarray]:
    """Batches of `size`, the last one filled up with its last array: one shape, one compilation."""
    batches = [list(arrays[i : i + size]) for i in range(0, len(arrays), size)]
    return [np.stack(batch + [batch[-1]] * (size - len(batch))) for batch in batches]
