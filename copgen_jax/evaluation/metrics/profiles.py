"""Which pixels the published spectral-profile figure shows, and its resampling of coarser bands.

Per land-cover class a pixel in the interior of the class is chosen, most often the one where the prediction agrees
best with the truth: a figure of best cases, not of typical ones.
"""

from typing import Literal

import numpy as np
from scipy.ndimage import binary_erosion

from copgen_jax.errors import InputError

WAVELENGTHS = {
    "B01": 443, "B02": 490, "B03": 560, "B04": 665, "B05": 705, "B06": 740,
    "B07": 783, "B08": 842, "B8A": 865, "B09": 945, "B11": 1610, "B12": 2190,
}  # fmt: skip
"""Centre wavelengths of the figure, in nm."""

Agreement = Literal["mae", "mse", "cosine"]

_WINDOW, _FRAME = 7, 5
MOST_PIXELS = 1000
"""Pixels of a class among which the best is sought."""


def interior(classes: np.ndarray, code: int) -> np.ndarray:
    """Interior pixels of a class in a map [H, W]: bool [H, W], possibly none.

    Eroded by a 7 x 7 square (outside the map is not the class), then 5 px off each side.
    """
    inside = binary_erosion(classes == code, structure=np.ones((_WINDOW, _WINDOW), bool), border_value=0)
    framed = np.zeros_like(inside)
    framed[_FRAME:-_FRAME, _FRAME:-_FRAME] = inside[_FRAME:-_FRAME, _FRAME:-_FRAME]
    return framed


def candidates(classes: np.ndarray, code: int) -> np.ndarray:
    """The interior of a class, or all its pixels where it has none: bool [H, W].

    Raises:
        InputError: the class does not occur.
    """
    if not (classes == code).any():
        raise InputError(f"class {code} does not occur in this map; it has {', '.join(map(str, np.unique(classes)))}")
    inside = interior(classes, code)
    return inside if inside.any() else classes == code


def central_pixel(mask: np.ndarray) -> tuple[int, int]:
    """The pixel of a mask nearest to its median row and median column, first in row-major order on ties."""
    at = np.argwhere(mask)
    middle = np.array([int(np.median(at[:, 0])), int(np.median(at[:, 1]))])
    row, column = at[((at - middle) ** 2).sum(axis=1).argmin()]
    return int(row), int(column)


def best_pixel(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray, by: Agreement = "mae") -> tuple[int, int]:
    """The pixel of a mask whose predicted spectrum [C, H, W] is nearest to the true one there; first on ties.

    Raises:
        InputError: a spectrum under the mask has NaN.
    """
    at = np.argwhere(mask)
    true, ours = (image[:, mask].T.astype(np.float64) for image in (truth, prediction))
    if np.isnan(true).any() or np.isnan(ours).any():
        raise InputError("spectra have NaN under the mask; choose the pixel among valid ones")
    score = agreement(true, ours, by)
    row, column = at[score.argmax() if by == "cosine" else score.argmin()]
    return int(row), int(column)


def best_pixels(truth: np.ndarray, prediction: np.ndarray, classes: np.ndarray) -> dict[int, tuple[int, int]]:
    """The published figure's pixels: of every class, the one where the prediction is nearest to the truth.

    Of a class with more than 1000 candidates as many are looked at, drawn class after class from NumPy's legacy
    generator with seed 42, as published. No data (0) is no class.

    Raises:
        InputError: a spectrum of a candidate has NaN.
    """
    rng = np.random.RandomState(42)
    found = {}
    for code in sorted({int(code) for code in np.unique(classes)} - {0}):
        mask = candidates(classes, code)
        at = np.argwhere(mask)
        if len(at) > MOST_PIXELS:
            at = at[rng.choice(len(at), MOST_PIXELS, replace=False)]
            mask = np.zeros_like(mask)
            mask[at[:, 0], at[:, 1]] = True
        found[code] = best_pixel(truth, prediction, mask)
    return found


def agreement(truth: np.ndarray, prediction: np.ndarray, by: Agreement = "mae") -> np.ndarray:
    """Mean absolute or mean square difference, or cosine (0 if a norm is 0), of spectra [..., C]: [...]."""
    if by == "cosine":
        lengths = np.linalg.norm(truth, axis=-1) * np.linalg.norm(prediction, axis=-1)
        return np.where(lengths > 0, (truth * prediction).sum(axis=-1) / np.where(lengths > 0, lengths, 1), 0.0)
    error = np.abs(truth - prediction)
    return (error if by == "mae" else error**2).mean(axis=-1)


def zoom(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Linear resampling [H, W] -> [height, width], corner pixels on corner pixels; integers are rounded.

    The published figure's; it shifts pixel areas by up to half a coarse pixel, so use it for that figure only.
    """
    rows, columns = (
        np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
        for old, new in zip(image.shape, (height, width), strict=True)
    )
    values = image.astype(np.float64)
    values = np.stack([np.interp(rows, np.arange(len(column)), column) for column in values.T], axis=1)
    values = np.stack([np.interp(columns, np.arange(len(row)), row) for row in values])
    if np.issubdtype(image.dtype, np.integer):
        values = np.rint(values)
    return values.astype(image.dtype)
