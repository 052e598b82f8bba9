"""The older published evaluator, for stacked rasters, and how it merges several samples of one condition."""

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.similarity import uniform_ssim


def centre_crop(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The central height x width pixels of the last two axes, offset (H - h) // 2 and (W - w) // 2.

    Raises:
        InputError: the image is smaller than that.
    """
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    if top < 0 or left < 0:
        raise InputError(
            f"the truth has {image.shape[-2]} x {image.shape[-1]} px, the prediction {height} x {width}: "
            f"the truth must not be smaller"
        )
    return image[..., top : top + height, left : left + width]


def stacked_errors(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """rmse over all pixels, and ssim as the mean over bands, of stacks [C, h, w] against [C, H, W] (centre-cropped).

    The data range of SSIM is that of the *prediction*, as published; a band where it is 0 is left out, and ssim is NaN
    if that is every band.

    Raises:
        InputError: other bands, or a truth smaller than the prediction.
    """
    if prediction.ndim != 3 or len(prediction) != len(truth):
        raise InputError(f"stacks of shapes {prediction.shape} and {truth.shape} do not have the same bands")
    prediction, truth = prediction.astype(np.float64), centre_crop(truth, *prediction.shape[1:]).astype(np.float64)
    index = [uniform_ssim(t, p, float(p.max() - p.min())) for p, t in zip(prediction, truth, strict=True)]
    known = [value for value in index if not np.isnan(value)]
    return {
        "rmse": float(np.sqrt(((prediction - truth) ** 2).mean())),
        "ssim": float(np.mean(known)) if known else np.nan,
    }


def merged_mean(samples: np.ndarray) -> np.ndarray:
    """Mean over samples [n, ...] of continuous values. Smooths; not a sample of anything."""
    return np.mean(samples, axis=0)


def merged_mode(samples: np.ndarray) -> np.ndarray:
    """Most frequent code over samples [n, ...] of classes; the smallest of those equally frequent."""
    codes = np.unique(samples)
    votes = np.stack([(samples == code).sum(axis=0) for code in codes])
    return codes[votes.argmax(axis=0)]
