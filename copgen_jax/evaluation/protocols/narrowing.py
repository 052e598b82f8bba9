"""Do added conditions narrow what is generated, band by band?

Published as pooled histograms; here also as numbers: spread between samples at the same pixel, its ratio to the spread
before a condition was added, and the distance of all pixels to those of the whole true cell.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics import catalogue
from copgen_jax.evaluation.metrics import narrowing as metrics
from copgen_jax.evaluation.metrics.distribution import L2A_BANDS
from copgen_jax.evaluation.metrics.stochastic import faults
from copgen_jax.evaluation.protocols.choosing import section
from copgen_jax.evaluation.protocols.complete import complete
from copgen_jax.evaluation.protocols.protocol import Outcome, Scored, Settings
from copgen_jax.evaluation.protocols.sheets import sheet
from copgen_jax.evaluation.report.content import Figure, Section, Table
from copgen_jax.evaluation.report.drawing import Plot
from copgen_jax.evaluation.scenes import Scene, l2a_stack
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import ModalitySet

SEEDS = (*range(111, 889, 111), 12, 23, 34, 45, 56, 67, 78, 89, 90, 13, 24, 35, 46, 57, 68, 79, 80)
CELLS = (
    "143D_1481R", "95U_112R", "195D_669L", "211D_500R", "215U_1019L", "248U_978R", "250U_409R", "256U_1125L",
    "272D_1525R",
)  # fmt: skip
PUBLISHED = (("DEM", "cloud_mask"), ("LULC",), ("S1RTC",), ("timestamp",), ("location",), ("S2L1C",))
EXACT_FIRST = (("DEM", "LULC", "location"), ("timestamp",), ("cloud_mask",), ("S1RTC",), ("S2L1C",))
"""On the synthetic world: the order in which its exact draws are known for the first three."""

DIFFERS = (
    "Histograms have 100 bins of 0.01 on an asinh axis, not 256 on the data's range with a kernel density on a symlog "
    "axis, and pool every second pixel of samples and every fourth of the whole cell; spreads and intervals are added.",
)
ON_WORLD = ("Conditions grow in another order: that in which the world's exact draws are known.",)

THIN, THIN_CELL = 2, 4
"""Every so-manieth pixel along a side goes into pooled numbers: of samples, and of the whole cell."""
BINS = np.linspace(-0.05, 0.95, 101)
DRAWN = ("B02", "B04", "B08", "B11")


def experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """Growing conditions, in the published order."""
    given: list[str] = []
    found = []
    for added in EXACT_FIRST if synthetic else PUBLISHED:
        added = tuple(name for name in added if name in modalities.products)
        if not added:
            continue
        given += added
        label = " + ".join(added) if len(found) == 0 else f"+ {' + '.join(added)}"
        found.append(
            Experiment(
                name="-".join(given), given=tuple(given), want=("S2L2A",), pool=SEEDS, count=len(SEEDS), label=label
            )
        )
    return tuple(found)


def score(scene: Scene, experiment: Experiment, samples: Sequence[Sample], settings: Settings) -> Scored:
    """Widths per band, and histograms of some bands."""
    del settings, experiment
    samples, members, left_out = complete(samples)
    left_out += faults("samples", members)
    picture = sheet(scene, samples)
    if len(members) < 2:
        return Scored(data={}, problems=(*left_out, "one sample only: it has no spread"), picture=picture)
    if np.isnan(members).any():
        return Scored(data={}, problems=(*left_out, "samples have NaN pixels: no spread"), picture=picture)
    whole = scene.cell is not None and all(name in scene.cell for name in ("S2L2A_10m", "S2L2A_20m", "S2L2A_60m"))
    truth = l2a_stack(scene.cell if whole and scene.cell else scene.truths[0])
    step = THIN_CELL if whole else THIN
    thinned = truth[:, ::step, ::step]
    found = metrics.spread(members[:, :, ::THIN, ::THIN], thinned)
    histograms = {
        band: {
            "samples": np.histogram(members[:, L2A_BANDS.index(band), ::THIN, ::THIN], BINS)[0],
            "truth": np.histogram(thinned[L2A_BANDS.index(band)], BINS)[0],
        }
        for band in DRAWN
    }
    data = {name: getattr(found, name) for name in ("std", "iqr", "pooled_std", "pooled_iqr", "pooled_wasserstein")}
    return Scored(data={**data, "histograms": histograms}, problems=tuple(left_out), picture=picture)


def summarise(outcome: Outcome) -> Section:
    """Ratios with intervals over cells, and the published figure."""
    rows: list[list[str | float | int]] = []
    curves: dict[str, list[tuple[int, metrics.Step]]] = {}
    for source in outcome.sources:
        widths, cells = _widths(outcome, source)
        for band in ("all", *L2A_BANDS):
            mine = {label: values[:, L2A_BANDS.index(band)] if band != "all" else np.sqrt((values**2).mean(axis=1))
                    for label, values in widths.items()}  # fmt: skip
            if not cells or any(not values.any() for values in mine.values()):
                continue
            steps = metrics.narrowing(mine, np.random.default_rng(0), draws=300)
            for step in steps:
                of = step.of_previous
                rows.append(
                    [source, band, step.scenario, step.width.value, step.of_first.value, of.value, of.low, of.high,
                     step.narrowed, cells]
                )  # fmt: skip
            if band == "all":
                order = [e.label for e in outcome.experiments]
                curves[source] = [(order.index(step.scenario), step) for step in steps]
    columns = (
        "model", "band", "given", "spread", "of the first", "of the one before", "95 % from", "to", "cells narrower",
        "cells",
    )  # fmt: skip
    known = catalogue.CATALOGUE["narrowing"]
    note = (
        "Reflectance: root mean variance between samples at the same pixel. A collapsed model has no spread to narrow "
        "and no row."
    )
    every, bands = ([row for row in rows if (row[1] == "all") is wanted] for wanted in (True, False))
    return section(
        outcome,
        tables=[
            Table(name="narrowing", title="Spread as conditions are added", columns=columns, rows=every, note=note),
            Table(
                name="narrowing_bands",
                title="The same, band by band",
                columns=columns,
                rows=bands,
                note=note,
                folded=True,
            ),
        ],
        figures=[*_curve(outcome, curves), *_histograms(outcome)],
        explanations=[(known.title, known.paragraph())],
    )


def _widths(outcome: Outcome, source: str) -> tuple[Mapping[str, np.ndarray], int]:
    """{scenario: spread [cells, 12]} of the cells that every scenario of this source has."""
    by_label = {
        e.label: {r.cell: np.asarray(r.data["std"]) for r in outcome.of(source, e) if r.data}
        for e in outcome.experiments
    }
    by_label = {label: cells for label, cells in by_label.items() if cells}
    if not by_label:
        return {}, 0
    common = sorted(set.intersection(*(set(cells) for cells in by_label.values())))
    if not common:
        return {}, 0
    return {label: np.stack([cells[c] for c in common]) for label, cells in by_label.items()}, len(common)


def _curve(outcome: Outcome, curves: Mapping[str, Sequence[tuple[int, metrics.Step]]]) -> list[Figure]:
    if not curves:
        return []
    top = max(step.of_first.value for steps in curves.values() for _, step in steps)
    names = [(float(i), e.label.replace(" + ", "+")) for i, e in enumerate(outcome.experiments)]
    plot = Plot((-0.3, len(names) - 0.7), (0, max(1.1, top * 1.05)), width=820, x_ticks=names, y_label="of the first")
    plot.level(1.0)
    for series, (source, steps) in enumerate(curves.items()):
        known = [(i, s.of_first) for i, s in steps]
        if not any(np.isnan(s.low) for _, s in known):
            plot.band([float(i) for i, _ in known], [s.low for _, s in known], [s.high for _, s in known], series)
        plot.line([(float(i), s.value) for i, s in known], series, source)
        plot.points([(float(i), s.value) for i, s in known], series)
    return [
        Figure(
            title="Spread over that of the first conditions, all bands",
            caption="Bands are 95 % intervals over cells.",
            svg=plot.svg("spread as conditions are added"),
        )
    ]


def _histograms(outcome: Outcome) -> list[Figure]:
    """The published figure: pixels of all samples, one line per scenario, against those of the whole cell."""
    centres = (BINS[1:] + BINS[:-1]) / 2
    figures = []
    for source in outcome.sources:
        for band in DRAWN:
            lines = {}
            for e in outcome.experiments:
                found = [r.data["histograms"][band] for r in outcome.of(source, e) if r.data]
                if found:
                    lines[e.label] = np.sum([h["samples"] for h in found], axis=0)
                    lines[""] = np.sum([h["truth"] for h in found], axis=0)
            if not lines:
                continue
            density = {k: np.arcsinh(v / max(v.sum(), 1) / np.diff(BINS) / 0.2) for k, v in lines.items()}
            top = max(float(v.max()) for v in density.values())
            plot = Plot(
                (-0.05, 0.6),
                (0, top * 1.05),
                width=520,
                height=240,
                x_label="reflectance",
                y_label="density, asinh scale",
            )
            for series, (label, values) in enumerate((k, v) for k, v in density.items() if k):
                plot.line(list(zip(centres[:65], values[:65], strict=True)), series, label)
            plot.line(list(zip(centres[:65], density[""][:65], strict=True)), 7, "truth", dashed=True)
            figures.append(
                Figure(
                    title=f"{source}: {band}",
                    caption="All pixels of all samples.",
                    svg=plot.svg(f"{band} of {source}"),
                    half=True,
                )
            )
    return figures
