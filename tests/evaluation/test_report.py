"""Reports as files: nothing escapes, nothing is fetched, tables keep their digits, answers follow from numbers."""

import csv
import io
import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copgen_jax.evaluation.report.content import Check, Figure, Section, Table, number
from copgen_jax.evaluation.report.document import page
from copgen_jax.evaluation.report.drawing import Plot, rank_bars, ticks
from copgen_jax.evaluation.report.verdicts import answer, reason
from copgen_jax.evaluation.report.writing import as_csv, as_markdown, write_report

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>|`"


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "rect", "line", "circle", "path", "polyline", "polygon"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("rect", "line", "circle", "path", "polyline", "polygon"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def check(value=1.0, cells=100, question="faithful", good=(0.9, 1.1), fair=(0.5, 1.5)):
    return Check(question=question, what=HOSTILE, value=value, ideal=1.0, good=good, fair=fair, cells=cells)


def section() -> Section:
    counts = {HOSTILE: np.array([1, 5, 3])}
    return Section(
        title=HOSTILE,
        asks=HOSTILE,
        settings=[HOSTILE, f"Deviation: {HOSTILE}"],
        checks={HOSTILE: [check(), check(3.0, question="diverse"), check(math.nan, question="physical")]},
        tables=[
            Table(name="one", title=HOSTILE, columns=("a", HOSTILE), rows=[[HOSTILE, 0.123456789], ["b", math.nan]]),
            Table(name="two", title="many", columns=("a",), rows=[[i] for i in range(50)], note=HOSTILE),
        ],
        figures=[
            Figure(title=HOSTILE, caption=HOSTILE, svg=rank_bars(counts)),
            Figure(title="p", caption="c", pictures=[(HOSTILE, b"png")]),
        ],
        explanations=[(HOSTILE, HOSTILE)],
        problems=[(HOSTILE, HOSTILE, HOSTILE)] * 3,
    )


def html() -> str:
    return page(HOSTILE, [HOSTILE], [section()], {HOSTILE: {HOSTILE: HOSTILE}})


def test_the_page_is_well_formed_and_nothing_in_it_runs_or_is_fetched():
    reader = Reader()
    reader.feed(html())
    assert reader.open == []
    names = {tag for tag, _ in reader.tags}
    assert not names & {"script", "iframe", "link", "object", "embed", "base", "form", "style audio", "video"}
    for tag, attributes in reader.tags:
        assert not [key for key in attributes if key.startswith("on")]
        for key in ("src", "href"):
            if attributes.get(key):
                assert attributes[key].startswith(("data:image/png;base64,", "#")), (tag, attributes)
    assert "url(" not in html()
    assert "@import" not in html()
    hostile = [words for words in reader.words if "alert(1)" in words]
    assert len(hostile) > 15  # shown as text, everywhere


def test_light_dark_and_phone():
    text = html()
    assert "prefers-color-scheme:dark" in text
    assert 'name="viewport" content="width=device-width' in text
    assert "max-width:640px" in text


def test_drawings_are_xml_and_stay_inside():
    plot = Plot((0, 10), (-1, 1), x_label="x", y_label=HOSTILE)
    plot.band([0, 10], [-1, -1], [1, 1], 0)
    plot.line([(0, 0), (5, math.nan), (10, 1)], 1, HOSTILE)
    plot.points([(3, 0.5)], 2, "dots")
    plot.cross(1, 0)
    plot.level(0)
    root = ET.fromstring(plot.svg(HOSTILE))
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert left <= float(circle.attrib["cx"]) <= width
        assert top <= float(circle.attrib["cy"]) <= height
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2  # a gap where y is not known
    assert ET.fromstring(rank_bars({HOSTILE: np.zeros(4, int), "b": np.arange(4)})) is not None


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low, width):
    found = ticks(low, low + width)
    assert len(found) <= 7
    slack = 1e-6 * (abs(low) + width)
    assert all(low - slack <= t <= low + width + slack for t in found)


def test_csv_keeps_all_digits_and_starts_no_formula():
    table = Table(name="t", title="t", columns=("a", "b"), rows=[["=1+1", 0.1 + 0.2], ["@x", math.nan], ["a,b\n", -3]])
    rows = list(csv.reader(io.StringIO(as_csv(table))))
    assert rows[0] == ["a", "b"]
    assert rows[1] == ["'=1+1", repr(0.1 + 0.2)]
    assert rows[2] == ["'@x", "nan"]
    assert rows[3] == ["a,b\n", "-3"]  # a number is a number


def test_markdown_has_one_line_per_row():
    text = as_markdown(section().tables[0])
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {3}
    assert "<script" not in text


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (-0.0, "0"), (1.23456, "1.235"), (-12.345, "−12.35"), (1234.5, "1234"), (1e-5, "1.0e−05"),
     (-4.5e-4, "−0.0004"), (7, "7"),
     (math.nan, "–"), (math.inf, "∞"), ("text", "text")],
)  # fmt: skip
def test_numbers_for_people(value, words):
    assert number(value) == words


def test_an_answer_is_that_of_the_worst_number():
    good, fair, bad, unknown = check(1.0), check(1.4), check(9.0), check(math.nan)
    assert answer([good, good]) == "yes"
    assert answer([good, fair]) == "partly"
    assert answer([good, fair, bad]) == "no"
    assert answer([good, unknown]) == "yes"
    assert answer([unknown]) == "unknown"
    assert answer([]) == "unknown"


def test_too_few_cells_are_no_answer_and_that_is_said():
    few = [check(1.0, cells=3)]
    assert answer(few) == "unknown"
    assert "3 cells prove too little" in reason(few)
    assert reason([check(1.0, cells=20)]) == ""


def test_the_files_of_a_report(tmp_path):
    path = write_report(tmp_path, title="t", intro=[], sections=[section()], settings={})
    assert path.read_text().startswith("<!doctype html>")
    for name in ("one.csv", "one.md", "two.csv", "problems.csv"):
        assert (tmp_path / "tables" / name).is_file()
    assert len((tmp_path / "tables" / "two.csv").read_text().splitlines()) == 51  # the page shows fewer
    assert "10 more rows in two.csv" in path.read_text() or "50 rows" in path.read_text()
    assert '"answer": "no"' in (tmp_path / "verdicts.json").read_text()
