"""Errors of a whole run: every modality of every tile against its truth, as numbers, rows and lines.

Truth is cropped about its centre to the prediction, without resampling. Units: Sentinel-2 DN / 10000 on both sides,
Sentinel-1 10 log10(max(p, 1e-12)) clipped to [-50, 10] dB, metres, class indices. Zeros and nodata are pixels like
others, as published.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.regression import Pooled, image_errors
from copgen_jax.evaluation.metrics.segmentation import Confusion, class_indices, hard_confusion, unknown_codes
from copgen_jax.evaluation.metrics.stacked import centre_crop
from copgen_jax.modalities import CLOUD_CLASSES, LULC_CLASSES

CODES = {"LULC": tuple(LULC_CLASSES), "cloud_mask": tuple(CLOUD_CLASSES)}
"""Class codes in index order, by modality."""

_LEAST_POWER, _DECIBELS = 1e-12, (-50.0, 10.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
    """What a modality of some tiles scored: sums of errors or counts of classes, and what was odd."""

    sums: Pooled | Confusion
    faults: tuple[str, ...] = ()

    def __add__(self, other: "Scored") -> "Scored":
        return Scored(sums=_added(self.sums, other.sums), faults=(*self.faults, *other.faults))

    def scores(self) -> dict[str, Any]:
        """As `Pooled.scores` or `Confusion.scores`."""
        return dict(self.sums.scores())


def _added(some: Any, more: Any) -> Any:
    if type(some) is not type(more):
        raise InputError("errors of classes and of continuous values do not add up")
    return some + more


def physical(modality: str, raster: np.ndarray) -> np.ndarray:
    """A published raster of continuous values in the units it is scored in, float32."""
    raster = np.asarray(raster, np.float32)
    if modality.startswith("S2"):
        return raster / np.float32(10_000)
    if modality == "S1RTC":
        return np.clip(10 * np.log10(np.maximum(raster, _LEAST_POWER)), *_DECIBELS).astype(np.float32)
    return raster


def score_tile(
    tile: str, modality: str, prediction: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]
) -> Scored:
    """Errors of one modality of one tile, rasters [h, w] by band; truth may be larger.

    A band in one of the two only is stated in `faults` and not scored.

    Raises:
        InputError: no band in common, or a truth smaller than the prediction.
    """
    common = [band for band in prediction if band in truth]
    if not common:
        raise InputError(
            f"{tile} {modality}: bands {', '.join(prediction)} are generated, {', '.join(truth)} true; none is in both"
        )
    apart = sorted(set(prediction) ^ set(truth))
    faults = [f"{tile} {modality} {band}: only in one of prediction and truth, not scored" for band in apart]
    errors: list[Pooled | Confusion] = []
    for band in common:
        ours, true = prediction[band], centre_crop(truth[band], *prediction[band].shape)
        if modality in CODES:
            codes = CODES[modality]
            odd = unknown_codes(ours, codes) + unknown_codes(true, codes)
            if odd:
                faults.append(f"{tile} {modality}: {odd} pixels with unknown codes count as class 0")
            one = hard_confusion(class_indices(ours, codes), class_indices(true, codes), len(codes))
        else:
            one = image_errors(physical(modality, ours)[None, None], physical(modality, true)[None, None], [band])
            faults += [f"{tile} {modality} {fault}" for fault in one.faults]
        errors.append(one)
    return Scored(sums=functools.reduce(_added, errors), faults=tuple(faults))


def published_tile_id(modality: str, tile: str) -> str:
    """The tile's name in the original's per-tile rows: for land cover only the column, so that rows merge."""
    return tile.split("_")[1] if modality == "LULC" else tile


def per_tile_rows(scored: Iterable[tuple[str, str, Scored]], *, published: bool = False) -> list[dict[str, Any]]:
    """One row per tile and modality, metrics flat, from (tile, modality, errors).

    Args:
        scored: errors by tile.
        published: name land-cover tiles as the original does and merge those that coincide.
    """
    merged: dict[tuple[str, str], Scored] = {}
    for tile, modality, one in scored:
        key = (published_tile_id(modality, tile) if published else tile, modality)
        merged[key] = merged[key] + one if key in merged else one
    return [{"tile_id": tile, "modality": modality, **flat(one.scores())} for (tile, modality), one in merged.items()]


def flat(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores with per-band ones as "band:<name>:<metric>" columns."""
    out = {name: value for name, value in scores.items() if name != "per_band"}
    for band, metrics in scores.get("per_band", {}).items():
        out |= {f"band:{band}:{metric}": value for metric, value in metrics.items()}
    return out


def report_lines(summary: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The original's text report: a line per modality, four decimals (two for a band's psnr), bands sorted."""
    lines = ["Evaluation metrics for generated modalities"]
    for modality, scores in summary.items():
        words = [f"{name}={_formatted(value)}" for name, value in scores.items() if name != "per_band"]
        for band, metrics in sorted(scores.get("per_band", {}).items()):
            words += [f"band:{band}:{m}={v:.{2 if m == 'psnr' else 4}f}" for m, v in metrics.items()]
        lines.append(f"[{modality}] {' '.join(words)}")
    return lines


def _formatted(value: float | Sequence[float]) -> str:
    return str(list(value)) if isinstance(value, Sequence) else f"{value:.4f}"
