"""The report as one HTML file: no network, no script, light and dark, readable on a phone.

Everything that comes from outside passes `html.escape`; pictures are data URIs.
"""

import base64
import html
from collections.abc import Mapping, Sequence

from copgen_jax.evaluation.report.content import Check, Figure, Section, Table, counted, number
from copgen_jax.evaluation.report.style import STYLE
from copgen_jax.evaluation.report.verdicts import QUESTIONS, WORDS, answer, checks_by_source, faults, reason

MOST_ROWS = 40
"""Rows of a table on the page; the CSV has all."""
MOST_PROBLEMS = 60


def page(title: str, intro: Sequence[str], sections: Sequence[Section], settings: Mapping[str, Mapping]) -> str:
    """The whole file.

    Args:
        title: heading.
        intro: sentences below it: data, date, program, estimate.
        sections: one per protocol.
        settings: {source: plain data}, printed as given.
    """
    body = [
        f"<header><h1>{_e(title)}</h1>{''.join(f'<p>{_e(line)}</p>' for line in intro)}</header>",
        _verdicts(sections),
        *(_section(i, section) for i, section in enumerate(sections)),
        _models(settings),
    ]
    links = "".join(f'<a href="#s{i}">{_e(section.title)}</a>' for i, section in enumerate(sections))
    nav = f'<nav><a href="#verdicts">Verdicts</a>{links}<a href="#models">Models</a></nav>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_e(title)}</title><style>{STYLE}</style></head><body>{nav}<main>{''.join(body)}</main></body></html>\n"
    )


def _e(value: object) -> str:
    return html.escape(str(value), quote=True)


def _verdicts(sections: Sequence[Section]) -> str:
    """A card per source, an answer per question, the numbers behind it below."""
    cards = []
    for source, by_question in checks_by_source(sections).items():
        rows = []
        for question, asks in QUESTIONS.items():
            checks = by_question[question]
            given = answer(checks)
            numbers = "".join(_check(check) for check in checks)
            why = reason(checks)
            wrong = faults(checks)
            words = f"{WORDS[given]}: {wrong}" if wrong else WORDS[given]
            rows.append(
                f'<details class="verdict {given}"><summary><span class="q">{_e(question)}?</span>'
                f'<span class="answer">{_e(words)}</span></summary><p class="asks">{_e(asks)}</p>'
                f"{f'<p>{_e(why)}.</p>' if why else ''}"
                f"{f'<ul>{numbers}</ul>' if numbers else ''}</details>"
            )
        nothing = {reason(by_question[question]) for question in QUESTIONS}
        why = f'<p class="note">No answer: {_e(nothing.pop())}.</p>' if len(nothing) == 1 and "" not in nothing else ""
        cards.append(f'<article class="card"><h3>{_e(source)}</h3>{why}{"".join(rows)}</article>')
    if not cards:
        words = (
            "No number of this report answers one of the four questions: its protocols compare models with each other."
        )
        return f'<section id="verdicts"><h2>Verdicts</h2><p class="lead">{words}</p></section>'
    return (
        '<section id="verdicts"><h2>Verdicts</h2><p class="note">Each answer is that of its worst number; open it to '
        f'see the numbers. Ranges are about the ideal row where there is one.</p><div class="cards">{"".join(cards)}'
        "</div></section>"
    )


def _check(check: Check) -> str:
    low, high = (number(float(end)) for end in check.good)
    return (
        f'<li class="{check.answer}"><span>{_e(check.what)}</span> <b>{_e(number(float(check.value)))}</b> '
        f"<small>ideal {_e(number(float(check.ideal)))}, good {_e(low)} to {_e(high)}, "
        f"{counted(check.cells, 'cell')}</small></li>"
    )


def _section(index: int, section: Section) -> str:
    parts = [f'<section id="s{index}"><h2>{_e(section.title)}</h2><p class="lead">{_e(section.asks)}</p>']
    if section.settings:
        parts.append(f"<ul class='settings'>{''.join(_setting(line) for line in section.settings)}</ul>")
    tables = [table for table in section.tables if table.rows]
    parts += [_table(table) for table in tables[:1]]
    drawn = "".join(_figure(figure) for figure in section.figures if figure.svg or figure.pictures)
    parts.append(f'<div class="figures">{drawn}</div>' if drawn else "")
    parts += [_table(table, folded=table.folded or len(table.rows) > 12) for table in tables[1:]]
    if section.explanations:
        words = "".join(f"<dt>{_e(title)}</dt><dd>{_e(words)}</dd>" for title, words in section.explanations)
        parts.append(
            f"<details><summary>What these numbers mean, and how they mislead</summary><dl>{words}</dl></details>"
        )
    parts.append(_problems(section.problems))
    return "".join(parts) + "</section>"


def _setting(line: str) -> str:
    kind = "deviation" if line.startswith("Deviation") else ""
    return f'<li class="{kind}">{_e(line)}</li>'


def _table(table: Table, *, folded: bool = False) -> str:
    numeric = [bool(table.rows) and not isinstance(value, str) for value in table.rows[0]]
    head = "".join(
        f"<th{' class=n' if right else ''}>{_e(column)}</th>"
        for column, right in zip(table.columns, numeric, strict=True)
    )
    rows = "".join(
        f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in table.rows[: None if folded else MOST_ROWS]
    )
    note = f'<p class="note">{_e(table.note)}</p>' if table.note else ""
    left = len(table.rows) - MOST_ROWS
    more = f'<p class="note">{left} more rows in {_e(table.name)}.csv.</p>' if left > 0 and not folded else ""
    inner = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}{more}'
    if folded:
        return f"<details><summary>{_e(table.title)} ({counted(len(table.rows), 'row')})</summary>{inner}</details>"
    return f"<h3>{_e(table.title)}</h3>{inner}"


def _cell(value: str | float | int) -> str:
    if isinstance(value, str):
        return f"<td>{_e(value)}</td>"
    return f'<td class="n">{_e(number(value))}</td>'


def _figure(figure: Figure) -> str:
    pictures = "".join(
        f'<div class="shot"><img alt="{_e(label)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        f"<span>{_e(label)}</span></div>"
        for label, data in figure.pictures
    )
    wide = " wide" if figure.wide else ""
    shots = f'<div class="shots{wide}">{pictures}</div>' if pictures else ""
    drawn = f'<div class="scroll">{figure.svg}</div>' if figure.svg else ""
    kind = "half" if figure.half else "full"
    return (
        f'<figure class="{kind}"><h3>{_e(figure.title)}</h3>'
        f"{drawn}{shots}<figcaption>{_e(figure.caption)}</figcaption></figure>"
    )


def _problems(problems: Sequence[tuple[str, str, str]]) -> str:
    """What was odd, counted by sentence and told cell by cell."""
    if not problems:
        return '<p class="note">No cell had a problem.</p>'
    rows = "".join(
        f"<tr><td>{_e(source)}</td><td>{_e(cell)}</td><td>{_e(sentence)}</td></tr>"
        for source, cell, sentence in problems[:MOST_PROBLEMS]
    )
    cells = len({cell for _, cell, _ in problems})
    left = len(problems) - MOST_PROBLEMS
    more = f'<p class="note">{left} more in problems.csv.</p>' if left > 0 else ""
    return (
        f"<details><summary>{counted(len(problems), 'remark')} on {counted(cells, 'cell')}</summary>"
        f'<div class="scroll"><table><thead><tr><th>model</th><th>cell</th><th>what</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{more}</details>"
    )


def _models(settings: Mapping[str, Mapping]) -> str:
    cards = []
    for name, values in settings.items():
        rows = "".join(f"<tr><td>{_e(key)}</td><td>{_e(value)}</td></tr>" for key, value in values.items())
        cards.append(
            f'<article class="card"><h3>{_e(name)}</h3><div class="scroll"><table>{rows}</table></div></article>'
        )
    return f'<section id="models"><h2>Models</h2><div class="cards">{"".join(cards)}</div></section>'
