"""Bands that somebody enlarged, brought back to their own grid.

A 20 m band given on 10 m pixels holds each value 2 x 2 times if it was enlarged by repetition; then every second pixel
is exactly what it was. If it was interpolated, the mean of each block stands for it.
"""

from typing import NamedTuple

import numpy as np


class Shrunk(NamedTuple):
    """A band on its own grid."""

    values: np.ndarray
    """(h, w)"""
    valid: np.ndarray
    """(h, w): where at least one pixel of the block was valid."""
    exact: bool
    """Whether every block held one repeated value."""


def shrink(values: np.ndarray, valid: np.ndarray, factor: int) -> Shrunk:
    """Bring (h factor, w factor) values back to (h, w): exactly if repeated, else by means over valid pixels."""
    h, w = values.shape[0] // factor, values.shape[1] // factor
    blocks = values.reshape(h, factor, w, factor).transpose(0, 2, 1, 3).reshape(h, w, -1)
    known = valid.reshape(h, factor, w, factor).transpose(0, 2, 1, 3).reshape(h, w, -1)
    some = np.any(known, axis=-1)
    uniform = np.all(known, axis=-1) | ~some
    first = blocks[..., 0]
    if np.all(uniform) and np.all((blocks == first[..., None]) | ~known):
        return Shrunk(np.where(some, first, 0.0), np.asarray(some), True)
    total = np.where(known, blocks, 0.0).sum(axis=-1)
    return Shrunk(total / np.maximum(known.sum(axis=-1), 1), np.asarray(some), False)


def repetition_phase(values: np.ndarray, factor: int) -> tuple[int, int] | None:
    """(row, column) of the first whole block of a band enlarged by repetition, each below `factor`.

    None where the band was not enlarged by repetition, or where it changes too seldom to tell a phase other than 0.
    """
    values = np.nan_to_num(values, nan=0.0)
    rows = _phase(np.flatnonzero(np.any(values[1:] != values[:-1], axis=1)) + 1, len(values), factor)
    columns = _phase(np.flatnonzero(np.any(values[:, 1:] != values[:, :-1], axis=0)) + 1, values.shape[1], factor)
    return None if rows is None or columns is None else (rows, columns)


def _phase(changes: np.ndarray, length: int, factor: int) -> int | None:
    """Where blocks begin, of the positions at which one line differs from the one before."""
    residues = np.unique(changes % factor)
    if len(residues) == 0:
        return 0
    if len(residues) > 1:
        return None
    phase = int(residues[0])
    boundaries = len(range(phase or factor, length, factor))
    return phase if phase == 0 or 2 * len(changes) > boundaries else None
