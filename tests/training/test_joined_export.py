"""A backbone's run and the autoencoders of its latents become one model directory."""

import dataclasses

import jax
import numpy as np
import pytest
from latent_stores import DESCRIPTION, cell_names, make_store
from random_models import random_model, random_params

from copgen_jax.checkpoints import load_config, load_hashes, load_model
from copgen_jax.cli import main
from copgen_jax.config import SolverConfig
from copgen_jax.errors import InputError
from copgen_jax.modalities import TINY
from copgen_jax.training import export
from copgen_jax.training.backbone import plan_backbone
from copgen_jax.training.checkpointing import Checkpoints
from copgen_jax.training.config import training_preset
from copgen_jax.training.export import export_model
from copgen_jax.training.optimiser import make_optimiser, start_state
from copgen_jax.training.run import open_run


@pytest.fixture(scope="module")
def autoencoders(tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("models") / "model", TINY)


def run_of(autoencoders, place, *modalities):
    """(run with one checkpoint, its averaged parameters): nothing is trained."""
    description = dataclasses.replace(DESCRIPTION, latent_space=load_hashes(autoencoders).latent_space)
    store = make_store(place / "store", description=description, cells={"train": cell_names(1)})
    training = dataclasses.replace(training_preset("tiny"), modalities=modalities)
    plan = plan_backbone(training, str(store.path))
    run = open_run(place / "run", network="backbone", model=plan.model, training=training, data=plan.data)
    params = random_params(plan.model)["backbone"]
    averaged = jax.tree.map(lambda leaf: leaf + 1, params)
    state = dataclasses.replace(start_state(params, make_optimiser(training.optimiser)), ema_params=averaged)
    with Checkpoints(run, keep_last=1, keep_every=10) as checkpoints:
        checkpoints.save(7, state)
    return run, averaged


@pytest.mark.parametrize("modalities", [(), ("DEM", "timestamp")], ids=["all", "some"])
def test_one_model_of_both(autoencoders, tmp_path, capsys, modalities):
    run, averaged = run_of(autoencoders, tmp_path, *modalities)
    out = tmp_path / "joined"
    assert main(["export-model", str(run.path), "--autoencoders", str(autoencoders), "--out", str(out)]) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    config, params = load_model(out)
    _, theirs = load_model(autoencoders)
    assert config.provenance["step"] == 7
    assert config.modalities == (TINY.subset(modalities) if modalities else TINY)
    jax.tree.map(np.testing.assert_array_equal, params["backbone"], averaged)
    assert set(params["autoencoders"]) == {m.name for m in config.modalities.images}
    for name, tree in params["autoencoders"].items():
        jax.tree.map(np.testing.assert_array_equal, tree, theirs["autoencoders"][name])
    if not modalities:
        assert load_hashes(out).latent_space == load_hashes(autoencoders).latent_space


def test_a_default_solver_changes_no_hash(autoencoders, tmp_path, capsys):
    run, _ = run_of(autoencoders, tmp_path)
    command = ["export-model", str(run.path), "--autoencoders", str(autoencoders)]
    for place, options in (("a", []), ("b", ["--solver", "unipc", "--evaluations", "15"])):
        assert main([*command, *options, "--out", str(tmp_path / place)]) == 0
    assert load_config(tmp_path / "a").solver == load_config(autoencoders).solver
    assert load_config(tmp_path / "b").solver == SolverConfig(name="unipc", evaluations=15)
    one, other = (dataclasses.replace(load_hashes(tmp_path / place), files={}) for place in "ab")
    assert one == other
    capsys.readouterr()
    assert main([*command, "--solver", "none", "--out", str(tmp_path / "c")]) == 2
    assert "unipc" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_half_precision_is_half_the_size_and_another_model(autoencoders, tmp_path, capsys):
    run, averaged = run_of(autoencoders, tmp_path)
    words = ["export-model", str(run.path), "--out"]
    for precision in ("float32", "float16"):
        assert main([*words, str(tmp_path / precision), "--precision", precision]) == 0
    whole, half = (
        sum(f.stat().st_size for f in (tmp_path / p / "backbone").rglob("d/*")) for p in ("float32", "float16")
    )
    assert half < 0.75 * whole
    _, params = load_model(tmp_path / "float16")
    jax.tree.map(lambda one, a: np.testing.assert_array_equal(one, a.astype(np.float16)), params["backbone"], averaged)
    assert load_hashes(tmp_path / "float16").backbone != load_hashes(tmp_path / "float32").backbone


def test_parameters_too_large_for_half_precision_are_refused(autoencoders, tmp_path, monkeypatch):
    run, averaged = run_of(autoencoders, tmp_path)
    monkeypatch.setattr(export, "averaged_backbone", lambda *_: jax.tree.map(lambda leaf: leaf + 1e5, averaged))
    with pytest.raises(InputError, match="backbone has parameters above 65504"):
        export_model([run.path], tmp_path / "joined", precision="float16")
    assert not (tmp_path / "joined").exists()


def test_other_autoencoders_are_refused(autoencoders, tmp_path):
    run, _ = run_of(autoencoders, tmp_path)
    other = random_model(tmp_path / "other", TINY, seed=1)
    with pytest.raises(InputError, match="trained on latents of other autoencoders"):
        export_model([run.path], tmp_path / "joined", autoencoders=other)
    with pytest.raises(InputError, match=r"other autoencoders .* in float16"):  # the right ones, which rounding changes
        export_model([run.path], tmp_path / "joined", autoencoders=autoencoders, precision="float16")
    assert not (tmp_path / "joined").exists()
