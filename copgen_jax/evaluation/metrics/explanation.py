"""What a reader of a report must know about a number, as data."""

import dataclasses
from collections.abc import Callable
from typing import Literal

Question = Literal["faithful", "diverse", "calibrated", "physical"]
"""Which of a report's four questions a metric helps to answer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explanation:
    """One paragraph about a metric: what it measures, what a perfect model scores, how it misleads."""

    name: str
    """Key of the metric: its column without the prefix of an embedding (spec_, rgb_) or the suffix of a band."""
    title: str
    question: Question
    better: Literal["lower", "higher", "ideal"]
    """Whether less or more is better, or closer to the ideal value."""
    unit: str = ""
    measures: str
    ideal: str
    misleads: str
    ideal_value: Callable[[int, int], float] | None = None
    """What a perfect model scores with n real and m model draws, where a formula or a fixed number exists."""

    def paragraph(self, n: int | None = None, m: int | None = None) -> str:
        """The explanation as text; with the ideal value as a number if the counts are given and it depends on them.

        Args:
            n: real draws (verifying truths).
            m: draws of the model; n if not given.
        """
        number = ""
        if n is not None and self.ideal_value is not None:
            m = n if m is None else m
            value = self.ideal_value(n, m)
            if value != self.ideal_value(n + 1, m + 1):
                number = f" Here (n = {n} real, {m} generated): {value:.3g}."
        return f"{self.measures} Ideal: {self.ideal}{number} Beware: {self.misleads}"
