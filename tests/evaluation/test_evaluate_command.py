"""`copgen evaluate`: plans, runs on real tiles and on the world with a model of random weights, resumes, refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from feature_weights import weights
from random_models import random_model
from safetensors.numpy import save_file

from copgen_jax.cli import main
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.scenes import WorldBench
from copgen_jax.evaluation.sources import NetworkSource
from copgen_jax.generate.generator import load
from copgen_jax.modalities import COPGEN, DEMO
from copgen_jax.nn.perceptual import ALEXNET, lpips_names

TILES = Path(__file__).parents[3] / "shared" / "tiles"
OFFSETS = ["--s2-offset", "433D_629L_3_1=1000", "S2L2A=0"]
FEW = DEMO.subset(["location", "DEM", "LULC", "cloud_mask", "S2L2A"])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("model") / "random", FEW)


def run(*words) -> int:
    return main(["evaluate", *map(str, words)])


@pytest.mark.skipif(not TILES.is_dir(), reason="the three real tiles are not here")
def test_real_tiles_end_to_end(model, tmp_path, capsys):
    words = ["peak", "leave-one-out", "spectra", "--model", f"random weights={model}", "--data", TILES, *OFFSETS]
    words += ["--out", tmp_path, "--seeds", "2"]
    assert run(*words, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["cells"] == 3 * (4 + 6 + 1)
    assert plan["samples"] == 2 * plan["cells"]
    assert not (tmp_path / "cells").exists()

    assert run(*words) == 0
    said = capsys.readouterr().out
    assert "the estimate was" in said
    page = (tmp_path / "report.html").read_text()
    assert "random weights" in page
    assert "3 cells can prove little" in page
    assert "cloud_mask is not in the data" in page  # a deviation, since these tiles have no cloud mask
    assert "Published values are not shown" in page
    assert "SYNTHETIC" not in page
    for name in ("peak_best_images", "peak_best_land_cover", "leave_one_out_tiles_images", "spectra"):
        lines = (tmp_path / "tables" / f"{name}.csv").read_text().splitlines()
        assert len(lines) > 1, name
    rows = (tmp_path / "tables" / "leave_one_out_tiles_images.csv").read_text().splitlines()[1:]
    assert {tuple(row.split(",")[:2]) for row in rows} >= {("DEM", "without LULC"), ("S2L2A", "without location")}
    assert not list((tmp_path / "drawn").rglob("*.npz"))  # kept only until their cell is scored

    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cells").rglob("*.json")}
    assert run(*words) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cells").rglob("*.json")} == before


def test_the_world_brings_its_known_rows(model, tmp_path, capsys):
    words = ["stochastic", "location", "--model", model, "--data", "world:1", "--cells", 2, "--seeds", 2]
    assert run(*words, "--acquisitions", 3, "--out", tmp_path, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["verdicts"]) == ["random", "ideal draws", "conditional mean"]
    assert {v["answer"] for v in result["verdicts"]["random"].values()} == {"unknown"}  # two cells prove nothing
    page = Path(result["report"]).read_text()
    assert "SYNTHETIC DATA" in page
    five = (tmp_path / "tables" / "stochastic_five.csv").read_text()
    assert {line.split(",")[0] for line in five.splitlines()[1:]} == set(result["verdicts"])
    assert (tmp_path / "tables" / "location.csv").read_text().count("\n") == 2


def test_deep_columns_come_with_weight_files(tmp_path, capsys):
    alexnet = weights(lpips_names(ALEXNET), 0)
    for part, letters in (("alexnet", "f"), ("alex", "l")):  # as torchvision and lpips publish them: two files
        held = {name: value for name, value in alexnet.items() if name.startswith(letters)}
        save_file(held, tmp_path / f"{part}.safetensors")
    words = ["stochastic", "--data", "world:1", "--cells", 1, "--seeds", 2, "--acquisitions", 2, "--out", tmp_path]
    files = tmp_path / "alexnet.safetensors", tmp_path / "alex.safetensors"
    assert run(*words, "--lpips", *files) == 0
    columns = (tmp_path / "tables" / "stochastic_columns.csv").read_text()
    values = {tuple(line.split(",")[:2]): float(line.split(",")[2]) for line in columns.splitlines()[1:]}
    assert values["ideal draws", "model_lpips_intra_set"] > 0
    assert values["conditional mean", "model_lpips_intra_set"] == pytest.approx(0, abs=1e-6)
    assert not any("rgb" in column for _, column in values)
    page = (tmp_path / "report.html").read_text()
    assert "rgb_ columns are left out: no ResNet-50 weights were given" in page
    assert "lpips_ columns are left out" not in page
    assert run(*words) == 2  # without the weights these would be other columns
    assert run(*words, "--resnet50", files[0]) == 2
    assert "no conv1.weight" in capsys.readouterr().err


def test_kept_samples_are_not_drawn_again(model, tmp_path):
    bench = WorldBench(1, FEW, 1)
    scene = bench.scene(bench.names[0], 1)
    experiment = Experiment(name="e", given=("DEM",), want=("LULC",), pool=(5, 6, 7), count=3)
    source = NetworkSource(name="random", generator=load(model), kept=tmp_path)
    drawing = source.draw([scene], experiment)
    first = next(drawing)
    drawing.close()  # interrupted: some samples are kept
    kept = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.npz")}
    assert kept
    samples = {sample.seed: sample for sample in source.draw([scene], experiment)}
    assert sorted(samples) == [5, 6, 7]
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.npz") if p.name in kept} == kept
    np.testing.assert_array_equal(samples[first.seed].values["LULC"], first.values["LULC"])
    alone = {s.seed: s for s in NetworkSource(name="again", generator=load(model)).draw([scene], experiment)}
    np.testing.assert_array_equal(alone[6].values["LULC"], samples[6].values["LULC"])
    source.forget(scene.name, experiment)
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["stochastics", "--data", "world:0"], "did you mean stochastic"),
        (["peak", "--data", "world:x", "--faulty"], "whole number"),
        (["peak", "--data", "world:0", "--shard", "2/2", "--faulty"], "--shard"),
        (["peak", "--data", "world:0", "--cells", "0", "--faulty"], "--cells"),
        (["peak", "--data", "nowhere", "--faulty"], "nowhere"),
        (["peak", "--data", "world:0", "--predictions", "a=nowhere"], "--predictions-offset a=1000"),
        (["peak", "--data", "world:0", "--predictions", "a=nowhere", "--predictions-offset", "a=0"], "no directory"),
        (["peak", "--data", "world:0", "--model", "nowhere"], "nowhere"),
        (["peak", "--data", "world:0", "--faulty", "--climate", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(words, sentence, tmp_path, capsys):
    assert run(*words, "--out", tmp_path / "report") == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not (tmp_path / "report").exists()


def test_a_world_of_the_models_size():
    bench = WorldBench(0, DEMO, 1)
    assert bench.scene(bench.names[0], 1).truths[0]["S2L2A_10m"].shape == (4, 96, 96)
    assert set(bench.scene(bench.names[0], 1).truths[0]) == set(DEMO.names)
    assert set(COPGEN.names) == set(DEMO.names)
