"""Random numbers that depend on what they are for and where they lie, never on the order in which they are asked for.

Every number derives from a 64-bit key, the BLAKE2 hash of (seed, cell, variable, member, purpose). A key opens either a
counter-based generator (Philox; pixel noise, scalars) or a *field*: smooth noise made of hashed values on an integer
lattice that belongs to the cell, so that windows of one cell join without a seam.

A field of wavelength L is white noise on nodes L apart, interpolated by cubic B-splines (C2, so slopes are smooth) and
scaled to unit variance. Lattice values come from a 32-bit integer mixer (two rounds of xor-shift and multiply;
constants found by C. Wellons, "Prospecting for hash functions", 2018).
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from copgen_jax.rasters.ground import Ground

PIXEL = 10.0
"""Metres per pixel of the finest grid, in which windows are measured."""

CELL_PIXELS = 1068
"""Side of a Major TOM cell at 10 m."""

_SPLINE_GAIN = np.float32(315.0 / 151.0)
"""Restores the variance that interpolation in two directions takes: the mean sum of squared weights is 151/315 each."""

_SERIAL_SIZE = 250_000
"""Multiplications up to which OpenBLAS uses one thread."""

_UNIT = np.float32(np.sqrt(12.0))


@dataclasses.dataclass(frozen=True)
class Window:
    """A square of a cell, in pixels of 10 m from the cell's north-western corner."""

    cell: str
    ground: Ground
    row: int
    column: int
    pixels: int


def key_of(*parts: str | int) -> int:
    """A 64-bit key from names and numbers."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble uint32 values; every input bit changes half of the output bits."""
    values = values ^ (values >> np.uint32(16))
    values = values * np.uint32(0x7FEB352D)
    values = values ^ (values >> np.uint32(15))
    values = values * np.uint32(0x846CA68B)
    return values ^ (values >> np.uint32(16))


def hashed(key: int, *coordinates: np.ndarray) -> np.ndarray:
    """uint32 hash of integer coordinates (broadcast together) under a key."""
    state = np.asarray(key & 0xFFFFFFFF, np.uint32)
    for coordinate in coordinates:
        state = mix(coordinate.astype(np.int64).astype(np.uint32) + state * np.uint32(0x9E3779B1))
    return mix(state ^ np.uint32(key >> 32))


def uniform(bits: np.ndarray) -> np.ndarray:
    """float32 in [0, 1) from uint32 bits."""
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


@dataclasses.dataclass(frozen=True)
class Stream:
    """The randomness of one variable in one window.

    `scalars` and `field` belong to the cell: all its windows agree. `pixels` belongs to the window.
    """

    key: int
    window: Window

    def scalars(self, purpose: str = "") -> np.random.Generator:
        """Generator that is the same for every window of the cell."""
        return np.random.Generator(np.random.Philox(key=key_of(self.key, "scalars", purpose)))

    def pixels(self, purpose: str = "") -> np.random.Generator:
        """Generator for noise without spatial structure."""
        window = self.window
        key = key_of(self.key, "pixels", purpose, window.row, window.column, window.pixels)
        return np.random.Generator(np.random.Philox(key=key))

    def axes(self, *, step: int = 1, margin: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Pixel centres (rows, columns) in metres from the cell's corner, on the grid of `step` x 10 m."""
        steps = (np.arange(-margin, self.window.pixels // step + margin) + 0.5) * step
        return (self.window.row + steps) * PIXEL, (self.window.column + steps) * PIXEL

    def field(
        self,
        purpose: str,
        wavelengths: Sequence[float],
        weights: Sequence[float] | None = None,
        *,
        step: int = 1,
        margin: int = 0,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> np.ndarray:
        """Smooth noise (H, W) float32, mean 0, variance 1: octaves of the given wavelengths (m) and weights.

        `shift` (metres down, metres right) looks at the field elsewhere, as the shadow of a displaced cloud does.
        """
        amplitudes = np.asarray(weights if weights is not None else [1.0] * len(wavelengths), np.float32)
        amplitudes = amplitudes / np.sqrt(np.sum(amplitudes**2)) * _SPLINE_GAIN
        size = (self.window.pixels // step + 2 * margin, step * PIXEL)
        top, left = (PIXEL * (start - margin * step) for start in (self.window.row, self.window.column))
        lines, weights_across = [], []
        for wavelength, amplitude in zip(wavelengths, amplitudes, strict=True):
            rows, down = _interpolation(top + shift[0], *size, wavelength)
            columns, across = _interpolation(left + shift[1], *size, wavelength)
            nodes = _nodes(key_of(self.key, "field", purpose, f"{wavelength:.3f}"), rows, columns)
            lines.append(product(down, nodes * amplitude))
            weights_across.append(across.T)
        # one product adds up all octaves
        return product(np.concatenate(lines, axis=1), np.concatenate(weights_across, axis=0))

    def field_at(self, purpose: str, wavelength: float, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Noise like `field` of one wavelength at any points, in metres from the cell's corner."""
        y, x = y / wavelength, x / wavelength
        top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
        fy, fx = _fade((y - top).astype(np.float32)), _fade((x - left).astype(np.float32))
        first_row, first_column = int(top.min()), int(left.min())
        nodes = _nodes(
            key_of(self.key, "warped", purpose),
            np.arange(first_row, int(top.max()) + 2),
            np.arange(first_column, int(left.max()) + 2),
        )
        top -= first_row
        left -= first_column
        upper = nodes[top, left] * (1 - fx) + nodes[top, left + 1] * fx
        lower = nodes[top + 1, left] * (1 - fx) + nodes[top + 1, left + 1] * fx
        return (upper * (1 - fy) + lower * fy) * np.float32(1.45)


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrix product in pieces small enough that BLAS starts no threads.

    Workers are the parallelism here: threads below them would only get in each other's way, and could round otherwise.
    """
    height, width = left.shape[0], right.shape[1]
    result = np.empty((height, width), np.float32)
    columns = min(width, max(1, _SERIAL_SIZE // (8 * len(right))))
    rows = max(1, _SERIAL_SIZE // (columns * len(right)))
    for x in range(0, width, columns):
        for y in range(0, height, rows):
            result[y : y + rows, x : x + columns] = left[y : y + rows] @ right[:, x : x + columns]
    return result


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - np.float32(low)) * np.float32(1.0 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def enlarge(values: np.ndarray, factor: int, pixels: int) -> np.ndarray:
    """Bilinear interpolation (pixel-centred) of (h, w) with one pixel of margin to (pixels, pixels)."""
    position = (np.arange(pixels) + 0.5) / factor + 0.5
    low = np.floor(position).astype(np.int64)
    weight = (position - low).astype(np.float32)
    rows = values[low] * (1 - weight)[:, None] + values[low + 1] * weight[:, None]
    return rows[:, low] * (1 - weight) + rows[:, low + 1] * weight


def block_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean of factor x factor pixels over the last two axes."""
    rows = sum(values[..., i::factor, :] for i in range(factor))
    assert isinstance(rows, np.ndarray)
    blocks = sum(rows[..., i::factor] for i in range(factor))
    return np.asarray(blocks * np.float32(1.0 / factor**2))


def soften(values: np.ndarray, share: float) -> np.ndarray:
    """Convolve the last two axes with (share, 1 - 2 share, share) in both directions; edges repeat."""
    share_, rest = np.float32(share), np.float32(1 - 2 * share)
    result = values * rest
    result[..., 1:, :] += values[..., :-1, :] * share_
    result[..., :-1, :] += values[..., 1:, :] * share_
    result[..., 0, :] += values[..., 0, :] * share_
    result[..., -1, :] += values[..., -1, :] * share_
    final = result * rest
    final[..., 1:] += result[..., :-1] * share_
    final[..., :-1] += result[..., 1:] * share_
    final[..., 0] += result[..., 0] * share_
    final[..., -1] += result[..., -1] * share_
    return final


def _nodes(key: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """White noise of unit variance on lattice nodes."""
    return (uniform(hashed(key, rows[:, None], columns[None, :])) - np.float32(0.5)) * _UNIT


@functools.lru_cache(maxsize=2048)
def _interpolation(start: float, size: int, spacing: float, wavelength: float) -> tuple[np.ndarray, np.ndarray]:
    """(nodes (K,), weights (size, K)) of cubic B-splines at pixels of `spacing` metres from `start`."""
    positions = (start + (np.arange(size) + 0.5) * spacing) / wavelength
    first = np.floor(positions).astype(np.int64)
    t = positions - first
    s = 1 - t
    taps = (s**3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - s**2 + s**3 / 2, t**3 / 6)
    nodes = np.arange(first[0] - 1, first[-1] + 3)
    weights = np.zeros((size, len(nodes)), np.float32)
    for offset, tap in enumerate(taps):
        weights[np.arange(size), first - first[0] + offset] = tap
    return nodes, weights


def _fade(t: np.ndarray) -> np.ndarray:
    return t * t * t * (t * (t * 6 - 15) + 10)
