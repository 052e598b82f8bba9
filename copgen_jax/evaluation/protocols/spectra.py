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
from copgen_jax.evaluation.metrics.stochastic import faults
from copgen_jax.evaluation.protocols.choosing import section
from copgen_jax.evaluation.protocols.complete import complete
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
LEAST_SHARE = 0.005
"""Share of the map below which a class is not shown."""
NOT_SHOWN = (0, 10)
"""No data, clouds."""
DIFFERS = (
    "The published figure shows one chosen seed per tile, and of each class the pixel where it agrees best with the "
    "truth: the table of best pixels has those. The figures here show the class means of all seeds; classes under "
    "0.5 % of the map are left out.",
    "For the best pixels coarser bands are zoomed within the patch, not within the whole tile; else repeated.",
)
ON_WORLD = ("The place is given and no cloud mask.",)


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
    samples, images, problems = complete(samples)
    problems += faults("samples", images)
    found: dict[int, Any] = {}
    for code in np.unique(classes):
        if code in NOT_SHOWN or np.mean(classes == code) < LEAST_SHARE:
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
            "pixels": int(mask.sum()),
        }
    if not found:
        return Scored(data={}, problems=tuple(problems), picture=picture)
    best, odd = _best(scene, samples, classes)
    return Scored(data={"classes": found, **best}, problems=(*problems, *odd), picture=picture)


def _best(scene: Scene, samples: Sequence[Sample], classes: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """{"chosen": seed, "best": {code: MAE}} of the published figure's pixels, for the cell's published seed."""
    chosen = CHOSEN.get(scene.name, samples[0].seed)
    sample = next((sample for sample in samples if sample.seed == chosen), None)
    if sample is None:
        return {}, [f"seed {chosen}, which the published figure shows of this tile, is not there: no best pixels"]
    truth, ours = (l2a_stack(values, _zoomed) for values in (scene.truths[0], sample.values))
    if np.isnan(truth).any() or np.isnan(ours).any():
        return {}, ["NaN pixels: no best pixels"]
    best = {
        code: float(np.abs(truth[:, row, column] - ours[:, row, column]).mean())
        for code, (row, column) in profiles.best_pixels(truth, ours, classes).items()
        if code not in NOT_SHOWN
    }
    return {"chosen": chosen, "best": best}, []


def _zoomed(image: np.ndarray, side: int) -> np.ndarray:
    return image if image.shape[-1] == side else profiles.zoom(image, side, side)


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
            error = np.concatenate([np.abs(np.array(c["seeds"]) - np.array(c["truth"])).mean(axis=1) for c in cells])
            rows.append(
                [LULC_CLASSES[code], source, float(np.median(angles)), float(error.mean()), len(ours), len(cells)]
            )  # fmt: skip
            drawn[code][source] = ours, truth
    known = catalogue.CATALOGUE["spectral_angle"]
    rows.sort(key=lambda row: str(row[0]))
    columns = ("land cover", "model", "angle °, median", "MAE of the mean", "spectra", "cells")
    return section(
        outcome,
        tables=[
            Table(name="spectra", title="Spectra by land cover", columns=columns, rows=rows),
            _best_table(outcome, experiment),
        ],
        figures=[_figure(code, sources) for code, sources in sorted(drawn.items())],
        explanations=[(known.title, known.paragraph())],
    )  # fmt: skip


def _best_table(outcome: Outcome, experiment: Experiment) -> Table:
    rows = [
        [source, result.cell, result.data["chosen"], LULC_CLASSES[int(code)], error]
        for source in outcome.sources
        for result in outcome.of(source, experiment)
        for code, error in result.data.get("best", {}).items()
    ]
    return Table(
        name="spectra_best_pixels",
        title="Best pixels, as in the published figure",
        columns=("model", "cell", "seed", "land cover", "MAE"),
        rows=rows,
        note="Of at most 1000 pixels of each class the one where the sample agrees best with the truth: a best case, "
        "not a typical one. A published tile has the seed that was published of it, another cell its first.",
        folded=True,
    )


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
