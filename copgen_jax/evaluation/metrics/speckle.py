"""Is generated radar as grainy as radar? Statistics of Sentinel-1 backscatter in linear power.

Averaging L independent looks of a homogeneous surface gives power with mean^2 / variance = L: the equivalent number of
looks. Decibels would need another formula, so these functions take linear power only.
"""

import dataclasses
import math

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.explanation import Explanation

BLOCK = 8
"""Side of the blocks that are taken as homogeneous, in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Looks:
    """Equivalent number of looks over the homogeneous blocks of an image."""

    median: float
    """NaN without blocks, infinite for constant ones."""
    blocks: int


def equivalent_looks(power: np.ndarray, land_cover: np.ndarray | None = None, *, block: int = BLOCK) -> Looks:
    """mean^2 / variance of linear power [..., H, W] in blocks of one land-cover class; the median over blocks.

    Blocks with a pixel that is not positive, or NaN, are left out. Fields and edges inside a block lower the value:
    compare generated with real images of the same land cover.

    Args:
        power: linear gamma0, not dB.
        land_cover: class map [H, W]; all blocks count without.
        block: side of a block in pixels.

    Raises:
        InputError: no value is positive or some look like decibels, or another grid.
    """
    power = np.asarray(power, np.float64)
    if land_cover is not None and land_cover.shape != power.shape[-2:]:
        raise InputError(f"land cover of {land_cover.shape} px for radar of {power.shape[-2:]} px")
    if not (power > 0).any() or np.mean(power < 0) > 0.01:
        raise InputError("backscatter has values below 0: the number of looks needs linear power, not dB")
    pieces = _blocks(power, block)
    whole = (pieces > 0).all(axis=-1)
    if land_cover is not None:
        classes = _blocks(land_cover, block)
        whole &= (classes == classes[..., :1]).all(axis=-1)
    chosen = pieces[whole]
    if not len(chosen):
        return Looks(median=math.nan, blocks=0)
    with np.errstate(divide="ignore"):
        looks = chosen.mean(axis=-1) ** 2 / chosen.var(axis=-1, ddof=1)
    return Looks(median=float(np.median(looks)), blocks=len(chosen))


def _blocks(image: np.ndarray, side: int) -> np.ndarray:
    """[..., H, W] -> [..., H // side, W // side, side^2]; what does not fill a block is left out."""
    rows, columns = (size // side for size in image.shape[-2:])
    cut = image[..., : rows * side, : columns * side]
    split = cut.reshape(*image.shape[:-2], rows, side, columns, side).swapaxes(-3, -2)
    return split.reshape(*image.shape[:-2], rows, columns, side * side)


def polarisation_ratio_db(vv: np.ndarray, vh: np.ndarray) -> float:
    """Mean VV over mean VH, both linear power, in dB; NaN if a mean is not positive."""
    one, other = float(np.mean(vv)), float(np.mean(vh))
    return 10 * math.log10(one / other) if one > 0 and other > 0 else math.nan


EXPLANATIONS = (
    Explanation(
        name="equivalent_looks",
        title="Equivalent number of looks",
        question="physical",
        better="ideal",
        measures="Mean squared over variance of radar power in small blocks of one land-cover class: how much "
        "speckle there is.",
        ideal="The value of real images of the same land cover; about 4 to 5 for untextured Sentinel-1 at 10 m. "
        "Higher is too smooth, lower too grainy.",
        misleads="Texture of the ground lowers it like speckle does, and neighbouring pixels are correlated; a "
        "model that copies the speckle of its input scores perfectly.",
    ),
    Explanation(
        name="polarisation_ratio",
        title="VV over VH",
        question="physical",
        better="ideal",
        unit="dB",
        measures="Ratio of co- to cross-polarised mean power.",
        ideal="The value of real images: 5 to 8 dB over vegetation, above 10 over bare ground and water.",
        misleads="Exchanged channels show as a negative value, anything subtler needs it per class.",
    ),
)
