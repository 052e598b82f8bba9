"""A report's files: report.html, and every table as CSV and Markdown in tables/."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from copgen_jax.evaluation.protocols.results import to_plain
from copgen_jax.evaluation.report.content import Section, Table, number
from copgen_jax.evaluation.report.document import page
from copgen_jax.evaluation.report.verdicts import QUESTIONS, answer, checks_by_source, faults
from copgen_jax.files import file_aside

PAGE, TABLES, VERDICTS = "report.html", "tables", "verdicts.json"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_report(
    out: Path, *, title: str, intro: Sequence[str], sections: Sequence[Section], settings: Mapping[str, Mapping]
) -> Path:
    """Write everything; returns the page's path."""
    for section in sections:
        for table in section.tables:
            _write(out / TABLES / f"{table.name}.csv", as_csv(table))
            _write(out / TABLES / f"{table.name}.md", as_markdown(table))
    remarks = [(s.title, *problem) for s in sections for problem in s.problems]
    problems = Table(name="problems", title="Remarks", columns=("protocol", "model", "cell", "what"), rows=remarks)
    _write(out / TABLES / "problems.csv", as_csv(problems))
    _write(out / VERDICTS, json.dumps(to_plain(verdicts(sections)), indent=1) + "\n")
    _write(out / PAGE, page(title, intro, sections, settings))
    return out / PAGE


def verdicts(sections: Sequence[Section]) -> dict:
    """{source: {question: {answer, numbers}}} as plain data."""
    return {
        source: {
            question: {
                "answer": answer(checks),
                "faults": faults(checks),
                "numbers": {
                    c.what: {"value": c.value, "ideal": c.ideal, "good": c.good, "cells": c.cells} for c in checks
                },
            }
            for question, checks in by_question.items()
            if question in QUESTIONS
        }
        for source, by_question in checks_by_source(sections).items()
    }


def as_csv(table: Table) -> str:
    """All digits; text that a spreadsheet would take for a formula gets an apostrophe."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([_guarded(value) for value in row])
    return stream.getvalue()


def as_markdown(table: Table) -> str:
    """For people, three digits."""
    lines = [f"# {_plain(table.title)}", "", _row(table.columns), _row(["---"] * len(table.columns))]
    lines += [_row([number(value) for value in row]) for row in table.rows]
    return "\n".join([*lines, "", _plain(table.note), ""])


def _row(values: Sequence[object]) -> str:
    return f"| {' | '.join(_plain(str(value)) for value in values)} |"


def _plain(words: str) -> str:
    """Text that Markdown, and HTML inside it, leaves alone."""
    replaced = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
    return " ".join(replaced.split())


def _guarded(value: str | float | int) -> str | float | int:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write(path: Path, content: str) -> None:
    with file_aside(path) as aside:
        aside.write_text(content)
