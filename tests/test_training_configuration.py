"""`--config`: every file resolves, settings change one thing, and typos are named."""

import dataclasses
import sys
from pathlib import Path

import pytest

from copgen_jax.cli import main
from copgen_jax.cli.configuration import backbone_training
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN
from copgen_jax.training.config import BackboneTraining, training_preset

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_file_resolves_and_says_how_to_launch(path):
    text = path.read_text()
    assert "copgen train" in text
    assert "Expect" in text
    if "train backbone" in text:
        assert isinstance(backbone_training(str(path), []), BackboneTraining)


@pytest.mark.parametrize("name", ["base", "large", "huge", "demo", "tiny"])
def test_presets_pass_through_unchanged(name):
    assert backbone_training(name, []) == training_preset(name)
    path = next(p for p in CONFIGS if p.stem == name)
    assert backbone_training(str(path), []) == training_preset(name)


def test_settings_of_every_kind():
    words = [
        "--config.batch_size=96",
        "--config.optimiser.learning_rate=1e-3",
        "--config.optimiser.clip_norm=2",
        "--config.objective.min_snr=5.0",
        "--config.objective.modality_weights.DEM=2.5",
        "--config.objective.continuous_time=true",
        "--config.modalities=DEM,S2L2A",
        "--config.habits.fsdp=4",
        "--config.prediction",
        "v",
    ]
    found = backbone_training("base", words)
    base = training_preset("base")
    assert found == dataclasses.replace(
        base,
        batch_size=96,
        prediction="v",
        modalities=("DEM", "S2L2A"),
        optimiser=dataclasses.replace(base.optimiser, learning_rate=1e-3, clip_norm=2.0),
        objective=dataclasses.replace(base.objective, min_snr=5.0, modality_weights={"DEM": 2.5}, continuous_time=True),
        habits=dataclasses.replace(base.habits, fsdp=4),
    )


def test_sets_of_what_is_given_are_products_joined_by_plus():
    words = ["--config.objective.given_sets=DEM+S2L2A, LULC", "--config.objective.given_sets_share=0.5"]
    found = backbone_training("tiny", words)
    assert found.objective.given_sets == ("DEM+S2L2A", "LULC")
    assert found.make_objective().given_sets == (("DEM", "S2L2A_60m", "S2L2A_10m", "S2L2A_20m"), ("LULC",))
    trained = COPGEN.subset(["DEM", "LULC", "S2L2A_20m"])
    assert found.make_objective(trained).given_sets == (("DEM", "S2L2A_20m"), ("LULC",))
    with pytest.raises(InputError, match="unknown product or modality 'LULC'"):
        found.make_objective(COPGEN.subset(["DEM", "S2L2A"]))


def test_what_may_be_none_can_be_unset():
    words = ["--config.optimiser.decay_steps=none", "--config.habits.fsdp=none", "--config.optimiser.clip_norm=none"]
    demo = training_preset("demo")
    assert demo.optimiser.decay_steps is not None
    expected = dataclasses.replace(demo, optimiser=dataclasses.replace(demo.optimiser, decay_steps=None))
    assert backbone_training("demo", words) == expected
    with pytest.raises(InputError, match="batch_size=none"):
        backbone_training("demo", ["--config.batch_size=none"])


@pytest.mark.parametrize(
    ("config", "words", "message"),
    [
        ("base", ["--config.batchsize=3"], "has no 'batchsize': did you mean batch_size"),
        ("base", ["--config.learning_rat=3"], "did you mean optimiser.learning_rate"),
        ("base", ["--config.batch_size=many"], "batch_size=many"),
        ("base", ["--bach"], "unknown argument '--bach'"),
        ("bass", [], "neither a preset nor a file: did you mean base"),
        ("base", ["--config.objective.modality_weights.DME=2"], "modality_weights.DEM"),
        ("base", ["--config.objective.given_sets=DEM+LULK"], "unknown product or modality 'LULK': did you mean LULC"),
    ],
)
def test_typos(config, words, message):
    with pytest.raises(InputError, match=message):
        backbone_training(config, words)


@pytest.mark.parametrize(
    ("text", "message"),
    [("def get_config(:", "is no Python file"), ("x = 1", "has no get_config"), ("get_config = lambda: 3", "a int")],
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError, match=message):
        backbone_training(str(tmp_path / "mine.py"), [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config.batch_size=12"], "does not divide between 8 devices"),
        (["--latents", "/nowhere/latents"], "is no latent store"),
        (["--config.habits.fsdp=3"], "8 devices do not divide into groups of 3"),
        (["--config.modalities=DME"], "did you mean DEM"),
        (["--config.modalities=DEM,S2L2A", "--config.objective.given_sets=LULC"], "unknown product or modality 'LULC'"),
        (["--wandb", "copgen"], "pip install 'copgen_jax[wandb]'"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.setattr("copgen_jax.training.worldlatents.PATCHES", 2)
    monkeypatch.setitem(sys.modules, "wandb", None)
    start = ["train", "backbone", "--config", "tiny", "--latents", "world", "--out", str(tmp_path / "run")]
    assert main([*start, *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()
