"""Which pixels the benchmark evaluates, which acquisitions and which seeds count.

The benchmark's images come in tiles of a newer grid (1056 px); scores are computed on the 192 x 192 px window that
lies 4380 m right of and below the corner of the cell's tile in the older grid (1068 px): its centre.
"""

import dataclasses
import hashlib
import random
from collections.abc import Iterable

import numpy as np
from rasterio.warp import transform_bounds

from copgen_jax.errors import InputError

WINDOW = 192
"""Side of the evaluated window, pixels of 10 m."""

INSET = 4380.0
"""Metres from the corner of the older tile to the corner of the window."""

VALID_SHARE = 0.95
"""Least share of non-zero B02 pixels of a real acquisition."""

RULE = "copgen-benchmark/v1"
"""Name of the published rule that chooses seeds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile:
    """A north-up raster of 10 m pixels: its corner (metres), CRS and side."""

    left: float
    top: float
    crs: str
    side: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """Where the evaluated window lies in a tile; it may reach beyond."""

    row: int
    column: int
    """First pixel of the window in the tile; negative where the window begins outside."""
    side: int
    """Pixels along a side of the tile."""

    @property
    def first_valid(self) -> tuple[int, int]:
        """(row, column) in the window of its first pixel that lies in the tile."""
        return max(0, -self.row), max(0, -self.column)

    @property
    def first_in_tile(self) -> tuple[int, int]:
        """(row, column) in the tile of that pixel."""
        return max(0, self.row), max(0, self.column)

    @property
    def valid_pixels(self) -> int:
        """Number of the window's pixels that lie in the tile."""
        height, width = (max(0, min(start + WINDOW, self.side) - max(start, 0)) for start in (self.row, self.column))
        return height * width

    def cut(self, images: np.ndarray) -> np.ndarray:
        """The window of [..., side, side] images: [..., 192, 192], zero beyond the tile."""
        if images.shape[-2:] != (self.side, self.side):
            raise InputError(
                f"images of {images.shape[-2]} x {images.shape[-1]} px do not fit a tile of {self.side} px a side"
            )
        out = np.zeros((*images.shape[:-2], WINDOW, WINDOW), images.dtype)
        (r, c), (y, x) = self.first_valid, self.first_in_tile
        part = images[..., y : max(0, self.row + WINDOW), x : max(0, self.column + WINDOW)]
        out[..., r : r + part.shape[-2], c : c + part.shape[-1]] = part
        return out


def window_of(grid: Tile, tile: Tile) -> Window:
    """The evaluated window in `tile`, given the older grid's tile of the same cell (its side does not matter)."""
    left, top = grid.left + INSET, grid.top - INSET
    size = WINDOW * 10.0
    if grid.crs != tile.crs:
        left, _, _, top = transform_bounds(grid.crs, tile.crs, left, top - size, left + size, top)
    return Window(row=round((tile.top - top) / 10), column=round((left - tile.left) / 10), side=tile.side)


def is_valid(images: np.ndarray, *, band: int = 1) -> np.ndarray:
    """Which real acquisitions [n, C, H, W] have at least 95 % non-zero pixels in B02: bool [n]."""
    return np.count_nonzero(images[:, band], axis=(1, 2)) >= VALID_SHARE * images.shape[2] * images.shape[3]


def select_seeds(cell: str, pool: Iterable[int], count: int) -> tuple[int, ...]:
    """The seeds that count for a cell, sorted: all of the pool if it has at most `count`, else drawn by the rule.

    The draw is Python's `random.sample` from the sorted pool, seeded with the first 8 bytes, big-endian, of SHA-256 of
    "copgen-benchmark/v1:<cell>": every run of every machine takes the same seeds.
    """
    pool = sorted(pool)
    if len(pool) <= count:
        return tuple(pool)
    seed = int.from_bytes(hashlib.sha256(f"{RULE}:{cell}".encode()).digest()[:8], "big")
    return tuple(sorted(random.Random(seed).sample(pool, count)))
