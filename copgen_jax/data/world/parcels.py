"""Fields and blocks: the ground divided into rotated rectangles, those into strips.

A parcel has an id, from which its properties are hashed, so that any number of pixels share them without a list of
parcels. Rotated and slightly warped coordinates (u, v) are divided into blocks whose rows are shifted like bricks; each
block is cut into strips along one of its sides, and each strip across.
"""

import dataclasses

import numpy as np

from copgen_jax.data.world.noise import Stream, choose, hashed, key_of, mix, uniform


@dataclasses.dataclass(frozen=True)
class Parcels:
    """Per pixel (H, W): which parcel, and how far from its border."""

    identity: np.ndarray
    """uint32."""
    border: np.ndarray
    """Metres to the parcel's nearest side."""
    block_border: np.ndarray
    """Metres to the block's nearest side, where roads run."""
    along: np.ndarray
    """Metres along the direction of tillage's normal: lines of constant `along` are furrows."""

    def property(self, number: int) -> np.ndarray:
        """A uniform random number in [0, 1) per parcel; different numbers are independent."""
        return uniform(mix(self.identity + np.uint32(0x9E3779B9 * (number + 1) & 0xFFFFFFFF)))


def draw_parcels(
    stream: Stream, purpose: str, *, block: tuple[float, float], strips: tuple[int, int], cuts: int, warp: float
) -> Parcels:
    """Parcels of blocks of `block` metres (lowest, highest), cut into `strips` (lowest, highest) and 1 to `cuts`."""
    rng = stream.scalars(purpose)
    angle, width, height = rng.uniform(0, np.pi), *rng.uniform(*block, size=2)
    rows, columns = stream.axes()
    bend = [stream.field(f"{purpose} {axis}", (2400, 700), (1.0, 0.25)) * np.float32(warp) for axis in "uv"]
    x, y = columns.astype(np.float32)[None, :], rows.astype(np.float32)[:, None]
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u = (x * cosine + y * sine + bend[0]) / np.float32(width)
    v = (y * cosine - x * sine + bend[1]) / np.float32(height)
    key = key_of(stream.key, purpose)
    column = np.floor(u)
    fu, column = u - column, column.astype(np.intp)
    left = column.min()
    columns = np.arange(left, column.max() + 1)
    column -= left
    v = v + uniform(hashed(key, columns)).take(column)
    row = np.floor(v)
    fv, row = v - row, row.astype(np.intp)
    top = row.min()
    rows = np.arange(top, row.max() + 1)
    # what a block is like is hashed once per block, and looked up
    block_bits = hashed(key + 1, columns[:, None], rows[None, :]).ravel()
    number = column * len(rows) + (row - top)
    bits = block_bits.take(number)
    lengthwise = (bits & np.uint32(1)).astype(bool)
    across, along = choose(lengthwise, fu, fv), choose(lengthwise, fv, fu)
    across_size, along_size = choose(lengthwise, width, height), choose(lengthwise, height, width)
    count, pieces = strips[0] + (block_bits >> 1) % (strips[1] - strips[0] + 1), 1 + (block_bits >> 9) % cuts
    count, pieces = (values.astype(np.float32).take(number) for values in (count, pieces))
    # uneven strips: a monotone bend of the coordinate, different in each block
    unevenness = (((block_bits >> 13) & 7).astype(np.float32) - 3.5) * np.float32(0.12)
    unevenness = unevenness.take(number)
    position = (across + unevenness * across * (1 - across)) * count
    strip = np.floor(position)
    piece_position = (along + uniform(mix(bits + strip.astype(np.uint32))) * np.float32(0.5) * along * (1 - along)) * (
        pieces
    )
    piece = np.floor(piece_position)
    identity = mix(bits ^ (strip.astype(np.uint32) * np.uint32(0x85EBCA6B)) ^ (piece.astype(np.uint32) << np.uint32(7)))
    side = np.minimum(position - strip, 1 - position + strip) * across_size / count
    end = np.minimum(piece_position - piece, 1 - piece_position + piece) * along_size / pieces
    block_side = np.minimum(np.minimum(fu, 1 - fu) * np.float32(width), np.minimum(fv, 1 - fv) * np.float32(height))
    return Parcels(identity, np.minimum(side, end), block_side, across * across_size)
