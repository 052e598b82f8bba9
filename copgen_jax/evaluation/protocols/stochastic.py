"""The stochastic benchmark: does the set of samples of a place look like the set of its acquisitions?

Published: 16 of 33 seeds per cell, DEM and land cover given (and the cloud mask), twelve Level-2A bands in the middle
of the cell. Beyond it: calibration at spaced pixels, bias, indices per class, texture and consistency.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics import physics
from copgen_jax.evaluation.metrics.calibration import ALL, calibrate_cell
from copgen_jax.evaluation.metrics.distribution import L2A_BANDS, pool_spectra, precision_recall
from copgen_jax.evaluation.metrics.power_spectrum import radial_spectrum, smoothing
from copgen_jax.evaluation.metrics.speckle import equivalent_looks
from copgen_jax.evaluation.metrics.stochastic import score_cell
from copgen_jax.evaluation.protocols.complete import complete
from copgen_jax.evaluation.protocols.protocol import Scored, Settings
from copgen_jax.evaluation.protocols.sheets import sheet
from copgen_jax.evaluation.scenes import Scene, Values, enlarge, l2a_stack
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import COPGEN, ModalitySet

CALIBRATED_SIDE = 24
"""Calibration looks at every so-manieth pixel, about this many a side: neighbours say the same."""
RANKED_PER_SIDE = 3
CLEAR = {"cloud_mask": 0}
DIFFERS = (
    "The conditions of the published benchmark are not stated; these are those of the scripts beside it. Calibration "
    "and everything physical are added.",
    "Coarser bands are repeated to the 10 m grid; how the published data set did it is not known.",
)
ON_WORLD = (
    "The place is given too, because the world's exact draws are those given DEM, land cover and place; acquisitions "
    "are its draws with a clear sky.",
)
VISIBLE = ("B02", "B04", "B08")
CIRRUS_BAND = COPGEN["S2L1C_60m"].bands.index("B10")


def experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """One, under a clear sky. The world's exact draws know DEM, land cover and place; published runs lack the place."""
    given = ("DEM", "LULC", *(("location",) if synthetic else ()), "cloud_mask")
    extra = [p for p in ("S2L1C", "S1RTC") if p in modalities.products]
    return (
        Experiment(
            name="-".join(given),
            given=given,
            want=("S2L2A", *extra),
            pool=tuple(range(33)),
            count=16,
            by_cell=True,
            constant=CLEAR,
            label=" + ".join([*given[:-1], "a clear sky"]),
        ),
    )


def score(scene: Scene, experiment: Experiment, samples: Sequence[Sample], settings: Settings) -> Scored:
    """Columns of the benchmark (`model_...`, `real_...`), sums of calibration, physical checks."""
    real = np.stack([l2a_stack(truth) for truth in scene.truths])
    samples, members, left_out = complete(samples)
    cell = score_cell(scene.name, real, {"model": members}, deep=settings.deep)
    picture = sheet(scene, samples)
    if cell.record is None:
        return Scored(data={}, problems=(*left_out, *cell.problems), picture=picture)
    calibration, problems = _calibration(scene, real, members)
    data: dict[str, Any] = {
        "record": cell.record | _ratio(cell.record) | _centred(real, members),
        "calibration": calibration,
        "physics": _physics(scene, samples),
    }
    return Scored(data=data, problems=(*left_out, *cell.problems, *problems), picture=picture)


def _ratio(record: dict[str, float]) -> dict[str, float]:
    """Width of the model's set over that of the real one."""
    real, ours = record["real_spec_intra_set_dist"], record.get("model_spec_intra_set_dist", math.nan)
    return {"intra_set_ratio": ours / real if real > 0 else math.nan}


def _centred(real: np.ndarray, members: np.ndarray) -> dict[str, float]:
    """Recall of the sets about their own means: width without place, which a bias would hide."""
    sets = [pool_spectra(images) for images in (real, members)]
    _, recall = precision_recall(*(vectors - vectors.mean(axis=0) for vectors in sets))
    return {"model_spec_recall_centred": recall}


def _calibration(scene: Scene, real: np.ndarray, members: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """Sums over pixels by band and class, and ranks; nothing, with the reason, where that cannot be."""
    step = max(1, real.shape[-1] // CALIBRATED_SIDE)
    truths, ours = (images[:, :, ::step, ::step].astype(np.float64) for images in (real, members))
    if len(members) < 2:
        return {}, ["one sample only: it has no spread, so calibration is left out"]
    if np.isnan(ours).any() or np.isnan(truths).any():
        return {}, ["NaN pixels: calibration is left out"]
    classes = scene.land_cover
    if classes is not None:
        classes = enlarge(classes, real.shape[-1])[::step, ::step]
    rng = np.random.default_rng([ord(letter) for letter in scene.name])
    found = calibrate_cell(ours, truths, L2A_BANDS, rng, classes=classes, per_side=RANKED_PER_SIDE)
    parts = [
        {
            "band": band,
            "class": code,
            "crps": sums.crps,
            "ideal": sums.ideal,
            "bias": sums.bias,
            "variance": sums.spread_skill.variance,
            "inflated": sums.spread_skill.inflated,
            "square_error": sums.spread_skill.square_error,
            "pixels": sums.pixels,
        }
        for (band, code), sums in found.scores.items()
        if code == ALL or band in VISIBLE
    ]
    counts = {band: np.bincount(ranks.ravel(), minlength=len(members) + 1) for band, ranks in found.ranks.items()}
    return {"parts": parts, "ranks": counts, "energy": found.energy, "energy_ideal": found.energy_ideal}, []


def _physics(scene: Scene, samples: Sequence[Sample]) -> dict[str, Any]:
    """Each number of the model beside that of the real acquisitions, {name: [model, real]}."""
    model, real = [s.values for s in samples], list(scene.truths)
    found: dict[str, Any] = {}
    classes = scene.land_cover
    if classes is not None:
        for name, index in (("ndvi", _ndvi), ("ndwi", _ndwi)):
            ours, theirs = (physics.by_class(_each(index, sets), classes) for sets in (model, real))
            found |= {f"{name} {code}": [ours[code].mean, theirs[code].mean, theirs[code].pixels] for code in theirs}
        pair = [_path_radiance(sets, classes) for sets in (model, real)]
        found |= {"path radiance negative": [p.negative for p in pair], "path radiance": [p.median for p in pair]}
    pair = [_clear_sky(sets) for sets in (model, real)]
    found |= {"cirrus when clear": [p.bright for p in pair], "B10 when clear": [p.median for p in pair]}
    spectra = [radial_spectrum(_each(_near_infrared, sets), 10.0) for sets in (model, real)]
    detail = smoothing(*spectra)
    found |= {"fine power": [detail.fine, 1.0], "resolved": [detail.resolved, 20.0]}
    if all("S1RTC" in values for values in (*model, *real)):
        found["looks"] = [
            equivalent_looks(np.stack([v["S1RTC"][0] for v in sets]), classes).median for sets in (model, real)
        ]
    return found


def _each(index, sets: Sequence[Values]) -> np.ndarray:
    return np.stack([index(values["S2L2A_10m"]) for values in sets])


def _ndvi(image: np.ndarray) -> np.ndarray:
    return physics.ndvi(image[0], image[3])


def _ndwi(image: np.ndarray) -> np.ndarray:
    return physics.ndwi(image[1], image[3])


def _near_infrared(image: np.ndarray) -> np.ndarray:
    return image[3]


def _path_radiance(sets: Sequence[Values], classes: np.ndarray) -> physics.Consistency:
    """Blue at the two levels over clear dark land of each image, pooled."""
    above, below = [], []
    for values in sets:
        if "S2L1C_10m" not in values:
            continue
        clouds = values["cloud_mask"][0] if "cloud_mask" in values else None
        where = physics.clear_dark_land(values["S2L2A_10m"][0], classes, clouds)
        above.append(values["S2L1C_10m"][2][where])
        below.append(values["S2L2A_10m"][2][where])
    flat = [np.concatenate(parts) if parts else np.zeros(0) for parts in (above, below)]
    return physics.path_radiance(*flat, where=np.ones(len(flat[0]), bool))


def _clear_sky(sets: Sequence[Values]) -> physics.ClearSky:
    """B10 over the clear pixels of each image, pooled; all pixels of an image without cloud mask: clear was given."""
    found = []
    for values in sets:
        if "S2L1C_60m" not in values:
            continue
        b10 = values["S2L1C_60m"][CIRRUS_BAND]
        clear = np.ones(b10.shape, bool)
        if "cloud_mask" in values:
            clear = physics.wholly(values["cloud_mask"][0] == physics.CLEAR, b10.shape, "cloud mask on the grid of B10")
        found.append(b10[clear])
    return physics.cirrus_when_clear(np.concatenate(found) if found else np.zeros(0))
