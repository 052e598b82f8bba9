"""Does the date, and does the place, change what is generated as it should?

Published: strips judged by eye. Here also as numbers: the vegetation index of each sample, and how much it differs
between seeds with and without the date.
"""

from collections.abc import Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics import catalogue, physics
from copgen_jax.evaluation.protocols.choosing import problems_of, settings_of
from copgen_jax.evaluation.protocols.protocol import Outcome, Scored, Settings
from copgen_jax.evaluation.protocols.sheets import strip
from copgen_jax.evaluation.report.content import Figure, Section, Table
from copgen_jax.evaluation.scenes import Scene, Values
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import ModalitySet

SEEDS = (12, 23, 34, 45, 56, 67, 78, 89, 90, *range(101, 252, 10))[:25]
CELLS = (
    "770U_115R", "573U_120R", "521U_130R", "463U_755L", "519U_865L", "172D_543L", "765U_557L", "332U_94R", "362D_1427R",
)  # fmt: skip
HALF_A_YEAR = "+183 days"
PLACES = {"Egypt": (25.75, 25.69), "Amazonas": (-3.48, -65.16), "northern Sweden": (69.21, 29.16)}
"""Published swaps of the place: degrees."""
SHOWN, CELLS_SHOWN = 8, 3


def experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """Without the date, with it, half a year later, and elsewhere on Earth."""
    base = ["DEM", "LULC", "location"] + ([] if synthetic else ["cloud_mask"])
    base = tuple(name for name in base if name in modalities.products)
    clear = tuple(name for name in base if name != "cloud_mask")
    dated = (*base, "timestamp")

    def one(name, given, label, **more):
        return Experiment(name=name, given=given, want=("S2L2A",), pool=SEEDS, count=25, label=label, **more)

    return (
        one("undated", base, "no date"),
        one("dated", dated, "the true date"),
        one("half-a-year-later", (*clear, "timestamp"), "half a year later", values={"timestamp": HALF_A_YEAR}),
        *(
            one(f"moved-to-{name.replace(' ', '-')}", clear, f"moved to {name}", values={"location": place})
            for name, place in PLACES.items()
        ),
    )


def score(scene: Scene, experiment: Experiment, samples: Sequence[Sample], settings: Settings) -> Scored:
    """Mean vegetation index of every sample and of the truth, and a strip."""
    del experiment, settings
    data = {"ndvi": [_greenness(sample.values) for sample in samples], "truth": _greenness(scene.truths[0])}
    shown = [scene.truths[0], *(sample.values for sample in samples[:SHOWN])]
    return Scored(data=data, picture=strip(shown))


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
            (f"{result.cell}: {experiment.label}", result.picture)
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
    return Section(
        title=outcome.protocol.title,
        asks=outcome.protocol.asks,
        settings=settings_of(outcome),
        tables=[
            Table(
                name="seasonality",
                title="Vegetation index of the samples",
                columns=("model", "conditions", "spread over seeds", "less the truth", "mean error", "cells"),
                rows=rows,
                note="NDVI averaged over the patch. The date should lower spread and error; half a year later the mean "
                "should move where there are seasons.",
            )
        ],
        figures=figures,
        explanations=[(known.title, known.paragraph())],
        problems=problems_of(outcome),
    )
