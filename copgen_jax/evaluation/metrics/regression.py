"""Errors of a generated image against its truth, pooled over images: MAE, RMSE, SSIM, PSNR.

MAE and RMSE pool all pixels of all images, so a 10 m band weighs 36 times a 60 m band. SSIM and PSNR first scale both
images by minimum and maximum of the truth, x01 = clip((x - min) / max(max - min, 1e-6), 0, 1), all bands of a sample
together; per band, by that band alone. PSNR is 10 log10(1 / MSE) of all scaled pixels together, SSIM the mean over
images.

There is no mask: zeros and nodata values are pixels like others and a NaN makes the sums NaN, as published.
`Pooled.faults` says where that happened. The scores are sums (`Pooled`), so images are scored one by one and added.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.explanation import Explanation
from copgen_jax.evaluation.metrics.similarity import gaussian_ssim

_LEAST_RANGE = 1e-6

LOWER_IS_BETTER = frozenset({"mae", "rmse", "median_km", "mean_km", "std_km", "rmse_km"})
"""Published list; every other metric counts as "higher is better", even p90_km."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sums:
    """What MAE, RMSE, SSIM and PSNR are made of; two add up."""

    absolute: float = 0.0
    square: float = 0.0
    pixels: int = 0
    scaled_square: float = 0.0
    ssim: float = 0.0
    images: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)})

    def scores(self) -> dict[str, float]:
        """mae, rmse, ssim, psnr; NaN if nothing was added."""
        if not self.pixels:
            return dict.fromkeys(("mae", "rmse", "ssim", "psnr"), math.nan)
        error = self.scaled_square / self.pixels
        return {
            "mae": self.absolute / self.pixels,
            "rmse": math.sqrt(self.square / self.pixels),
            "ssim": self.ssim / self.images,
            "psnr": math.inf if error == 0 else -10 * math.log10(error),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pooled:
    """Sums over images, all bands together and per band, and what was odd about them."""

    total: Sums = Sums()
    bands: Mapping[str, Sums] = dataclasses.field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def __add__(self, other: "Pooled") -> "Pooled":
        names = dict.fromkeys((*self.bands, *other.bands))
        bands = {name: self.bands.get(name, Sums()) + other.bands.get(name, Sums()) for name in names}
        return Pooled(total=self.total + other.total, bands=bands, faults=(*self.faults, *other.faults))

    def scores(self) -> dict[str, float | dict[str, dict[str, float]]]:
        """mae, rmse, ssim, psnr, and the same under "per_band"."""
        return {**self.total.scores(), "per_band": {name: sums.scores() for name, sums in self.bands.items()}}


def image_errors(prediction: np.ndarray, truth: np.ndarray, bands: Sequence[str] | None = None) -> Pooled:
    """Sums for one batch of images [B, C, H, W] in physical units; bands are called band_0.. if not named.

    Raises:
        InputError: shapes differ, the number of names is not C, or a side has 5 px or less.
    """
    if prediction.shape != truth.shape or truth.ndim != 4:
        raise InputError(
            f"prediction {prediction.shape} and truth {truth.shape} differ in shape; "
            f"both must be [samples, bands, height, width]"
        )
    bands = [f"band_{i}" for i in range(truth.shape[1])] if bands is None else list(bands)
    if len(bands) != truth.shape[1]:
        raise InputError(f"{len(bands)} band names ({', '.join(bands)}) for {truth.shape[1]} bands")
    pooled = Pooled(total=_sums(prediction, truth), faults=_faults(prediction, truth, bands))
    for i, band in enumerate(bands):
        pooled += Pooled(bands={band: _sums(prediction[:, i : i + 1], truth[:, i : i + 1])})
    return pooled


def _sums(prediction: np.ndarray, truth: np.ndarray) -> Sums:
    prediction, truth = prediction.astype(np.float64), truth.astype(np.float64)
    error = prediction - truth
    low = truth.min(axis=(1, 2, 3), keepdims=True)
    width = np.maximum(truth.max(axis=(1, 2, 3), keepdims=True) - low, _LEAST_RANGE)
    x, y = (np.clip((image - low) / width, 0, 1) for image in (prediction, truth))
    return Sums(
        absolute=float(np.abs(error).sum()),
        square=float((error**2).sum()),
        pixels=error.size,
        scaled_square=float(((x - y) ** 2).sum()),
        ssim=float(gaussian_ssim(x, y).sum()),
        images=len(x),
    )


def _faults(prediction: np.ndarray, truth: np.ndarray, bands: Sequence[str]) -> tuple[str, ...]:
    found = []
    for i, band in enumerate(bands):
        for who, image in (("prediction", prediction[:, i]), ("truth", truth[:, i])):
            broken = int(np.isnan(image).any(axis=(1, 2)).sum())
            if broken:
                found.append(f"{band}: NaN in {broken} of {len(image)} images of the {who}; their scores are NaN")
        flat = int((truth[:, i].max(axis=(1, 2)) == truth[:, i].min(axis=(1, 2))).sum())
        if flat:
            found.append(
                f"{band}: the truth is constant in {flat} of {len(truth)} images; ssim and psnr mean nothing there"
            )
    return tuple(found)


EXPLANATIONS = (
    Explanation(
        name="mae",
        title="Mean absolute error",
        question="faithful",
        better="lower",
        measures="Mean absolute difference from the one truth at hand, over all pixels of all bands.",
        ideal="0 where the conditions determine the truth. Elsewhere a sample of a perfect model errs more than "
        "the mean of its samples: by a factor of about sqrt(2) for Gaussians.",
        misleads="It rewards a blurred mean over a realistic sample, and pools bands by pixel count: a 10 m "
        "band weighs 36 times a 60 m band.",
    ),
    Explanation(
        name="rmse",
        title="Root mean square error",
        question="faithful",
        better="lower",
        measures="Root of the mean squared difference from the truth, over all pixels of all bands.",
        ideal="0 where the conditions determine the truth; else sqrt(2) standard deviations for one sample of a "
        "perfect model, one for its mean.",
        misleads="As for the absolute error, and a few extreme pixels (clouds, shadows) can make most of it.",
    ),
    Explanation(
        name="ssim",
        title="Structural similarity",
        question="faithful",
        better="higher",
        measures="Agreement of local mean, contrast and pattern after scaling by the truth's minimum and maximum.",
        ideal="1 for the truth itself; a fresh acquisition of the same place scores less.",
        misleads="The scale hangs on two extreme pixels of the truth; flat truth gives arbitrary values; versions with "
        "other windows or borders give other numbers.",
        ideal_value=lambda n, m: 1.0,
    ),
    Explanation(
        name="psnr",
        title="Peak signal-to-noise ratio",
        question="faithful",
        better="higher",
        unit="dB",
        measures="Mean squared error on a log scale, after scaling by the truth's minimum and maximum and "
        "clipping to it.",
        ideal="Infinite for the truth itself; only the comparison of models on the same cells means something.",
        misleads="Errors outside the truth's range are clipped away; one truth with a narrow range dominates the pool.",
    ),
    Explanation(
        name="best_of_n",
        title="Best of n",
        question="faithful",
        better="ideal",
        measures="The best value over n samples per tile, chosen by an oracle that knows the truth, then averaged.",
        ideal="It has none: it improves with n for any model with spread, so it is read only beside the same n.",
        misleads="The published variant picks another sample for every metric, so no single image has these scores; a "
        "wide, uncalibrated model gains most.",
    ),
)
