"""`python -m benchmarks NAME --quick` for what measures speed; what takes long to compile is marked slow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import SPEED
from benchmarks.contest import Work, contest
from benchmarks.scaling import all_reduce_seconds, collectives

ROOT = Path(__file__).parents[2]


def benchmarks(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SPEED, "evaluations", "flatness"])
def test_quick(name, tmp_path):
    if name == "serving":
        pytest.importorskip("flatbuffers")
    done = benchmarks(name, "--quick", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / f"{name}.json").read_text())
    assert record["rows"]
    assert record["quick"]
    assert {"load", "processor", "threads", "date", "versions", "device"} <= set(record)
    assert all(set(row) == set(record["rows"][0]) for row in record["rows"])
    page = tmp_path / "RESULTS.md"
    from benchmarks.report import write

    write(tmp_path, page)
    assert record["title"] in page.read_text()
    assert "a quick run" in page.read_text()


@pytest.mark.slow
def test_contestants_take_turns_and_say_what_they_took():
    work = Work(side="jax", task="matmul", options={"shape": (64, 64, 64)})
    found = contest({"a": work, "b": work}, rounds=4)
    assert list(found) == ["a", "b"]
    for measured in found.values():
        assert len(measured.wall) == len(measured.processor) == 4
        assert 0 < measured.least <= measured.median < measured.first
        assert measured.peak_megabytes > 50


def test_wrong_options_are_refused():
    done = benchmarks("backbone", "--size", "enormous")
    assert done.returncode == 2
    assert "enormous" in done.stderr


PROGRAM = """\
HloModule step

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%body (p: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %gathered = f32[32,8]{1,0} all-gather(%x), dimensions={0}
  %half = bf16[16]{0} reduce-scatter(%y), to_apply=%add
}

%condition (p: (s32[], f32[4,8])) -> pred[] {
  ROOT %less = pred[] compare(%i, %n)
}

ENTRY %main (x: f32[4,8]) -> f32[4,8] {
  %loop = (s32[], f32[4,8]) while(%t), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"10"}}
  %begun = (f32[100], f32[100]) all-reduce-start(%g), to_apply=%add
  %done = f32[100]{0} all-reduce-done(%begun)
  %pair = (f32[3]{0}, s32[2]{0}) all-reduce(%a, %b), to_apply=%add
}
"""


def test_collectives_of_loops_count_for_every_trip():
    counts, sizes = collectives(PROGRAM)
    assert {k: v for k, v in counts.items() if v} == {"all-reduce": 2, "all-gather": 10, "reduce-scatter": 10}
    assert sizes["all-gather"] == 10 * 32 * 8 * 4
    assert sizes["reduce-scatter"] == 10 * 16 * 2
    assert sizes["all-reduce"] == 100 * 4 + 3 * 4 + 2 * 4


def test_a_ring_in_a_node_and_between_nodes():
    assert all_reduce_seconds(450e9, 1) == 0
    assert all_reduce_seconds(450e9, 8) == pytest.approx(2 * 7 / 8)
    # Between nodes each of the eight GPUs sends its eighth.
    assert all_reduce_seconds(450e9, 16) == pytest.approx(2 * 7 / 8 + 2 * 1 / 2 * 450 / 8 / 50)
