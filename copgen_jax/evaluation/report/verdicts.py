"""From checks to an answer per question: as good as its worst check, and no answer from too few cells."""

from collections.abc import Mapping, Sequence
from typing import get_args

from copgen_jax.evaluation.metrics.explanation import Question
from copgen_jax.evaluation.report.content import Answer, Check, Section, counted

FEW_CELLS = 20
"""Below this many cells nothing is answered."""

QUESTIONS: Mapping[Question, str] = {
    "faithful": "Do its images look like images of this place?",
    "diverse": "Do its samples differ as much as acquisitions do?",
    "calibrated": "Does the truth look like one more sample?",
    "physical": "Could such a scene exist?",
}
assert tuple(QUESTIONS) == get_args(Question)

WORDS: Mapping[Answer, str] = {"yes": "yes", "partly": "partly", "no": "no", "unknown": "not known"}


def checks_by_source(sections: Sequence[Section]) -> dict[str, dict[Question, list[Check]]]:
    """All checks of a report, by source and question."""
    found: dict[str, dict[Question, list[Check]]] = {}
    for section in sections:
        for source, checks in section.checks.items():
            for check in checks:
                found.setdefault(source, {q: [] for q in QUESTIONS})[check.question].append(check)
    return found


def answer(checks: Sequence[Check]) -> Answer:
    """The worst answer of the checks that are known; unknown without any, or from too few cells."""
    known = [check.answer for check in checks if check.answer != "unknown" and check.cells >= FEW_CELLS]
    if not known:
        return "unknown"
    return next(a for a in ("no", "partly", "yes") if a in known)


def faults(checks: Sequence[Check]) -> str:
    """What is wrong, in words, from the checks that gave the answer; empty where nothing is."""
    given = answer(checks)
    if given == "unknown":
        return ""
    return ", ".join(dict.fromkeys(check.word for check in checks if check.answer == given and check.word))


def reason(checks: Sequence[Check]) -> str:
    """Why there is no answer; empty where there is one."""
    if answer(checks) != "unknown":
        return ""
    if not checks:
        return "none of the protocols run asks this"
    cells = max(check.cells for check in checks)
    if 0 < cells < FEW_CELLS:
        return f"{counted(cells, 'cell')} prove too little: {FEW_CELLS} are needed"
    return "no number could be had"
