"""Protocols as data, and running them: whatever is odd is told, what is done is not done again."""

import dataclasses
import json

import numpy as np
import pytest

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.tables import best_of_n, leave_one_out
from copgen_jax.evaluation.protocols.estimate import estimate
from copgen_jax.evaluation.protocols.protocol import Settings
from copgen_jax.evaluation.protocols.registry import PROTOCOLS
from copgen_jax.evaluation.protocols.results import from_plain, to_plain
from copgen_jax.evaluation.protocols.running import Evaluation, evaluate, outcome_of, plan_task
from copgen_jax.evaluation.protocols.single_report import runs_of
from copgen_jax.evaluation.protocols.stochastic_checks import checks_of
from copgen_jax.evaluation.protocols.stochastic_numbers import source_numbers
from copgen_jax.evaluation.scenes import WorldBench
from copgen_jax.evaluation.simulators import Held, held
from copgen_jax.evaluation.sources import Sample, file_name
from copgen_jax.modalities import COPGEN, DEMO, ModalitySet

SMALL = DEMO.subset(["location", "DEM", "LULC", "S2L2A"])
BENCH = WorldBench(3, SMALL, 3)


@dataclasses.dataclass
class Echo:
    """Gives the truth, changed by a function of (name, values, seed)."""

    name: str = "echo"
    change: object = None
    drawn: list = dataclasses.field(default_factory=list)
    lost: tuple = ()
    every: ModalitySet = SMALL

    kind = "predictions"

    @property
    def settings(self):
        return {"kind": self.kind}

    def modalities(self, every):
        return every

    def cells(self):
        return None

    def seeds(self, scene, experiment):
        return experiment.seeds(scene)

    def draw(self, scenes, experiment):
        for scene in scenes:
            for i, seed in enumerate(self.seeds(scene.name, experiment)):
                if (scene.name, i) in self.lost:
                    continue
                self.drawn.append((scene.name, experiment.name, seed))
                truth = scene.truths[i % len(scene.truths)]
                names = experiment.wanted(self.every)
                change = self.change or (lambda name, values, seed: values)
                yield Sample(
                    cell=scene.name,
                    seed=seed,
                    values={name: change(name, np.array(truth[name]), seed) for name in names},
                )


def run(out, source, *protocols, bench=BENCH, settings=None, **how):
    settings = settings or Settings(seeds=3, acquisitions=3)
    tasks = tuple(plan_task(PROTOCOLS[name], bench, settings) for name in protocols)
    evaluation = Evaluation(tasks=tasks, sources=(source,), settings=settings, out=out)
    evaluate(evaluation, **how)
    return [outcome_of(evaluation, task) for task in tasks]


# protocols as data


@pytest.mark.parametrize(
    ("name", "sets", "seeds"),
    [("stochastic", 1, 16), ("peak", 7, 20), ("leave-one-out", 15, 8), ("band-infilling", 12, 8), ("narrowing", 6, 25),
     ("spectra", 1, 8), ("seasonality", 4, 25), ("climate", 8, 51), ("location", 1, 25)],
)  # fmt: skip
def test_sizes_are_the_published_ones(name, sets, seeds):
    experiments = PROTOCOLS[name].experiments(COPGEN, False)
    assert len(experiments) == sets
    assert len({e.name for e in experiments}) == sets
    for experiment in experiments:
        assert len(set(experiment.pool)) == len(experiment.pool)
        wanted, given = experiment.wanted(COPGEN), COPGEN.resolve(experiment.given)
        assert wanted
        assert not set(wanted) & set(given)
    assert min(len(e.seeds("433D_629L")) for e in experiments) == seeds


def test_fifteen_runs_give_the_thirty_rows_of_leave_one_out():
    rows = set()
    for experiment in PROTOCOLS["leave-one-out"].experiments(COPGEN, False):
        assert "timestamp" not in experiment.given
        assert "cloud_mask" in experiment.given
        one, other = experiment.want
        rows |= {(one, other), (other, one)}
    assert len(rows) == 30


def test_infilling_has_every_split():
    splits = {(e.given, e.want) for e in PROTOCOLS["band-infilling"].experiments(COPGEN, False)}
    assert (("S2L2A_10m",), ("S2L2A_60m", "S2L2A_20m")) in splits
    assert (("S2L1C_60m", "S2L1C_20m"), ("S2L1C_10m",)) in splits


def test_seeds_are_the_published_selection():
    (experiment,) = PROTOCOLS["stochastic"].experiments(COPGEN, False)
    first = (0, 1, 3, 8, 10, 11, 13, 14, 16, 18, 19, 20, 22, 25, 29, 30)
    assert experiment.seeds("106D_246R") == first
    assert len({experiment.seeds(f"{row}U_0R") for row in range(20)}) == 20


def test_which_conditions_the_world_redraws_exactly():
    stochastic = PROTOCOLS["stochastic"].experiments(COPGEN, True)[0]
    assert held(stochastic, COPGEN) == Held((), True)
    narrowing = PROTOCOLS["narrowing"].experiments(COPGEN, True)
    assert [held(e, COPGEN) for e in narrowing] == [
        Held((), False), Held(("timestamp",), False), Held(("timestamp", "cloud_mask"), False), None, None,
    ]  # fmt: skip
    assert held(PROTOCOLS["stochastic"].experiments(COPGEN, False)[0], COPGEN) is None
    assert all(held(e, COPGEN) is None for e in PROTOCOLS["climate"].experiments(COPGEN, True))


def test_given_values_can_be_replaced():
    bench = WorldBench(3, DEMO, 1)
    scene = bench.scene(bench.names[0], 1)
    by_name = {e.name: e for e in PROTOCOLS["seasonality"].experiments(DEMO, True)}
    dated = by_name["dated"].conditions(scene, DEMO).values["timestamp"]
    later = by_name["another-date"].conditions(scene, DEMO).values["timestamp"]
    assert later - dated == np.timedelta64(183, "D")
    moved = by_name["another-place"].conditions(scene, DEMO).values["location"]
    assert moved.tolist() == [25.75, 25.69]
    water = PROTOCOLS["climate"].experiments(DEMO, True)[0].conditions(scene, DEMO)
    assert set(water.values) == {"LULC", "cloud_mask"}
    assert np.unique(water.values["LULC"]).tolist() == [1]


def test_the_published_swaps_of_date_and_place():
    """Three of the nine, from the published table."""
    bench = WorldBench(3, DEMO, 1)
    scene = bench.scene(bench.names[0], 1)
    undated = {name: value for name, value in scene.place.values.items() if name != "timestamp"}
    date, place = PROTOCOLS["seasonality"].experiments(COPGEN, False)[2:]
    for cell, day, where in (
        ("521U_130R", "2020-11-12", [-27.08, 22.42]),
        ("770U_115R", "2014-07-01", [25.75, 25.69]),
        ("573U_120R", "2022-01-01", [-3.48, -65.16]),
    ):
        here = dataclasses.replace(scene, name=cell, place=dataclasses.replace(scene.place, values=undated))
        given = date.conditions(here, DEMO).values
        assert str(given["timestamp"]) == day
        assert set(given) == {"DEM", "LULC", "location", "timestamp"}  # the cloud mask of another day is not given
        assert not date.lacking(here, DEMO)
        assert place.conditions(here, DEMO).values["location"].tolist() == where
        assert "timestamp" not in place.given
    here = dataclasses.replace(scene, place=dataclasses.replace(scene.place, values=undated))
    assert date.lacking(here, DEMO) == ("timestamp",)  # half a year after what?


def test_a_section_says_how_it_differs_from_what_is_published(tmp_path):
    (outcome,) = run(tmp_path, Echo(), "spectra")
    said = outcome.protocol.summarise(outcome).settings
    for words in ("one chosen seed per tile", "The place is given", "the data has none", "At most 3 seeds"):
        assert any(line.startswith("Deviation") and words in line for line in said), words
    best = outcome.protocol.summarise(outcome).tables[1]
    assert {row[2] for row in best.rows} == {34}  # of other cells the first seed that was drawn
    assert all(row[4] == 0 for row in best.rows)


# numbers


def test_the_truth_itself_has_no_error(tmp_path):
    outcomes = run(tmp_path, Echo(), "peak", "leave-one-out", "location")
    for outcome, select in zip(outcomes, (best_of_n, leave_one_out, best_of_n), strict=True):
        runs = runs_of(outcome, "echo")
        assert runs
        for one in runs:
            for target, scores in one.report.items():
                perfect = {"mae": 0.0, "overall_top1": 1.0, "median_km": pytest.approx(0, abs=1e-6)}
                (metric,) = set(scores) & set(perfect)
                assert scores[metric] == perfect[metric], (target, scores)
        assert any(select(one, target) for one in runs for target in one.report)


def test_a_constant_error_is_the_mean_error(tmp_path):
    def change(name, values, seed):
        return values + np.float32(0.01 * seed) if name.startswith("S2L2A") else values

    (outcome,) = run(tmp_path, Echo(change=change), "band-infilling")
    section = outcome.protocol.summarise(outcome)
    seeds = outcome.experiments[0].seeds("any")
    errors = [row[3] for row in section.tables[0].rows]
    assert errors == pytest.approx([0.01 * np.mean(seeds)] * len(errors), rel=1e-4)


def test_samples_that_are_the_truths_are_as_wide_as_they(tmp_path):
    (outcome,) = run(tmp_path, Echo(), "stochastic", settings=Settings(seeds=4, acquisitions=4))
    (experiment,) = outcome.experiments
    numbers = source_numbers(outcome.of("echo", experiment))
    assert numbers["ratio"] == pytest.approx(1)
    assert numbers["bias"] == pytest.approx(0, abs=1e-7)
    assert numbers["recall"] == numbers["precision"] == 1
    assert numbers["nn"] == 0  # copies, not excellence: every nearest neighbour is the copy


def test_bright_b10_under_a_clear_sky_is_seen(tmp_path):
    bench = WorldBench(3, DEMO.subset(["location", "DEM", "LULC", "cloud_mask", "S2L1C", "S2L2A"]), 2)

    def offset(name, values, seed):
        return values + np.float32(0.1) if name == "S2L1C_60m" else values

    def cirrus(where, change):
        (outcome,) = run(tmp_path / where, Echo(change=change, every=bench.modalities), "stochastic", bench=bench)
        mine = source_numbers(outcome.of("echo", outcome.experiments[0]))
        (check,) = [c for c in checks_of(mine, None) if "B10" in c.what]
        return mine, check

    mine, check = cirrus("truth", None)
    assert mine["cirrus when clear"] == mine["cirrus when clear, real"] < 0.05  # the world's clear skies are dark
    assert check.answer == "yes"
    mine, check = cirrus("offset", offset)
    assert mine["cirrus when clear"] == 1
    assert (check.answer, check.word, check.cells) == ("no", "cirrus in a clear sky", 2)


# bad input


def problems(outcome) -> list[str]:
    (experiment,) = outcome.experiments
    return [p for result in outcome.of("echo", experiment) for p in result.problems]


def test_nan_pixels_are_told_and_not_averaged_away(tmp_path):
    def change(name, values, seed):
        if name == "S2L2A_10m":
            values[0, 0, 0] = np.nan
        return values

    (outcome,) = run(tmp_path, Echo(change=change), "stochastic")
    assert any("NaN pixels" in p for p in problems(outcome))
    numbers = source_numbers(outcome.of("echo", outcome.experiments[0]))
    assert np.isnan(numbers["recall"])
    assert np.isnan(numbers["bias"])


def test_one_sample_and_constant_images_are_told(tmp_path):
    (outcome,) = run(tmp_path / "one", Echo(), "stochastic", settings=Settings(seeds=1, acquisitions=3))
    assert any("two are needed" in p for p in problems(outcome))
    assert any("no spread" in p for p in problems(outcome))
    (outcome,) = run(tmp_path / "flat", Echo(change=lambda name, values, seed: 0 * values + 0.1), "stochastic")
    assert any("constant in every band" in p for p in problems(outcome))
    assert any("exact copies" in p for p in problems(outcome))
    assert outcome.protocol.summarise(outcome).problems


def test_other_band_counts_and_missing_bands_are_told(tmp_path):
    (outcome,) = run(tmp_path, Echo(change=lambda name, values, seed: values[:-1] if name == "S2L2A_20m" else values),
                     "stochastic")  # fmt: skip
    assert all(not result.data for result in outcome.of("echo", outcome.experiments[0]))
    assert any("not scored: no sample is complete" in p for p in problems(outcome))


def test_one_broken_sample_is_left_out_and_counted(tmp_path):
    def change(name, values, seed):
        return values[:-1] if (name, seed) == ("S2L2A_20m", 34) else values

    (outcome,) = run(tmp_path, Echo(change=change), "spectra")
    assert {result.samples for result in outcome.of("echo", outcome.experiments[0])} == {3}
    assert any(p.startswith("seed 34 is left out: S2L2A_20m has 5 bands") for p in problems(outcome))
    assert "2 of 3 samples scored" in problems(outcome)
    (best,) = {row[2] for row in outcome.protocol.summarise(outcome).tables[1].rows}
    assert best == 78  # the first that is complete


@dataclasses.dataclass
class Files(Echo):
    """Has files of some cells only."""

    there: tuple = ()

    def cells(self):
        return frozenset(self.there)

    def seeds(self, scene, experiment):
        return experiment.seeds(scene) if scene in self.there else ()


def test_cells_of_one_side_only_are_told_and_counted(tmp_path):
    (outcome,) = run(tmp_path, Files(there=(*BENCH.names[:2], "1U_1R")), "spectra")
    section = outcome.protocol.summarise(outcome)
    assert ("echo", BENCH.names[2], "no samples of this cell: in the data only") in section.problems
    assert ("echo", "1U_1R", "not in the data: in the samples only") in section.problems
    assert any("echo lacks 1 cell of the data and has 1 cell that the data lacks" in line for line in section.settings)


def test_a_cell_with_fewer_samples_is_told(tmp_path):
    lost = (BENCH.names[0], 1)
    (outcome,) = run(tmp_path, Echo(lost=(lost,)), "spectra")
    results = {r.cell: r for r in outcome.of("echo", outcome.experiments[0])}
    assert results[BENCH.names[0]].samples == 2
    assert any("2 of 3 samples" in p for p in results[BENCH.names[0]].problems)
    assert results[BENCH.names[1]].problems == ("samples: 2 of 3 images are exact copies of another",)


# running


def test_what_is_done_is_not_done_again(tmp_path):
    first = Echo()
    run(tmp_path, first, "spectra")
    assert len(first.drawn) == 9
    path = next((tmp_path / "cells").rglob(f"{BENCH.names[1]}.json"))
    before = {p: p.read_bytes() for p in (tmp_path / "cells").rglob("*.json")}
    path.unlink()
    again = Echo()
    run(tmp_path, again, "spectra")
    assert {cell for cell, _, _ in again.drawn} == {BENCH.names[1]}
    after = {p: p.read_bytes() for p in (tmp_path / "cells").rglob("*.json")}
    for p, content in before.items():
        ours, theirs = (json.loads(text) for text in (content, after[p]))
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_the_estimate_counts_what_is_left_and_measures_what_it_costs(tmp_path):
    def planned(source):
        settings = Settings(seeds=3, acquisitions=3)
        tasks = (plan_task(PROTOCOLS["spectra"], BENCH, settings),)
        return estimate(Evaluation(tasks=tasks, sources=(source,), settings=settings, out=tmp_path))

    before = planned(Echo())
    assert (before.cells, before.samples) == (3, 9)
    assert 0 < before.seconds < 60
    run(tmp_path, Echo(), "spectra")
    done = planned(Echo())
    assert (done.cells, done.samples, done.seconds) == (0, 0, 0.0)


def test_shards_together_are_the_whole(tmp_path):
    parts = [Echo(), Echo()]
    for i, part in enumerate(parts):
        run(tmp_path, part, "spectra", shard=(i, 2))
    assert not {d[0] for d in parts[0].drawn} & {d[0] for d in parts[1].drawn}
    rest = Echo()
    (outcome,) = run(tmp_path, rest, "spectra")
    assert not rest.drawn
    assert [r.cell for r in outcome.of("echo", outcome.experiments[0])] == list(BENCH.names)


def test_results_of_something_else_are_not_mixed_in(tmp_path):
    run(tmp_path, Echo(), "spectra")
    with pytest.raises(InputError, match="other settings"):
        run(tmp_path, Echo(), "spectra", settings=Settings(seeds=2))
    with pytest.raises(InputError, match="other data"):
        run(tmp_path, Echo(), "spectra", bench=WorldBench(4, SMALL, 3))
    run(tmp_path, Echo(), "spectra", settings=Settings(seeds=2), overwrite=True)


def test_damage_names_the_file(tmp_path):
    run(tmp_path, Echo(), "spectra")
    path = next((tmp_path / "cells").rglob("*.json"))
    path.write_text("{")
    with pytest.raises(InputError, match=path.name):
        run(tmp_path, Echo(), "spectra")


def test_numbers_survive_the_file():
    value = {"a": [1.5, float("nan"), float("inf"), -float("inf")], "b": {"c": np.float32(2)}, "d": np.arange(3)}
    back = from_plain(json.loads(json.dumps(to_plain(value), allow_nan=False)))
    assert np.isnan(back["a"][1])
    assert back["a"][2:] == [float("inf"), -float("inf")]
    assert back["b"] == {"c": 2.0}
    assert back["d"] == [0, 1, 2]


def test_file_names_are_harmless_and_unique():
    for text in ("../../etc/passwd", "a/b", "a\\b", "a b", "x" * 300, "é", ""):
        name = file_name(text)
        assert "/" not in name
        assert "\\" not in name
        assert not name.startswith(".")
        assert len(name) <= 100
    assert file_name("a/b") != file_name("a b")
    assert file_name("433D_629L_patch_3") == "433D_629L_patch_3"
