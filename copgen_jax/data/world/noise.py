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
import itertools
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

_STRIDE = np.uint32(0x9E3779B1)
"""Parts the states of neighbouring coordinates: 2^32 over the golden ratio, odd."""

_MASK = 0xFFFFFFFF


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
    state = np.asarray(key & _MASK, np.uint32)
    for coordinate in coordinates:
        state = mix(coordinate.astype(np.int64).astype(np.uint32) + state * _STRIDE)
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
        down = [_interpolation(top + shift[0], *size, wavelength) for wavelength in wavelengths]
        across = [_interpolation(left + shift[1], *size, wavelength) for wavelength in wavelengths]
        keys = [key_of(self.key, "field", purpose, f"{wavelength:.3f}") for wavelength in wavelengths]
        grids = _nodes(keys, [(rows, columns) for (rows, _), (columns, _) in zip(down, across, strict=True)])
        lines = [product(w, nodes * a) for (_, w), nodes, a in zip(down, grids, amplitudes, strict=True)]
        # one product adds up all octaves
        return product(np.concatenate(lines, axis=1), np.concatenate([weights.T for _, weights in across], axis=0))

    def field_at(self, purpose: str, wavelength: float, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Noise like `field` of one wavelength at any points, in metres from the cell's corner."""
        y, x = y / wavelength, x / wavelength
        top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
        fy, fx = _fade((y - top).astype(np.float32)), _fade((x - left).astype(np.float32))
        first_row, first_column = int(top.min()), int(left.min())
        rows, columns = np.arange(first_row, int(top.max()) + 2), np.arange(first_column, int(left.max()) + 2)
        axes = (rows.astype(np.uint32), columns.astype(np.uint32))
        (nodes,) = _nodes([key_of(self.key, "warped", purpose)], [axes])
        corner, nodes = (top - first_row) * len(columns) + left - first_column, nodes.ravel()
        upper = nodes.take(corner) * (1 - fx) + nodes.take(corner + 1) * fx
        corner += len(columns)
        lower = nodes.take(corner) * (1 - fx) + nodes.take(corner + 1) * fx
        return (upper * (1 - fy) + lower * fy) * np.float32(1.45)


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrix product in pieces small enough that BLAS starts no threads.

    Workers are the parallelism here: threads below them would only get in each other's way, and could round otherwise.
    """
    height, inner, width = *left.shape, right.shape[1]
    result = np.empty((height, width), np.float32)
    columns = min(width, max(1, _SERIAL_SIZE // (8 * inner)))
    rows = min(height, max(1, _SERIAL_SIZE // (columns * inner)))
    whole = height - height % rows
    pieces = left[:whole].reshape(-1, rows, inner)
    # BLAS takes several times longer where `right` lies by columns; copied where both ways add up in the same order
    copied = columns == width > 32 and width % 32 == 0
    by_rows = np.ascontiguousarray(right) if copied else right
    for x in range(0, width, columns):
        part = slice(x, x + columns)
        np.matmul(pieces, by_rows[:, part], out=result[:whole].reshape(-1, rows, width)[..., part])
        if whole < height:
            result[whole:, part] = left[whole:] @ right[:, part]
    return result


def choose(where: np.ndarray, yes: np.ndarray | float, no: np.ndarray | float) -> np.ndarray:
    """`np.where` for float32, by bits: several times faster where the choice changes from pixel to pixel."""
    bits = np.negative(where.astype(np.uint32))
    one, other = (np.asarray(values, np.float32).view(np.uint32) for values in (yes, no))
    return (((one ^ other) & bits) ^ other).view(np.float32)


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
    result = np.empty((pixels, pixels), np.float32)
    for phase in range(factor):
        share, first, count = weight[phase::factor], low[phase], pixels // factor
        nearer, farther = rows[:, first : first + count], rows[:, first + 1 : first + 1 + count]
        result[:, phase::factor] = nearer * (1 - share) + farther * share
    return result


def block_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean of factor x factor pixels over the last two axes."""
    rows = functools.reduce(np.add, (values[..., i::factor, :] for i in range(factor)))
    blocks = functools.reduce(np.add, (rows[..., i::factor] for i in range(factor)))
    return blocks * np.float32(1.0 / factor**2)


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


def _nodes(keys: Sequence[int], axes: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """White noise of unit variance on the nodes (rows, columns) of one lattice per key: `hashed`, all at once."""
    offsets = [np.uint32((key & _MASK) * int(_STRIDE) & _MASK) for key in keys]
    states = mix(np.concatenate([rows + offset for (rows, _), offset in zip(axes, offsets, strict=True)])) * _STRIDE
    sizes = [(len(rows), len(columns)) for rows, columns in axes]
    bits = np.empty(sum(height * width for height, width in sizes), np.uint32)

    def lattices(values: np.ndarray) -> list[np.ndarray]:
        ends = itertools.accumulate(height * width for height, width in sizes)
        return [values[end - h * w : end].reshape(h, w) for end, (h, w) in zip(ends, sizes, strict=True)]

    start = 0
    for lattice, (rows, columns) in zip(lattices(bits), axes, strict=True):
        np.add(states[start : start + len(rows), None], columns, out=lattice)
        start += len(rows)
    bits = mix(bits)
    for lattice, key in zip(lattices(bits), keys, strict=True):
        lattice ^= np.uint32(key >> 32)
    return lattices((uniform(mix(bits)) - np.float32(0.5)) * _UNIT)


@functools.lru_cache(maxsize=2048)
def _interpolation(start: float, size: int, spacing: float, wavelength: float) -> tuple[np.ndarray, np.ndarray]:
    """(nodes (K,) uint32, weights (size, K)) of cubic B-splines at pixels of `spacing` metres from `start`."""
    positions = (start + (np.arange(size) + 0.5) * spacing) / wavelength
    first = np.floor(positions).astype(np.int64)
    t = positions - first
    s = 1 - t
    taps = (s**3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - s**2 + s**3 / 2, t**3 / 6)
    nodes = np.arange(first[0] - 1, first[-1] + 3)
    weights = np.zeros((size, len(nodes)), np.float32)
    for offset, tap in enumerate(taps):
        weights[np.arange(size), first - first[0] + offset] = tap
    return nodes.astype(np.uint32), weights


def _fade(t: np.ndarray) -> np.ndarray:
    return t * t * t * (t * (t * 6 - 15) + 10)
