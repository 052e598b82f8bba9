"""Five models whose faults are known must come out apart, on held-out cells of the synthetic world."""

import pytest

from copgen_jax.evaluation.protocols.protocol import Settings
from copgen_jax.evaluation.protocols.registry import PROTOCOLS
from copgen_jax.evaluation.protocols.running import Evaluation, evaluate, outcome_of, plan_task
from copgen_jax.evaluation.report.content import Section
from copgen_jax.evaluation.report.verdicts import answer, checks_by_source, faults
from copgen_jax.evaluation.scenes import WorldBench
from copgen_jax.evaluation.simulators import FAULTS, SimulatedSource
from copgen_jax.modalities import DEMO, ModalitySet

LEVEL_2A = DEMO.subset(["location", "DEM", "LULC", "S2L2A", "timestamp"])


def run(
    out, modalities: ModalitySet, *, cells: int, acquisitions: int, seeds: int, world: int = 7
) -> tuple[dict, Section]:
    """{model: {column: value}} of the table of five numbers, and the section."""
    bench = WorldBench(world, modalities, cells)
    settings = Settings(seeds=seeds, acquisitions=acquisitions)
    task = plan_task(PROTOCOLS["stochastic"], bench, settings)
    sources = tuple(SimulatedSource(name, bench) for name in FAULTS)
    evaluation = Evaluation(tasks=(task,), sources=sources, settings=settings, out=out)
    evaluate(evaluation)
    section = task.protocol.summarise(outcome_of(evaluation, task))
    table = section.tables[0]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert {row["cells"] for row in rows.values()} == {cells}
    return rows, section


def check_apart(rows: dict) -> None:
    ideal, mean, wide, narrow, biased = (rows[name] for name in FAULTS)
    assert 0.8 < ideal["intra-set ratio"] < 1.25
    assert abs(ideal["bias"]) < 0.02
    assert 0.85 < ideal["rank width"] < 1.18
    assert abs(ideal["rank bias"]) < 0.06

    assert mean["intra-set ratio"] < 0.01
    assert mean["recall"] == 0
    assert mean["precision"] > 0.6  # what makes precision alone misleading
    assert mean["rank width"] > 2

    assert wide["intra-set ratio"] > 2
    assert wide["recall"] >= ideal["recall"]  # and what makes recall alone misleading
    assert wide["precision"] < ideal["precision"] - 0.15
    assert wide["rank width"] < 0.85

    assert narrow["intra-set ratio"] == pytest.approx(0.7 * ideal["intra-set ratio"], rel=1e-3)
    assert narrow["recall"] < ideal["recall"] - 0.02
    assert narrow["rank width"] > ideal["rank width"] + 0.25
    assert abs(narrow["bias"] - ideal["bias"]) < 1e-3

    assert biased["bias"] == pytest.approx(ideal["bias"] + 0.1, abs=1e-3)
    assert biased["intra-set ratio"] == pytest.approx(ideal["intra-set ratio"], rel=1e-3)
    assert biased["rank bias"] < -0.2


def test_a_few_cells_tell_them_apart(tmp_path):
    rows, section = run(tmp_path, LEVEL_2A, cells=8, acquisitions=12, seeds=12)
    check_apart(rows)
    checks = checks_by_source([section])
    assert {answer(checks[name]["faithful"]) for name in FAULTS} == {"unknown"}  # 8 cells prove too little


def answers(section: Section) -> dict[str, dict[str, str]]:
    return {
        source: {question: answer(checks) for question, checks in by_question.items()}
        for source, by_question in checks_by_source([section]).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("world", [7, 11])  # the cut-offs were chosen on 7
def test_a_hundred_held_out_cells_and_the_verdicts(tmp_path, world):
    rows, section = run(tmp_path, LEVEL_2A, cells=100, acquisitions=16, seeds=16, world=world)
    check_apart(rows)
    for row in rows.values():
        print(row)
    given = answers(section)
    for name, by_question in given.items():
        print(name, by_question)
    ideal, mean, wide, narrow, biased = (given[name] for name in FAULTS)
    assert set(ideal.values()) == {"yes"}
    assert mean["diverse"] == "no"
    assert mean["calibrated"] == "no"
    assert wide["diverse"] == "no"
    assert wide["calibrated"] == "no"
    assert narrow["diverse"] != "yes"
    assert narrow["calibrated"] != "yes"
    assert biased["faithful"] == "no"
    assert biased["calibrated"] == "no"
    assert biased["diverse"] == "yes"
    said = {
        source: tuple(faults(checks) for checks in by_question.values())
        for source, by_question in checks_by_source([section]).items()
    }
    assert len(set(said.values())) == 5  # in words, all five are apart
