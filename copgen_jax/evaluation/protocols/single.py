"""Single samples against the one truth at hand: best of n, leave-one-out, band infilling, place.

Per cell and seed the sums are stored from which every published table is made: errors of images, counts of classes,
kilometres. One run serves every target that was not given.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics import runs
from copgen_jax.evaluation.metrics.places_dates import great_circle_km, place_scores
from copgen_jax.evaluation.metrics.regression import Pooled, Sums
from copgen_jax.evaluation.metrics.segmentation import Confusion
from copgen_jax.evaluation.protocols.protocol import Scored, Settings
from copgen_jax.evaluation.protocols.sheets import sheet
from copgen_jax.evaluation.scenes import Scene, Values
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.units import REFLECTANCE_SCALE

MODALITIES = ("location", "DEM", "LULC", "S1RTC", "S2L1C", "S2L2A")
"""Those of the published tables; each is a target."""
ALWAYS = ("cloud_mask",)
"""Given in every run of leave-one-out, and counted as no condition."""
PEAK_SEEDS = tuple(range(20, 40))
LEAVE_ONE_OUT_SEEDS = (12, 23, 34, 45, 56, 67, 78, 89)
LOCATION_SEEDS = tuple(range(101, 2526, 101))


def peak_experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """Everything but the target given, and everything but both Sentinel-2 levels."""
    del synthetic
    known = [m for m in MODALITIES if m in modalities.products]
    sets: list[tuple[str, ...]] = [(target,) for target in known]
    if {"S2L1C", "S2L2A"} <= set(known):
        sets.append(("S2L1C", "S2L2A"))
    return tuple(
        Experiment(
            name=f"without-{'-'.join(missing)}",
            given=tuple(p for p in modalities.products if p not in missing),
            want=missing,
            pool=PEAK_SEEDS,
            count=len(PEAK_SEEDS),
            label=f"all but {' and '.join(missing)}",
        )
        for missing in sets
    )


def leave_one_out_experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """All pairs: without A and B, each is the target of a run in which the other was left out."""
    del synthetic
    known = [m for m in MODALITIES if m in modalities.products]
    always = [p for p in ALWAYS if p in modalities.products]
    return tuple(
        Experiment(
            name=f"without-{one}-{other}",
            given=(*(m for m in known if m not in (one, other)), *always),
            want=(one, other),
            pool=LEAVE_ONE_OUT_SEEDS,
            count=len(LEAVE_ONE_OUT_SEEDS),
            label=f"all but {one} and {other}",
        )
        for one, other in combinations(known, 2)
    )


def infilling_experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """Some resolutions of a Sentinel-2 product given, the others wanted: every such split."""
    del synthetic
    found = []
    for product in ("S2L2A", "S2L1C"):
        groups = [m.name for m in modalities if m.product == product]
        for size in range(1, len(groups)):
            for given in combinations(groups, size):
                found.append(
                    Experiment(
                        name="from-" + "-".join(given),
                        given=given,
                        want=tuple(name for name in groups if name not in given),
                        pool=LEAVE_ONE_OUT_SEEDS,
                        count=len(LEAVE_ONE_OUT_SEEDS),
                        label=" + ".join(given),
                    )
                )
    return tuple(found)


def location_experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """The published figure: where could this terrain and land cover, on this date, be?"""
    del synthetic
    given = [p for p in ("DEM", "LULC", "cloud_mask", "timestamp") if p in modalities.products]
    if "location" not in modalities.products:
        return ()
    return (
        Experiment(
            name="place",
            given=tuple(given),
            want=("location",),
            pool=LOCATION_SEEDS,
            count=len(LOCATION_SEEDS),
            label=" + ".join(given),
        ),
    )


def score(scene: Scene, experiment: Experiment, samples: Sequence[Sample], settings: Settings) -> Scored:
    """{"rows": a row per seed and target with its sums}; targets of one side only are stated and not scored."""
    del settings
    truth, rows, problems = scene.truths[0], [], []
    for sample in samples:
        for target, names in targets_of(experiment, sample.values).items():
            lacking = [name for name in names if name not in truth or name not in sample.values]
            if lacking:
                side = "the data" if lacking[0] not in truth else "the sample"
                problems.append(f"{target}: {side} lacks {', '.join(lacking)}, not scored")
                names = tuple(name for name in names if name not in lacking)
            if not names:
                continue
            try:
                sums, faults = _sums(scene.name, target, names, sample.values, truth)
            except InputError as error:
                problems.append(f"{target}: not scored: {error}")
                continue
            problems += faults
            rows.append({"seed": sample.seed, "target": target, "sums": sums})
    wanted = experiment.want[0] if experiment.want else "S2L2A"
    shown = {"S2L1C": "S2L1C_10m", "S2L2A": "S2L2A_10m"}.get(wanted, wanted)
    picture = sheet(scene, samples, shown) if shown in COPGEN and COPGEN[shown].is_image else b""
    return Scored(data={"rows": rows} if rows else {}, problems=tuple(problems), picture=picture)


def targets_of(experiment: Experiment, values: Values) -> dict[str, tuple[str, ...]]:
    """Wanted products, or single modalities where some of a product were given: {target: modality names}."""
    found: dict[str, tuple[str, ...]] = {}
    for word in experiment.want:
        if word in COPGEN.names and word not in COPGEN.products:
            found[word] = (word,)
        else:
            found[word] = tuple(m.name for m in COPGEN.of_product(word))
    del values
    return found


def _sums(cell: str, target: str, names: Sequence[str], ours: Values, true: Values) -> tuple[dict, tuple[str, ...]]:
    if target == "location":
        place, truth = np.asarray(ours["location"]), np.asarray(true["location"])
        return {"km": [float(great_circle_km(place, truth))], "places": [place.tolist()], "truth": truth.tolist()}, ()
    total: runs.Scored | None = None
    for name in names:
        one = runs.score_tile(cell, COPGEN[name].product, _bands(name, ours), _bands(name, true))
        total = one if total is None else total + one
    assert total is not None
    return sums_to_data(total.sums), total.faults


def _bands(name: str, values: Values) -> dict[str, np.ndarray]:
    """Bands by name in the units that `runs` takes: Sentinel-2 as DN without offset."""
    modality = COPGEN[name]
    scale = REFLECTANCE_SCALE if modality.encoding == "reflectance" else 1.0
    image = np.asarray(values[name])
    if len(image) != len(modality.bands):
        raise InputError(f"{name} has {len(image)} bands; expected {' '.join(modality.bands)}")
    known = [(band, plane) for band, plane in zip(modality.bands, image, strict=True) if not _all_missing(plane)]
    return {band: plane * scale if scale != 1.0 else plane for band, plane in known}


def _all_missing(plane: np.ndarray) -> bool:
    """A band that its source does not have."""
    return plane.dtype.kind == "f" and bool(np.isnan(plane).all())


def sums_to_data(sums: Pooled | Confusion) -> dict[str, Any]:
    """Sums as plain data."""
    if isinstance(sums, Confusion):
        return {"matrix": sums.matrix.tolist()}
    bands = {band: dataclasses.asdict(one) for band, one in sums.bands.items()}
    return {"total": dataclasses.asdict(sums.total), "bands": bands}


def sums_from_data(data: Mapping[str, Any]) -> Pooled | Confusion:
    """The inverse."""
    if "matrix" in data:
        return Confusion(matrix=np.asarray(data["matrix"], np.int64), k=1)
    return Pooled(total=Sums(**data["total"]), bands={band: Sums(**one) for band, one in data["bands"].items()})


def scores_of(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores of some rows' sums together, flat: those of a run over its tiles, or of one tile."""
    if "km" in parts[0]:
        return dict(place_scores(np.concatenate([part["km"] for part in parts])))
    total = sums_from_data(parts[0])
    for part in parts[1:]:
        total = total + sums_from_data(part)  # pyright: ignore[reportOperatorIssue]
    return runs.flat(dict(total.scores()))
