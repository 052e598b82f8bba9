"""Every metric's explanation, by name: what a report prints beside the numbers."""

from copgen_jax.evaluation.metrics import (
    distribution,
    embeddings,
    ensemble,
    narrowing,
    physics,
    places_dates,
    power_spectrum,
    ranks,
    regression,
    segmentation,
    speckle,
)
from copgen_jax.evaluation.metrics.explanation import Explanation

_SOURCES = (
    distribution,
    embeddings,
    ensemble,
    ranks,
    narrowing,
    regression,
    segmentation,
    places_dates,
    physics,
    speckle,
    power_spectrum,
)

CATALOGUE: dict[str, Explanation] = {e.name: e for source in _SOURCES for e in source.EXPLANATIONS}


def explanation_of(column: str) -> Explanation | None:
    """The explanation of a report's column: the longest metric name in it, between underscores; None if unknown."""
    padded = f"_{column}_"
    found = [name for name in CATALOGUE if f"_{name}_" in padded]
    return CATALOGUE[max(found, key=len)] if found else None
