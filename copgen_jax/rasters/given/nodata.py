"""Pixels without data: few are filled from their nearest neighbours, many are refused."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from copgen_jax.errors import InputError

MOST_NODATA = 0.05
"""Share of a window without data beyond which it is refused."""


def check_share(valid: np.ndarray, *, what: str) -> float:
    """The share of pixels without data, if it is at most 5 %; `what` names the band in messages.

    Raises:
        InputError: more.
    """
    share = 1.0 - float(np.mean(valid))
    if share == 1.0:
        raise InputError(f"{what} holds no data at all in this window; choose another window or leave it out")
    if share > MOST_NODATA:
        raise InputError(
            f"{what} has no data in {share:.1%} of this window, and at most {MOST_NODATA:.0%} can be filled; "
            "choose another window or leave it out"
        )
    return share


def fill_nearest(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(H, W) values with every invalid pixel set to its nearest valid one; some pixel must be valid."""
    if valid.all():
        return values
    nearest = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    assert isinstance(nearest, np.ndarray)
    return values[nearest[0], nearest[1]]
