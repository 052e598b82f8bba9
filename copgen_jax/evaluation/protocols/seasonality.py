"""Does the date, and does the place, change what is generated as it should?

Published: strips judged by eye. Here also as numbers: the vegetation index of each sample, and how much it differs
between seeds with and without the date.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics import catalogue, physics
from copgen_jax.evaluation.protocols.choosing import section
from copgen_jax.evaluation.protocols.protocol import Outcome, Scored, Settings
from copgen_jax.evaluation.protocols.sheets import strip
from copgen_jax.evaluation.report.content import Figure, Section, Table, counted
from copgen_jax.evaluation.scenes import Scene, Values
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import ModalitySet

SEEDS = (12, 23, 34, 45, 56, 67, 78, 89, 90, 101, *range(111, 252, 10))
SWAPS: Mapping[str, tuple[str, tuple[float, float]]] = {
    "770U_115R": ("2014-07-01", (25.75, 25.69)),
    "573U_120R": ("2022-01-01", (-3.48, -65.16)),
    "521U_130R": ("2020-11-12", (-27.08, 22.42)),
    "463U_755L": ("2022-06-06", (28.57, -104.13)),
    "519U_865L": ("2024-01-05", (75.46, -41.41)),
    "172D_543L": ("2022-12-01", (-49.39, -73.45)),
    "765U_557L": ("2022-08-16", (20.28, -4.40)),
    "332U_94R": ("2023-08-20", (62.66, 97.57)),
    "362D_1427R": ("2020-02-01", (-76.98, 49.21)),
}
"""The nine published cells: the date and the place (degrees) that each is given in place of its own."""
CELLS = tuple(SWAPS)
HALF_A_YEAR, EGYPT = "+183 days", SWAPS["770U_115R"][1]
"""For cells that are not published."""
DIFFERS = (
    "The published swaps are those of the nine published cells; another cell is moved half a year on, and to the "
    "Egyptian desert (25.75, 25.69). Published strips are judged by eye; the vegetation index is added here.",
)
ON_WORLD = ("No cloud mask is given: skies are as they come, in truth and samples.",)
SHOWN, CELLS_SHOWN = 8, 3


def experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """Without the date, with it, with another date, at another place."""
    base = ["DEM", "LULC", "location"] + ([] if synthetic else ["cloud_mask"])
    base = tuple(name for name in base if name in modalities.products)
    clear = tuple(name for name in base if name != "cloud_mask")

    def one(name, given, label, **more):
        return Experiment(name=name, given=given, want=("S2L2A",), pool=SEEDS, count=len(SEEDS), label=label, **more)

    return (
        one("undated", base, "no date"),
        one("dated", (*base, "timestamp"), "the true date"),
        one(
            "another-date",
            (*clear, "timestamp"),
            "another date",
            values={"timestamp": HALF_A_YEAR},
            of_cell={cell: {"timestamp": date} for cell, (date, _) in SWAPS.items()},
        ),
        one(
            "another-place",
            clear,
            "another place",
            values={"location": EGYPT},
            of_cell={cell: {"location": place} for cell, (_, place) in SWAPS.items()},
        ),
    )


def score(scene: Scene, experiment: Experiment, samples: Sequence[Sample], settings: Settings) -> Scored:
    """Mean vegetation index of every sample and of the truth, and a strip."""
    del experiment, settings
    whole = [sample for sample in samples if "S2L2A_10m" in sample.values]
    problems = (
        () if len(whole) == len(samples) else (f"{len(whole)} of {counted(len(samples), 'sample')} have S2L2A_10m",)
    )
    samples = whole or samples
    data = {"ndvi": [_greenness(sample.values) for sample in samples], "truth": _greenness(scene.truths[0])}
    shown = [scene.truths[0], *(sample.values for sample in samples[:SHOWN])]
    return Scored(data=data, problems=problems, picture=strip(shown))


def _which(experiment: Experiment, cell: str) -> str:
    """The date or place that is given in place of the cell's own; empty where it keeps them."""
    for wish in experiment.replaced(cell).values():
        return f", {wish}" if isinstance(wish, str) else ", {:.2f}, {:.2f}".format(*wish)
    return ""


def _greenness(values: Values) -> float:
    if "S2L2A_10m" not in values:
        raise InputError("S2L2A_10m is missing; the vegetation index needs its red and near infrared")
    image = values["S2L2A_10m"]
    index = physics.ndvi(image[0], image[3])
    return float(np.nanmean(index)) if np.isfinite(index).any() else float("nan")


def summarise(outcome: Outcome) -> Section:
    """A row per source and experiment, and strips of a few cells."""
    rows: list[list[str | float | int]] = []
    figures = []
    for source in outcome.sources:
        for experiment in outcome.experiments:
            found = [r for r in outcome.of(source, experiment) if r.data]
            if not found:
                continue
            within = [float(np.nanstd(r.data["ndvi"])) for r in found]
            moved = [float(np.nanmean(r.data["ndvi"])) - r.data["truth"] for r in found]
            error = [float(np.nanmean(np.abs(np.array(r.data["ndvi"]) - r.data["truth"]))) for r in found]
            means = [float(np.nanmean(v)) for v in (within, moved, error)]
            rows.append([source, experiment.label, *means, len(found)])
        shown = [
            (f"{result.cell}: {experiment.label}{_which(experiment, result.cell)}", result.picture)
            for experiment in outcome.experiments
            for result in outcome.of(source, experiment)[:CELLS_SHOWN]
            if result.picture
        ]
        shown.sort(key=lambda pair: pair[0].split(":")[0])
        if shown:
            figures.append(
                Figure(
                    title=f"{source}: seasons",
                    caption="First the true image, then one sample per seed; true colour 0 to 0.3.",
                    pictures=shown,
                    wide=True,
                )
            )
    known = catalogue.CATALOGUE["ndvi"]
    return section(
        outcome,
        tables=[
            Table(
                name="seasonality",
                title="Vegetation index of the samples",
                columns=("model", "conditions", "spread over seeds", "less the truth", "mean error", "cells"),
                rows=rows,
                note="NDVI averaged over the patch. The date should lower spread and error; with another date or "
                "place the mean should move where there are seasons.",
            )
        ],
        figures=figures,
        explanations=[(known.title, known.paragraph())],
    )
