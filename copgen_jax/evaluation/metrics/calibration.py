"""Calibration of a model's members at one cell, per band and land-cover class; sums that add up over cells.

Members [n, C, H, W] face k verifying truths [k, C, H, W] (one, or every acquisition of the place). All truths see the
same members, so scores are averaged over truths first and a pixel counts once.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.distribution import intra_set
from copgen_jax.evaluation.metrics.ensemble import SpreadSkill, energy_score, fair_crps, ideal_crps
from copgen_jax.evaluation.metrics.ranks import ranks, spaced_pixels

ALL = -1
"""Stands for all classes together."""

Part = tuple[str, int]
"""A band and a land-cover code, or `ALL`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Sums over pixels of one band and class; those of several cells add up."""

    crps: float = 0.0
    ideal: float = 0.0
    """Fair score of fresh draws of the truth; NaN where there was one truth only."""
    bias: float = 0.0
    """Mean member less mean truth."""
    spread_skill: SpreadSkill = dataclasses.field(default_factory=SpreadSkill)
    pixels: int = 0
    ignored: int = 0
    """Pixels with NaN in a member or a truth: in no sum."""

    def __add__(self, other: "Scores") -> "Scores":
        return Scores(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)})

    def means(self) -> dict[str, float]:
        """fair_crps, fair_crps_ideal, bias, spread, error, spread_skill; NaN without pixels."""
        if not self.pixels:
            names = ("fair_crps", "fair_crps_ideal", "bias", "spread", "error", "spread_skill")
            return dict.fromkeys(names, math.nan)
        return {
            "fair_crps": self.crps / self.pixels,
            "fair_crps_ideal": self.ideal / self.pixels,
            "bias": self.bias / self.pixels,
            "spread": self.spread_skill.spread,
            "error": self.spread_skill.error,
            "spread_skill": self.spread_skill.ratio,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellCalibration:
    """What one cell says about calibration."""

    scores: Mapping[Part, Scores]
    ranks: Mapping[str, np.ndarray]
    """Ranks of the truths at a few distant pixels, by band: input of `ranks.rank_histogram`."""
    energy: float
    """Mean fair energy score of the spectra of those pixels, over pixels and truths."""
    energy_ideal: float
    """The same of fresh draws of the truth; NaN for one truth."""


def calibrate_cell(
    members: np.ndarray,
    truths: np.ndarray,
    bands: Sequence[str],
    rng: np.random.Generator,
    *,
    classes: np.ndarray | None = None,
    per_side: int = 3,
) -> CellCalibration:
    """Scores of one cell.

    Args:
        members: [n, C, H, W], n at least 2.
        truths: [k, C, H, W].
        bands: C names.
        rng: places the pixels to rank and breaks ties.
        classes: land-cover codes [H, W] on the same grid; without, only `ALL`.
        per_side: ranked pixels along a side.

    Raises:
        InputError: shapes do not match, one member only, no truth, or NaN at a pixel to rank.
    """
    _check(members, truths, bands, classes)
    maps = _maps(members, truths)
    masks = {ALL: np.ones(members.shape[2:], bool)}
    masks |= {int(code): classes == code for code in ([] if classes is None else np.unique(classes))}
    scores = {
        (band, code): _sums({name: values[c][mask] for name, values in maps.items()}, len(members))
        for code, mask in masks.items()
        for c, band in enumerate(bands)
    }
    rows, columns = spaced_pixels(members.shape[2], members.shape[3], per_side, rng)
    ours, true = members[:, :, rows, columns], truths[:, :, rows, columns]
    pixels = range(len(rows))
    energy = np.mean([energy_score(ours[..., p], truth[:, p]) for p in pixels for truth in true])
    return CellCalibration(
        scores=scores,
        ranks={band: np.stack([ranks(ours[:, c], truth[c], rng) for truth in true]) for c, band in enumerate(bands)},
        energy=float(energy),
        energy_ideal=float(np.mean([intra_set(true[..., p]) / 2 for p in pixels])),
    )


def _maps(members: np.ndarray, truths: np.ndarray) -> dict[str, np.ndarray]:
    """Scores [C, H, W] of every pixel, averaged over truths."""
    mean = members.mean(axis=0, dtype=np.float64)
    return {
        "crps": np.mean([fair_crps(members, truth) for truth in truths], axis=0),
        "ideal": ideal_crps(truths),
        "bias": mean - truths.mean(axis=0, dtype=np.float64),
        "variance": members.var(axis=0, ddof=1, dtype=np.float64),
        "square_error": np.mean([(mean - truth) ** 2 for truth in truths], axis=0),
    }


def _sums(values: Mapping[str, np.ndarray], members: int) -> Scores:
    known = ~np.isnan(values["crps"])
    total = {name: float(array[known].sum()) for name, array in values.items()}
    pixels, ignored = int(known.sum()), int((~known).sum())
    return Scores(
        crps=total["crps"],
        ideal=total["ideal"],
        bias=total["bias"],
        spread_skill=SpreadSkill(
            variance=total["variance"],
            inflated=total["variance"] * (1 + 1 / members),
            square_error=total["square_error"],
            pixels=pixels,
            ignored=ignored,
        ),
        pixels=pixels,
        ignored=ignored,
    )


def _check(members: np.ndarray, truths: np.ndarray, bands: Sequence[str], classes: np.ndarray | None) -> None:
    if members.ndim != 4 or members.shape[1:] != truths.shape[1:] or len(bands) != members.shape[1]:
        raise InputError(
            f"members {members.shape} and truths {truths.shape} do not match {len(bands)} bands; "
            f"expected [samples, bands, height, width] of one grid"
        )
    if len(members) < 2 or not len(truths):
        raise InputError(f"calibration needs at least 2 members and a truth, got {len(members)} and {len(truths)}")
    if classes is not None and classes.shape != members.shape[2:]:
        raise InputError(f"classes of {classes.shape} px for images of {members.shape[2:]} px; bring them to one grid")
