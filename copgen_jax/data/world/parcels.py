"""Fields and blocks: the ground divided into rotated rectangles, those into strips.

A parcel has an id, from which its properties are hashed, so that any number of pixels share them without a list of
parcels. Rotated and slightly warped coordinates (u, v) are divided into blocks whose rows are shifted like bricks; each
block is cut into strips along one of its sides, and each strip across.
"""

import dataclasses

import numpy as np

from copgen_jax.data.world.noise import Stream, hashed, key_of, mix, uniform


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
    v = v + uniform(hashed(key, column))
    row = np.floor(v)
    bits = hashed(key + 1, column, row)
    fu, fv = u - column, v - row
    lengthwise = (bits & np.uint32(1)).astype(bool)
    across, along = np.where(lengthwise, fu, fv), np.where(lengthwise, fv, fu)
    across_size = np.where(lengthwise, np.float32(width), np.float32(height))
    along_size = np.where(lengthwise, np.float32(height), np.float32(width))
    count = (np.uint32(strips[0]) + (bits >> np.uint32(1)) % np.uint32(strips[1] - strips[0] + 1)).astype(np.float32)
    pieces = (1 + (bits >> np.uint32(9)) % np.uint32(cuts)).astype(np.float32)
    # uneven strips: a monotone bend of the coordinate, different in each block
    unevenness = (((bits >> np.uint32(13)) & np.uint32(7)).astype(np.float32) - 3.5) * np.float32(0.12)
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
