"""The demo model's recipe and its gates: same commands, same numbers; a gate says met where it is, and only there."""

import dataclasses
import json
import re
import shlex

import jax
import numpy as np
import pytest
from processes import environment

from copgen_jax.checkpoints import find_model, load_model
from copgen_jax.config import preset
from recipes.demo import gates, logs
from recipes.demo.__main__ import main
from recipes.demo.stages import SHORT_STEPS, stages


def table(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


@pytest.fixture
def tables(tmp_path):
    """A report with a perfect model, a collapsed one, and the two rows of the simulator."""
    columns = "model,cells,intra-set ratio,precision,recall,bias,rank width,rank bias,1-NN accuracy,spread/error"
    rows = [("good", 0.95, 0.9, 0.9, 0.6, 1.0), ("collapsed", 0.1, 1.0, 0.0, 0.97, 0.1)]
    rows += [(gates.IDEAL, 1.0, 0.98, 0.98, 0.5, 1.0), (gates.MEAN, 0.0, 1.0, 0.0, 0.97, 0.0)]
    five = [(m, 100, intra, p, r, 0, 1, 0, nn, spread) for m, intra, p, r, nn, spread in rows]
    table(tmp_path / "stochastic_five.csv", columns, five)
    coverage = [(m, "model_coverage_mean", c) for m, c in zip([r[0] for r in rows], (0.9, 0.2, 0.95, 0.1), strict=True)]
    table(tmp_path / "stochastic_columns.csv", "model,column,mean", coverage)
    header = "model,band,given,spread,of the first,of the one before,95 % from,to,cells narrower,cells"
    steps = {"good": (0.9, 0.8, 1.0), gates.IDEAL: (0.92, 0.85, 0.99), "collapsed": (1.2, 1.1, 1.3)}
    narrowing = [(m, "all", "DEM", 1, 1, 1.0, 1.0, 1.0, 0, 100) for m in steps]
    narrowing += [(m, "all", "+ date", 1, 1, *step, 0.5, 100) for m, step in steps.items()]
    table(tmp_path / "narrowing.csv", header, narrowing)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "missed"),
    [
        ("good", set()),
        ("collapsed", {"1-NN accuracy", "recall", "intra-set ratio", "spread/error", "coverage", "narrowing, + date"}),
    ],
)
def test_gates_of_samples(tables, model, missed):
    found = [*gates.of_distributions(tables, model), *gates.of_narrowing(tables, model)]
    assert {gate.name for gate in found if not gate.met} == missed
    assert len(found) == 7
    assert all(word in gates.as_markdown(found) for word in ("| met |", "recall"))


@pytest.mark.parametrize(("rmse", "met"), [(0.0149, (True, True)), (0.0151, (False, True)), (0.03, (False, False))])
def test_gates_of_autoencoders(rmse, met):
    one = {"held_out": {"rmse": {"B02": {"autoencoder": rmse, "block_mean": 0.03}}}}
    found = list(gates.of_autoencoders({"S2L2A_10m": one, "S2L1C_10m": one}))
    assert tuple(gate.met for gate in found[:2]) == tuple(gate.met for gate in found[2:]) == met


def test_recipe_is_commands_of_the_program(tmp_path, capsys):
    from copgen_jax.cli import COMMANDS

    assert main(["--out", str(tmp_path / "runs"), "--dry-run", "--jobs", "3", "--gpu"]) == 0
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert {words[1] for words in commands} <= set(COMMANDS)
    todo = stages(tmp_path / "runs", jobs=3, gpu=True)
    assert [words[1:] for words in commands] == [list(stage.arguments) for stage in todo]
    assert {stage.name for stage in todo} > {"S2L2A_10m-3", "DEM-2", "cloud_mask-1", "latents-1", "backbone", "model"}
    written: set[str] = set()
    for wave in range(max(stage.wave for stage in todo) + 1):
        now = [stage for stage in todo if stage.wave == wave]
        needed = {word for stage in now for word in stage.arguments if word.startswith(str(tmp_path / "runs"))}
        assert needed - {str(stage.writes) for stage in now} <= written
        written |= {str(stage.writes) for stage in now}
    assert not (tmp_path / "runs").exists()


def test_short_variant_gives_the_recorded_curves(tmp_path, monkeypatch):
    recorded = json.loads(logs.SHORT.read_text())
    if recorded["versions"] != logs.versions():
        pytest.skip(f"recorded with {recorded['versions']}, here are {logs.versions()}")
    for name, value in environment(tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    assert main(["--short", "--out", str(tmp_path)]) == 0
    found = logs.short_curves(tmp_path)
    assert found.keys() == recorded["curves"].keys()
    for name, losses in found.items():
        assert len(losses) == SHORT_STEPS
        np.testing.assert_allclose(losses, recorded["curves"][name], rtol=1e-4, err_msg=name)


def test_the_packaged_model_is_the_presets_and_small():
    """Whole (its files are compared with their hashes), within the sizes it was asked to have, of no machine."""
    path = find_model("demo")
    config, params = load_model(path)
    asked = preset("demo")
    assert (config.backbone, config.prediction, config.solver) == (asked.backbone, asked.prediction, asked.solver)
    assert dict(config.autoencoders) == dict(asked.autoencoders)
    assert config.modalities.names == asked.modalities.names

    def count(tree):
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    assert count(params["backbone"]) <= 8_000_000
    assert max(count(tree) for tree in params["autoencoders"].values()) <= 600_000
    files = [file.read_bytes() for file in path.rglob("*") if file.is_file()]
    assert sum(map(len, files)) <= 30_000_000
    assert not any(re.search(rb"/(tmp|root|home|work)/", content) for content in files)


def test_gate_is_plain_data():
    gate = gates.Gate(name="x", value=1.0, wanted="1", met=True)
    assert json.loads(json.dumps(dataclasses.asdict(gate)))["met"] is True
