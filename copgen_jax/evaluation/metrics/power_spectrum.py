"""Does a model smooth? Radially averaged power spectra of images.

An image less its mean, times a Hann window, is Fourier-transformed; squared amplitudes are averaged over rings of wave
number. They are scaled so that white noise of variance v has power v in every ring.
"""

import dataclasses
import math

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.explanation import Explanation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Power by wave number."""

    frequency: np.ndarray
    """Centres of the rings, cycles per metre: [K], up to one cycle in two pixels."""
    power: np.ndarray
    """[..., K] in the square of the image's unit."""


def radial_spectrum(images: np.ndarray, resolution: float) -> Spectrum:
    """Spectrum of square images [..., H, H] with pixels of `resolution` metres; NaN propagates.

    Raises:
        InputError: images are not square, or smaller than 8 px.
    """
    side = images.shape[-1]
    if images.shape[-2] != side or side < 8:
        raise InputError(f"images of {images.shape[-2]} x {side} px; a spectrum needs square ones of 8 px or more")
    window = np.hanning(side + 2)[1:-1]
    window = window[:, None] * window[None, :]
    images = np.asarray(images, np.float64)
    centred = images - images.mean(axis=(-2, -1), keepdims=True)
    power = np.abs(np.fft.fft2(centred * window)) ** 2 / (window**2).sum()
    wave = np.fft.fftfreq(side) * side
    ring = np.rint(np.hypot(wave[:, None], wave[None, :])).astype(int)
    rings = np.arange(1, side // 2 + 1)
    average = np.stack([power[..., ring == k].mean(axis=-1) for k in rings], axis=-1)
    return Spectrum(frequency=rings / (side * resolution), power=average)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Smoothing:
    """Generated over real power."""

    fine: float
    """Ratio of the power in the finest octave (wave lengths of 2 to 4 pixels)."""
    coarse: float
    """Ratio in all coarser rings."""
    resolved: float
    """Shortest wave length in metres down to which every ring keeps at least half the real power."""


def smoothing(model: Spectrum, real: Spectrum) -> Smoothing:
    """What became of the power, from spectra with the same rings; leading axes are averaged first.

    NaN where the real images have no power at all.

    Raises:
        InputError: spectra of images of another size or resolution.
    """
    if model.frequency.shape != real.frequency.shape or not np.allclose(model.frequency, real.frequency):
        raise InputError("spectra of images of different size or resolution do not compare")
    ours, theirs = (s.power.reshape(-1, s.power.shape[-1]).mean(axis=0) for s in (model, real))
    fine = real.frequency > real.frequency[-1] / 2
    kept = ours >= 0.5 * theirs
    lost = np.flatnonzero(~kept)
    last = (lost[0] if len(lost) else len(kept)) - 1
    return Smoothing(
        fine=_ratio(ours[fine].sum(), theirs[fine].sum()),
        coarse=_ratio(ours[~fine].sum(), theirs[~fine].sum()),
        resolved=math.nan if not theirs.any() else float(1 / real.frequency[last]) if last >= 0 else math.inf,
    )


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b > 0 else math.nan


EXPLANATIONS = (
    Explanation(
        name="fine_power",
        title="Power in fine structure",
        question="physical",
        better="ideal",
        measures="Generated over real variance at wave lengths of 2 to 4 pixels, from radially averaged power "
        "spectra; and the shortest wave length that keeps half of the real power.",
        ideal="1: below, the model smooths; above, it adds noise or grid artefacts.",
        misleads="It knows amounts, not places: noise with the right spectrum scores 1. Averages of samples are "
        "smooth by construction, so use single samples.",
        ideal_value=lambda n, m: 1.0,
    ),
)
