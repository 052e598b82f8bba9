"""What the numbers of one source say: a range of good and one of fair values for each.

Ranges are about the ideal row where there is one (synthetic data), else about formulas for the given n. They were
chosen on one world and hold on others (docs/evaluation.md).
"""

import dataclasses
import math
from collections.abc import Sequence

from copgen_jax.evaluation.metrics.distribution import ideal_nn_accuracy
from copgen_jax.evaluation.metrics.explanation import Question
from copgen_jax.evaluation.protocols.stochastic_numbers import Numbers
from copgen_jax.evaluation.report.content import Check

USUAL_SHARE = 0.96
"""Precision and recall of a perfect model with 16 draws against 16, where no ideal row says it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """One number's ideal and its good and fair values."""

    number: str
    what: str
    ideal: float
    good: tuple[float, float]
    fair: tuple[float, float]
    below: str = ""
    """What a value below the good ones is called; `above` likewise."""
    above: str = ""


def checks_of(mine: Numbers, ideal: Numbers | None) -> list[Check]:
    """Checks of all four questions; without a number where there is none, physical ones only where there is one."""
    asked: dict[Question, Sequence[Range]] = {
        "faithful": _faithful(mine, ideal),
        "diverse": _diverse(ideal),
        "calibrated": CALIBRATED,
        "physical": [one for one in _physical(mine) if one.number in mine.values],
    }
    return [_check(question, one, mine) for question, ranges in asked.items() for one in ranges]


def _check(question: Question, one: Range, mine: Numbers) -> Check:
    shared = {key: getattr(one, key) for key in ("what", "ideal", "good", "fair", "below", "above")}
    return Check(question=question, value=mine[one.number], cells=mine.cells.get(one.number, 0), **shared)


def _faithful(mine: Numbers, ideal: Numbers | None) -> tuple[Range, ...]:
    nn = ideal["nn"] if ideal else _formula(mine)
    precision = ideal["precision"] if ideal else USUAL_SHARE
    return (
        Range(
            number="nn", what="1-NN accuracy, spectra", ideal=nn,
            good=(0.0, nn + 0.1), fair=(0.0, 0.85), above="told apart",
        ),
        Range(
            number="bias", what="bias, reflectance", ideal=0.0,
            good=(-0.01, 0.01), fair=(-0.03, 0.03), below="dark", above="bright",
        ),
        Range(
            number="precision", what="precision", ideal=precision,
            good=(precision - 0.1, 1.0), fair=(0.5, 1.0), below="implausible",
        ),
    )  # fmt: skip


def _formula(mine: Numbers) -> float:
    """1-NN accuracy of a perfect model with so many draws."""
    n, m = (0 if math.isnan(count) else round(count) for count in (mine.real, mine.generated))
    return ideal_nn_accuracy(n, m) if n + m > 1 else math.nan


def _diverse(ideal: Numbers | None) -> tuple[Range, ...]:
    recall = ideal["recall_centred"] if ideal else USUAL_SHARE
    return (
        Range(
            number="ratio", what="intra-set distance over real", ideal=1.0,
            good=(0.85, 1.18), fair=(0.6, 1.7), below="too narrow", above="too wide",
        ),
        Range(
            number="recall_centred", what="recall, sets centred", ideal=recall,
            good=(recall - 0.1, 1.0), fair=(0.5, 1.0), below="too narrow",
        ),
    )  # fmt: skip


CALIBRATED = (
    Range(
        number="rank_width", what="rank histogram, width", ideal=1.0,
        good=(0.88, 1.14), fair=(0.7, 1.5), below="underconfident", above="overconfident",
    ),
    Range(
        number="rank_bias", what="rank histogram, bias", ideal=0.0,
        good=(-0.04, 0.04), fair=(-0.12, 0.12), below="biased high", above="biased low",
    ),
    Range(
        number="spread_skill", what="spread over error", ideal=1.0,
        good=(0.85, 1.18), fair=(0.6, 1.7), below="overconfident", above="underconfident",
    ),
)  # fmt: skip


def _physical(mine: Numbers) -> tuple[Range, ...]:
    return (
        Range(
            number="ndvi", what="NDVI less real, by class", ideal=0.0,
            good=(-0.03, 0.03), fair=(-0.1, 0.1), below="too brown", above="too green",
        ),
        Range(
            number="fine power", what="fine texture over real", ideal=1.0,
            good=(0.7, 1.4), fair=(0.35, 2.5), below="smooth", above="noisy",
        ),
        _share(mine, "path radiance negative", "L1C below L2A in blue, share", "levels contradict"),
        _share(mine, "cirrus when clear", "B10 bright when clear, share", "cirrus in a clear sky"),
        Range(
            number="looks", what="radar looks over real", ideal=1.0,
            good=(0.7, 1.4), fair=(0.4, 2.5), below="grainy radar", above="smooth radar",
        ),
    )  # fmt: skip


def _share(mine: Numbers, number: str, what: str, fault: str) -> Range:
    """A share of pixels that should not be above that of the real images, which are not perfect either."""
    real = mine[f"{number}, real"]
    return Range(number=number, what=what, ideal=real, good=(0.0, real + 0.05), fair=(0.0, real + 0.2), above=fault)
