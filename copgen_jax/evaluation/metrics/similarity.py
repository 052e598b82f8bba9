"""Structural similarity (Wang et al. 2004), as the two published evaluators compute it.

SSIM = (2 mu_x mu_y + c1)(2 s_xy + c2) / ((mu_x^2 + mu_y^2 + c1)(s_x^2 + s_y^2 + c2)), c1 = (0.01 L)^2, c2 = (0.03
L)^2, L the data range, means and covariances over a window around every pixel. The two differ in the window, in the
border and in the normalisation of covariances, so their numbers do not compare.
"""

import numpy as np
from scipy.ndimage import correlate1d, uniform_filter

from copgen_jax.errors import InputError

_RADIUS, _SIGMA = 5, 1.5
_SIDE = 7


def gaussian_ssim(x: np.ndarray, y: np.ndarray, data_range: float = 1.0) -> np.ndarray:
    """SSIM of images [B, C, H, W] with an 11 x 11 Gaussian window: [B], means over channels and all pixels.

    Borders are reflected and counted; covariances are population ones, variances at least 0.

    Raises:
        InputError: a side of 5 px or less cannot be reflected.
    """
    if min(x.shape[-2:]) <= _RADIUS:
        raise InputError(
            f"an image of {x.shape[-2]} x {x.shape[-1]} px is too small for SSIM: sides of {_RADIUS + 1} px or "
            f"more are needed"
        )
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window /= window.sum()

    def local(image: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(image, window, axis=-1, mode="mirror"), window, axis=-2, mode="mirror")

    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = local(x), local(y)
    variance_x = np.maximum(local(x * x) - mean_x**2, 0)
    variance_y = np.maximum(local(y * y) - mean_y**2, 0)
    index = _index(mean_x, mean_y, variance_x, variance_y, local(x * y) - mean_x * mean_y, data_range)
    return index.mean(axis=(1, 2, 3))


def uniform_ssim(x: np.ndarray, y: np.ndarray, data_range: float) -> float:
    """SSIM of two images [H, W] with a uniform 7 x 7 window, over the pixels where it fits; sample covariances.

    NaN if the data range is 0.

    Raises:
        InputError: a side shorter than the window.
    """
    if min(x.shape) < _SIDE:
        raise InputError(f"an image of {x.shape[0]} x {x.shape[1]} px is smaller than SSIM's window of {_SIDE} px")
    if data_range == 0:
        return np.nan
    x, y = x.astype(np.float64), y.astype(np.float64)
    sample = _SIDE**2 / (_SIDE**2 - 1)

    def local(image: np.ndarray) -> np.ndarray:
        return uniform_filter(image, _SIDE)

    mean_x, mean_y = local(x), local(y)
    index = _index(
        mean_x,
        mean_y,
        sample * (local(x * x) - mean_x**2),
        sample * (local(y * y) - mean_y**2),
        sample * (local(x * y) - mean_x * mean_y),
        data_range,
    )
    border = (_SIDE - 1) // 2
    return float(index[border:-border, border:-border].mean())


def _index(mean_x, mean_y, variance_x, variance_y, covariance, data_range: float) -> np.ndarray:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    over = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return over / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
