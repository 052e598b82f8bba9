"""Where on Earth does a model put a land cover? One class everywhere, clear sky, everything else generated."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.protocols.choosing import section
from copgen_jax.evaluation.protocols.maps import place_map, zone_at
from copgen_jax.evaluation.protocols.protocol import Outcome, Scored, Settings
from copgen_jax.evaluation.report.content import Figure, Section, Table
from copgen_jax.evaluation.scenes import Scene
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import LULC_CLASSES, ModalitySet

SEEDS = tuple(range(100, 151))
SNOW, SNOW_SEEDS = 9, (*range(51), *range(100, 151))
CLEAR = 0
NOT_LAND = (0, 10)
"""Codes without a place: no data, clouds."""
CELLS = ("143D_1481R",)
"""The published base tile, of which nothing is left but its grid."""
DIFFERS = (
    "The classes no data and clouds, which have no place on Earth, are left out. TerraMind was published with seeds "
    "25 to 50; its runs of other seeds than those here count as they are.",
)


def experiments(modalities: ModalitySet, synthetic: bool) -> tuple[Experiment, ...]:
    """One per land-cover class."""
    del synthetic
    if not {"LULC", "location"} <= set(modalities.products):
        return ()
    clear = {"cloud_mask": CLEAR} if "cloud_mask" in modalities.products else {}
    return tuple(
        Experiment(
            name=f"all-{name.replace(' ', '-')}",
            given=("LULC", *clear),
            want=("location",),
            pool=SNOW_SEEDS if code == SNOW else SEEDS,
            count=len(SNOW_SEEDS) if code == SNOW else len(SEEDS),
            constant={"LULC": code, **clear},
            label=f"{name} everywhere",
        )
        for code, name in LULC_CLASSES.items()
        if code not in NOT_LAND
    )


def score(scene: Scene, experiment: Experiment, samples: Sequence[Sample], settings: Settings) -> Scored:
    """The generated places."""
    del scene, experiment, settings
    if any("location" not in sample.values for sample in samples):
        raise InputError("a sample has no location")
    return Scored(data={"places": [np.asarray(s.values["location"]).tolist() for s in samples]})


def summarise(outcome: Outcome) -> Section:
    """A map per source, and shares of climate zones where the user gave them."""
    rows: list[list[str | float | int]] = []
    figures = []
    climate = outcome.settings.climate
    for source in outcome.sources:
        clouds = {}
        for experiment in outcome.experiments:
            places = [tuple(p) for r in outcome.of(source, experiment) for p in r.data.get("places", ())]
            if not places:
                continue
            clouds[experiment.label] = places
            latitudes = np.abs([latitude for latitude, _ in places])
            zones = Counter(zone_at(climate, *place) or "sea" for place in places) if climate else Counter()
            common = ", ".join(f"{zone} {count / len(places):.0%}" for zone, count in zones.most_common(4))
            rows.append([source, experiment.label, float(np.median(latitudes)), common or "no map given", len(places)])
        if clouds:
            figures.append(
                Figure(
                    title=f"{source}: where land cover is put",
                    caption="One dot per seed. Zones: Köppen classes by their first letter, if a map was given "
                    "(--climate).",
                    svg=place_map(clouds, [], climate),
                )
            )
    return section(
        outcome,
        tables=[
            Table(
                name="climate",
                title="Places of one land cover",
                columns=("model", "land cover", "|latitude|, median", "most frequent zones", "seeds"),
                rows=rows,
                note="No share is published; the share by chance is that of the zone among all land.",
            )
        ],
        figures=figures,
    )
