"""All protocols, by the word on the command line."""

from collections.abc import Mapping

from copgen_jax.evaluation.protocols import climate, narrowing, seasonality, single, spectra, stochastic
from copgen_jax.evaluation.protocols.protocol import Protocol
from copgen_jax.evaluation.protocols.single_report import summarise_infilling, summarise_location, summarise_tables
from copgen_jax.evaluation.protocols.stochastic_report import summarise_stochastic

_ALL = (
    Protocol(
        name="stochastic",
        title="Stochastic benchmark",
        asks="Does the set of samples for one place look like the set of real acquisitions of that place?",
        experiments=stochastic.experiments,
        score=stochastic.score,
        summarise=summarise_stochastic,
        acquisitions=True,
        differs=stochastic.DIFFERS,
        differs_on_world=stochastic.ON_WORLD,
    ),
    Protocol(
        name="peak",
        title="Peak capability: best of n",
        asks="How near can the best of n samples come to the truth, with everything else given?",
        experiments=single.peak_experiments,
        score=single.score,
        summarise=summarise_tables,
    ),
    Protocol(
        name="leave-one-out",
        title="Leave one out",
        asks="What is each condition worth: how much worse is a target without it? As published, the date is never "
        "given.",
        experiments=single.leave_one_out_experiments,
        score=single.score,
        summarise=summarise_tables,
    ),
    Protocol(
        name="band-infilling",
        title="Band infilling",
        asks="Given some resolutions of a Sentinel-2 product, how well are the others filled in?",
        experiments=single.infilling_experiments,
        score=single.score,
        summarise=summarise_infilling,
    ),
    Protocol(
        name="narrowing",
        title="Narrowing distributions",
        asks="Do added conditions narrow what is generated, as far as they inform?",
        experiments=narrowing.experiments,
        score=narrowing.score,
        summarise=narrowing.summarise,
        cells=narrowing.CELLS,
        most_cells=9,
        differs=narrowing.DIFFERS,
        differs_on_world=narrowing.ON_WORLD,
    ),
    Protocol(
        name="spectra",
        title="Spectral profiles",
        asks="Are spectra of each land cover those of the place?",
        experiments=spectra.experiments,
        score=spectra.score,
        summarise=spectra.summarise,
        cells=tuple(spectra.CHOSEN),
        most_cells=9,
        differs=spectra.DIFFERS,
        differs_on_world=spectra.ON_WORLD,
    ),
    Protocol(
        name="seasonality",
        title="Seasonality",
        asks="Do the date and the place change the image as they should?",
        experiments=seasonality.experiments,
        score=seasonality.score,
        summarise=seasonality.summarise,
        cells=seasonality.CELLS,
        most_cells=9,
        differs=seasonality.DIFFERS,
        differs_on_world=seasonality.ON_WORLD,
    ),
    Protocol(
        name="climate",
        title="Climate zones",
        asks="Where on Earth is a land cover put?",
        experiments=climate.experiments,
        score=climate.score,
        summarise=climate.summarise,
        cells=climate.CELLS,
        most_cells=1,
        differs=climate.DIFFERS,
    ),
    Protocol(
        name="location",
        title="Place",
        asks="Can the place be told from terrain, land cover and date?",
        experiments=single.location_experiments,
        score=single.score,
        summarise=summarise_location,
        cells=(*seasonality.CELLS, "227D_564L"),
    ),
)

PROTOCOLS: Mapping[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
