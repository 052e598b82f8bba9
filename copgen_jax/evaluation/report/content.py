"""What a report is made of, as data: sections of text, tables, figures and checks. How it looks is another matter."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from copgen_jax.evaluation.metrics.explanation import Question

Answer = Literal["yes", "partly", "no", "unknown"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells; numbers stay numbers."""

    name: str
    """File name of its CSV and Markdown."""
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]
    note: str = ""
    folded: bool = False
    """Whether the page shows its title only, until it is opened."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture with its caption: SVG text made by this package, or PNGs side by side."""

    title: str
    caption: str
    svg: str = ""
    pictures: Sequence[tuple[str, bytes]] = ()
    """(label, PNG)."""
    wide: bool = False
    """Whether each picture takes a line of its own."""
    half: bool = False
    """Whether two such figures fit beside each other."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One number that helps to answer one question, beside what a perfect model has."""

    question: Question
    what: str
    value: float
    ideal: float
    good: tuple[float, float]
    """Range of a good value, ends included."""
    fair: tuple[float, float]
    """Range of a value that is at least half right."""
    cells: int
    """Cells that the value is made of."""
    below: str = ""
    """What is wrong with a value below the good ones, in a word or two."""
    above: str = ""

    @property
    def word(self) -> str:
        """What is wrong; empty where nothing is."""
        if self.answer in ("yes", "unknown"):
            return ""
        return self.below if self.value < self.good[0] else self.above

    @property
    def answer(self) -> Answer:
        """Whether the value is where it should be."""
        if math.isnan(self.value) or math.isnan(self.ideal):
            return "unknown"
        if self.good[0] <= self.value <= self.good[1]:
            return "yes"
        return "partly" if self.fair[0] <= self.value <= self.fair[1] else "no"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """One protocol in the report."""

    title: str
    asks: str
    settings: Sequence[str] = ()
    """Conditions, seeds, deviations from what is published: a sentence each."""
    checks: Mapping[str, Sequence[Check]] = dataclasses.field(default_factory=dict)
    """By source."""
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    explanations: Sequence[tuple[str, str]] = ()
    """(title, paragraph)."""
    problems: Sequence[tuple[str, str, str]] = ()
    """(source, cell, sentence)."""


def counted(count: int, what: str) -> str:
    """ "1 cell", "3 cells"."""
    return f"{count} {what}{'s' * (count != 1)}"


def number(value: str | float | int) -> str:
    """A number with three significant digits for people; text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and abs(value) < 1e-4:
        return f"{value:.1e}".replace("-", "−")
    digits = (
        4 if abs(value) < 1e-3 else 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0
    )
    text = f"{value:.{digits}f}"
    return "0" if float(text) == 0 else text.replace("-", "−")
