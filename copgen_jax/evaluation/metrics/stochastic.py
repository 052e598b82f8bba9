"""The stochastic benchmark of one cell, and its summary over cells.

A record is a flat dict {column: number}: `real_...` for the acquisitions themselves, `<model>_...` for each model
against them. NaN is a number that could not be had; `problems` says why.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics import distribution as d
from copgen_jax.evaluation.metrics.embeddings import DeepFeatures, intra_set_pairs, lpips_input, resnet_input, rgb
from copgen_jax.evaluation.metrics.footprint import is_valid

Record = dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """The scores of one cell, and what was wrong with it."""

    name: str
    record: Record | None
    """None if the cell drops out: fewer than two real acquisitions left."""
    problems: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """One column over cells."""

    mean: float
    std: float
    """Sample standard deviation (n - 1)."""
    cells: int
    """Cells with a value; the mean is over these."""
    missing: int
    """Cells that have no value in this column."""


def score_cell(
    name: str, real: np.ndarray, models: Mapping[str, np.ndarray], *, deep: DeepFeatures | None = None
) -> Cell:
    """Scores of each model's images [m, 12, H, W] against the real ones [n, 12, H, W], in reflectance.

    Real acquisitions with under 95 % non-zero B02 pixels are dropped, generated images never. A model with fewer
    than two images gets its count only.

    Raises:
        InputError: bands or pixels of a model differ from the real ones.
    """
    deep = deep or DeepFeatures()
    _check(name, real, models)
    valid = is_valid(real)
    problems = [] if valid.all() else [f"{int((~valid).sum())} of {len(real)} acquisitions dropped: under 95 % B02"]
    real = real[valid]
    if len(real) < 2:
        return Cell(name=name, record=None, problems=(*problems, f"acquisitions left: {len(real)}; two are needed"))
    problems += faults("real", real)
    vectors = _vectors(real, deep)
    record: Record = {"real_n": len(real)}
    record |= _own("real", real, vectors, deep)
    for model, images in models.items():
        record[f"{model}_n"] = len(images)
        if len(images) < 2:
            problems.append(f"{model}: {len(images)} images, two are needed; only the count is reported")
            continue
        problems += faults(model, images)
        own = _vectors(images, deep)
        record |= _own(model, images, own, deep)
        for kind in own:
            record |= _between(f"{model}_{kind}", vectors[kind], own[kind])
        record |= {f"{model}_{k}": v for k, v in spectral_distances(vectors["spec"], own["spec"]).items()}
    return Cell(name=name, record=record, problems=tuple(problems))


def spectral_distances(real: np.ndarray, fake: np.ndarray) -> Record:
    """MMD, Wasserstein and coverage of mean spectra [n, 12], [m, 12]; means skip no NaN but coverage's."""
    moved, covered = d.wasserstein(real, fake), d.coverage(real, fake)
    record = {"mmd": d.mmd2(real, fake), "wasserstein_mean": float(moved.mean())}
    record |= {f"wasserstein_{b.lower()}": float(moved[d.L2A_BANDS.index(b)]) for b in ("B04", "B08")}
    return record | {"coverage_mean": _mean_of_known(covered)}


def faults(who: str, images: np.ndarray) -> list[str]:
    """Sentences about images that scores would hide: NaN pixels, constant images, duplicated images."""
    found = []
    broken = np.isnan(images).any(axis=(1, 2, 3))
    flat = (images.max(axis=(2, 3)) == images.min(axis=(2, 3))).all(axis=1)
    copies = len(images) - len({image.tobytes() for image in np.ascontiguousarray(images)})
    if broken.any():
        found.append(f"{who}: {int(broken.sum())} of {len(images)} images have NaN pixels; scores with them are NaN")
    if flat.any():
        found.append(f"{who}: {int(flat.sum())} of {len(images)} images are constant in every band")
    if copies:
        found.append(f"{who}: {copies} of {len(images)} images are exact copies of another")
    return found


def summarise(records: Sequence[Mapping[str, float]]) -> dict[str, Summary]:
    """Every column over cells: plain mean and sample standard deviation of the values that are not NaN, and counts."""
    columns = dict.fromkeys(column for record in records for column in record)
    out = {}
    for column in columns:
        values = np.array([record.get(column, np.nan) for record in records], np.float64)
        known = values[~np.isnan(values)]
        out[column] = Summary(
            mean=float(known.mean()) if len(known) else math.nan,
            std=float(known.std(ddof=1)) if len(known) > 1 else math.nan,
            cells=len(known),
            missing=len(values) - len(known),
        )
    return out


def _check(name: str, real: np.ndarray, models: Mapping[str, np.ndarray]) -> None:
    for who, images in (("real", real), *models.items()):
        if images.ndim != 4 or images.shape[1] != len(d.L2A_BANDS):
            raise InputError(
                f"cell {name}, {who}: images of shape {images.shape}; expected [images, {len(d.L2A_BANDS)} bands "
                f"({' '.join(d.L2A_BANDS)}), height, width]"
            )
        if images.shape[2:] != real.shape[2:]:
            raise InputError(
                f"cell {name}: {who} has {images.shape[2]} x {images.shape[3]} px, the real images "
                f"{real.shape[2]} x {real.shape[3]}; all must show the same window"
            )


def _vectors(images: np.ndarray, deep: DeepFeatures) -> dict[str, np.ndarray]:
    vectors = {"spec": d.pool_spectra(images)}
    if deep.resnet is not None:
        vectors["rgb"] = np.asarray(deep.resnet(resnet_input(rgb(images))))
    return vectors


def _own(who: str, images: np.ndarray, vectors: Mapping[str, np.ndarray], deep: DeepFeatures) -> Record:
    record = {f"{who}_{kind}_intra_set_dist": d.intra_set(v) for kind, v in vectors.items()}
    if deep.lpips is not None:
        record[f"{who}_lpips_intra_set"] = intra_set_pairs(lpips_input(rgb(images)), deep.lpips)
    return record


def _between(prefix: str, real: np.ndarray, fake: np.ndarray) -> Record:
    precision, recall = d.precision_recall(real, fake)
    return {
        f"{prefix}_nn_accuracy": d.nn_accuracy(real, fake),
        f"{prefix}_precision": precision,
        f"{prefix}_recall": recall,
    }


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
