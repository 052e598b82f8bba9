"""Spectral profiles: reflectance by wavelength in the interior of each land-cover class, truth beside samples.

Published: one chosen seed per tile, and of each class the pixel at which the prediction agrees best with the truth: a
figure of best cases. Here the class's mean spectrum of every seed is shown, and the best pixel only as a number.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics import catalogue, physics, profiles
from copgen_jax.evaluation.metrics.distribution import L2A_BANDS
from copgen_jax.evaluation.protocols.choosing import problems_of, settings_of
from copgen_jax.evaluation.protocols.protocol import Outcome, Scored, Settings
from copgen_jax.evaluation.protocols.sheets import sheet
from copgen_jax.evaluation.report.content import Figure, Section, Table, counted
from copgen_jax.evaluation.report.drawing import Plot
from copgen_jax.evaluation.scenes import Scene, l2a_stack
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import LULC_CLASSES, ModalitySet

CHOSEN: Mapping[str, int] = {
    "143D_1481R": 111, "195D_669L": 34, "211D_500R": 78, "215U_1019L": 89, "248U_978R": 78, "256U_1125L": 67,
    "272D_1525R": 45,
}  # fmt: skip
"""Published tiles and the seed shown of each."""
SEEDS = (111, 34, 78, 89, 67, 45, 12, 23)
MOST_PIXELS = 1000
"""Pixels of a class among which the best is sought, drawn with seed 42 as published."""
LEAST_SHARE = 0.005
"""Share of the map below which a class is not shown."""


def experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """One set of conditions."""
    wish = ("DEM", "LULC", "location") if synthetic else ("DEM", "LULC", "cloud_mask")
    given = tuple(name for name in wish if name in modalities.products)
    label = " + ".join(given)
    return (Experiment(name="profiles", given=given, want=("S2L2A",), pool=SEEDS, count=len(SEEDS), label=label),)


def score(scene: Scene, experiment: Experiment, samples: Sequence[Sample], settings: Settings) -> Scored:
    """{"classes": {code: truth [12], seeds [n][12], angle, best, pixels}}."""
    del experiment, settings
    picture = sheet(scene, samples)
    classes = scene.land_cover
    if classes is None:
        return Scored(data={}, problems=("no land cover: profiles are by class",), picture=picture)
    truth = l2a_stack(scene.truths[0])
    images = [l2a_stack(sample.values) for sample in samples]
    found: dict[int, Any] = {}
    problems: list[str] = []
    for code in np.unique(classes):
        if code in (0, 10) or np.mean(classes == code) < LEAST_SHARE:
            continue
        mask = profiles.candidates(classes, int(code))
        if np.isnan(truth[:, mask]).any() or any(np.isnan(image[:, mask]).any() for image in images):
            problems.append(f"{LULC_CLASSES[int(code)]}: NaN pixels, no profile")
            continue
        mean = truth[:, mask].mean(axis=1)
        ours = np.stack([image[:, mask].mean(axis=1) for image in images])
        found[int(code)] = {
            "truth": mean,
            "seeds": ours,
            "angle": [float(physics.spectral_angle(mine, mean)) for mine in ours],
            "best": [_best(truth, image, mask) for image in images],
            "pixels": int(mask.sum()),
        }
    return Scored(data={"classes": found} if found else {}, problems=tuple(problems), picture=picture)


def summarise(outcome: Outcome) -> Section:
    """A profile per class and source, mean over cells, and a table of angles."""
    (experiment,) = outcome.experiments
    rows: list[list[str | float | int]] = []
    drawn: dict[int, dict[str, tuple[np.ndarray, np.ndarray]]] = defaultdict(dict)
    for source in outcome.sources:
        by_class: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for result in outcome.of(source, experiment):
            for code, values in result.data.get("classes", {}).items():
                by_class[int(code)].append(values)
        for code, cells in sorted(by_class.items()):
            truth = np.array([c["truth"] for c in cells])
            ours = np.concatenate([np.array(c["seeds"]) for c in cells])
            angles = np.concatenate([c["angle"] for c in cells])
            best = np.concatenate([c["best"] for c in cells])
            error = np.concatenate([np.abs(np.array(c["seeds"]) - np.array(c["truth"])).mean(axis=1) for c in cells])
            rows.append(
                [LULC_CLASSES[code], source, float(np.median(angles)), float(error.mean()), float(best.mean()),
                 len(ours), len(cells)]
            )  # fmt: skip
            drawn[code][source] = ours, truth
    known = catalogue.CATALOGUE["spectral_angle"]
    rows.sort(key=lambda row: str(row[0]))
    columns = ("land cover", "model", "angle °, median", "MAE of the mean", "MAE at the best pixel", "spectra", "cells")
    return Section(
        title=outcome.protocol.title,
        asks=outcome.protocol.asks,
        settings=settings_of(outcome),
        tables=[
            Table(
                name="spectra", title="Spectra by land cover", columns=columns, rows=rows,
                note="The best pixel is the one of at most 1000 where the sample agrees best with the truth, as the "
                "published figure shows: a best case, not a typical one.",
            )
        ],
        figures=[_figure(code, sources) for code, sources in sorted(drawn.items())],
        explanations=[(known.title, known.paragraph())],
        problems=problems_of(outcome),
    )  # fmt: skip


def _best(truth: np.ndarray, image: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute error at the pixel of closest agreement."""
    at = np.argwhere(mask)
    if len(at) > MOST_PIXELS:
        at = at[np.random.default_rng(42).choice(len(at), MOST_PIXELS, replace=False)]
    few = np.zeros_like(mask)
    few[at[:, 0], at[:, 1]] = True
    row, column = profiles.best_pixel(truth, image, few)
    return float(np.abs(truth[:, row, column] - image[:, row, column]).mean())


def _figure(code: int, sources: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    waves = [float(profiles.WAVELENGTHS[band]) for band in L2A_BANDS]
    every = np.concatenate([np.concatenate(pair) for pair in sources.values()])
    low, high = float(np.quantile(every, 0.01)), float(np.quantile(every, 0.99))
    plot = Plot((400, 2250), (min(0.0, low), high * 1.1), width=520, height=270, x_label="nm", y_label="reflectance")
    for series, (source, (ours, _)) in enumerate(sources.items()):
        if len(ours) > 1:
            plot.band(waves, list(np.quantile(ours, 0.05, axis=0)), list(np.quantile(ours, 0.95, axis=0)), series)
        plot.line(list(zip(waves, ours.mean(axis=0), strict=True)), series, source)
    truth = next(iter(sources.values()))[1]
    plot.line(list(zip(waves, truth.mean(axis=0), strict=True)), 7, "truth", dashed=True)
    name = LULC_CLASSES[code]
    cells = len(truth)
    return Figure(
        title=f"Profile of {name}",
        caption=f"Mean spectrum of the class over {counted(cells, 'cell')}; the shade holds 90 % of the "
        f"samples' class means.",
        svg=plot.svg(f"spectral profile of {name}"),
        half=True,
    )
