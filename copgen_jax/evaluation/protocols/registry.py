"""All protocols, by the word on the command line."""

from collections.abc import Mapping

from copgen_jax.evaluation.protocols import stochastic
from copgen_jax.evaluation.protocols.protocol import Protocol
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
    ),
)

PROTOCOLS: Mapping[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
