"""Where on Earth does a model put a land cover? One class everywhere, clear sky, everything else generated."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.protocols.choosing import section
from copgen_jax.evaluation.protocols.maps import place_map
from copgen_jax.evaluation.protocols.protocol import Outcome, Scored, Settings
from copgen_jax.evaluation.report.content import Figure, Section, Table
from copgen_jax.evaluation.report.drawing import Point
from copgen_jax.evaluation.scenes import Scene
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import LULC_CLASSES, ModalitySet

SEEDS = tuple(range(100, 151))
SNOW, SNOW_SEEDS = 9, (*range(51), *range(100, 151))
CLEAR = 0
NOT_LAND = (0, 10)
"""Codes without a place: no data, clouds."""
MOST_ZONES = 5
"""Zones that are named of a land cover."""
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
    climate = outcome.settings.climate
    rows: list[list[str | float | int]] = []
    figures = []
    for source in outcome.sources:
        clouds = {e.label: places for e in outcome.experiments if (places := _places(outcome, source, e))}
        for label, places in clouds.items():
            zones = Counter(climate.zone_at(*place) for place in places) if climate else Counter()
            common = _shares({zone: count / len(places) for zone, count in zones.most_common()})
            latitude = float(np.median(np.abs([latitude for latitude, _ in places])))
            rows.append([source, label, latitude, common or "no map given", len(places)])
        if clouds:
            figures.append(
                Figure(
                    title=f"{source}: where land cover is put",
                    caption="One dot per seed."
                    + (" Behind: Köppen classes by their first letter." if climate else " No climate map was given."),
                    svg=place_map(clouds, [], climate),
                )
            )
    chance = f" By chance, of all land: {_shares(climate.shares)}." if climate else ""
    table = Table(
        name="climate",
        title="Places of one land cover",
        columns=("model", "land cover", "|latitude|, median", "most frequent zones", "seeds"),
        rows=rows,
        note=f"No share is published.{chance}",
    )
    return section(outcome, tables=[table], figures=figures)


def _places(outcome: Outcome, source: str, experiment: Experiment) -> list[Point]:
    return [tuple(place) for result in outcome.of(source, experiment) for place in result.data.get("places", ())]


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{zone} {share:.0%}" for zone, share in [*shares.items()][:MOST_ZONES])
