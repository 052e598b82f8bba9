"""Runs of a tiny autoencoder: they learn, continue bit for bit, start from one another, and become models."""

import dataclasses
import functools
import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from PIL import Image

from copgen_jax.checkpoints import load_config, load_model
from copgen_jax.cli import main
from copgen_jax.errors import InputError
from copgen_jax.model import Model
from copgen_jax.parallel import make_mesh, state_shardings
from copgen_jax.training.autoencoder import AutoencoderPlan, plan_autoencoder
from copgen_jax.training.autoencoder_config import TRAININGS, AutoencoderHabits, DiscriminatorConfig, LossConfig
from copgen_jax.training.autoencoder_measure import measure_latents
from copgen_jax.training.autoencoder_start import MEASURED, averaged_autoencoder, warm_params
from copgen_jax.training.checkpointing import newest_step
from copgen_jax.training.export import export_model
from copgen_jax.training.run import load_run
from copgen_jax.training.summary import summarise_run
from copgen_jax.training.train import train

DATA = "world:0:6"
STEPS, HALF = 24, 12
TRAINING = dataclasses.replace(
    TRAININGS["tiny"],
    discriminator=DiscriminatorConfig(width=4, strided=2),
    loss=LossConfig(discriminator_start=20),
    optimiser=dataclasses.replace(TRAININGS["tiny"].optimiser, ema_start=4, ema_rate=0.5),
    habits=AutoencoderHabits(
        steps=STEPS, log_every=4, save_every=HALF, keep_every=HALF, measure_every=HALF, measured_patches=8
    ),
)


def figures(run):
    """The rows without what depends on the clock."""
    clock = {"samples_per_second", "seconds_per_step", "data_wait"}
    return [{k: v for k, v in row.items() if k not in clock} for row in run.rows()]


def measured(run):
    return [event for event in run.events() if event["event"] == "measured"]


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled(tmp_path_factory):
    """Compile the step once for all runs of this module, and without costly optimisation."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_disable_most_optimizations": True,
    }
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module", autouse=True)
def traced_once():
    """One compiled step for all runs that have the same: only `habits` differ between them."""
    make, steps = AutoencoderPlan.compiled_step, {}

    def compiled_once(plan, shapes, shardings):
        key = dataclasses.replace(plan.training, habits=AutoencoderHabits()), plan.mesh
        if key not in steps:
            steps[key] = make(plan, shapes, shardings)
        return steps[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AutoencoderPlan, "compiled_step", compiled_once)
        yield


@pytest.fixture(scope="module")
def plan():
    one_device = make_mesh(jax.devices()[:1])
    return dataclasses.replace(plan_autoencoder(TRAINING, DATA), mesh=one_device)


@pytest.fixture(scope="module")
def whole(plan, tmp_path_factory):
    run, outcome = train(plan, tmp_path_factory.mktemp("runs") / "whole")
    assert (outcome.step, outcome.preempted) == (STEPS, False)
    return run


def test_it_learns(whole):
    rows = whole.rows()
    assert [row["step"] for row in rows] == list(range(4, STEPS + 1, 4))
    assert rows[-1]["generator"]["nll"] < 0.7 * rows[0]["generator"]["nll"]
    assert [row["generator"]["factor"] for row in rows] == [0, 0, 0, 0, 0, 1]
    assert rows[-1]["discriminator"]["total"] > 0
    start, _, end = measured(whole)
    rmse = [event["held_out"]["rmse"]["DEM"] for event in (start, end)]
    assert rmse[1]["autoencoder"] < 0.5 * rmse[0]["autoencoder"]
    assert rmse[1]["block_mean"] == rmse[0]["block_mean"]


def test_it_shows_what_it_does(whole):
    summarise_run(whole)
    sheets = sorted(path.name for path in (whole.path / "sheets").iterdir())
    assert sheets == ["0000000.png", "0000012.png", "0000024.png"]
    for path in (*(whole.path / "sheets").iterdir(), whole.path / "curves.png"):
        colours = np.asarray(Image.open(path).convert("RGB"))
        assert colours.shape[0] > 300
        assert len(np.unique(colours.reshape(-1, 3), axis=0)) > 100


@pytest.fixture(scope="module")
def stopped(plan, tmp_path_factory):
    """Told to stop by SIGTERM when its first row was written."""
    path = tmp_path_factory.mktemp("runs") / "stopped"
    run, outcome = train(plan, path, tell=lambda row: os.kill(os.getpid(), signal.SIGTERM))
    assert outcome.preempted
    assert outcome.step == newest_step(run) < STEPS / 3
    assert run.events()[-1]["event"] == "preempted"
    return run


def test_a_continued_run_is_the_uninterrupted_one(plan, whole, stopped, tmp_path):
    path = shutil.copytree(stopped.path, tmp_path / "run")
    resumed, outcome = train(plan, path, resume=True)
    assert outcome.step == STEPS
    after = [row for row in figures(whole) if row["step"] > 8]
    assert [row for row in figures(resumed) if row["step"] > 8] == after
    ours, theirs = (averaged_autoencoder(run, STEPS) for run in (resumed, whole))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    before = averaged_autoencoder(stopped, newest_step(stopped))
    assert max(np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (ours, before)), strict=True)) > 1e-3
    other = dataclasses.replace(TRAINING, loss=LossConfig(kl_weight=1.0))
    with pytest.raises(InputError, match=r"kl_weight was 1e-06, is now 1\.0"):
        train(dataclasses.replace(plan, training=other), path, resume=True)


def test_an_exported_run_is_a_model_with_unit_latents(plan, whole, tmp_path):
    export_model([whole.path], tmp_path / "model")
    model = Model(*load_model(tmp_path / "model"))
    document = json.loads((whole.path / MEASURED).read_text())
    assert document["step"] == STEPS == newest_step(whole)
    assert model.config.modalities["DEM"].scale_factor == document["scale_factor"]
    images = np.stack([plan.batches.images.at(i) for i in range(8)])
    moments = np.asarray(model.encode({"DEM": images})["DEM"], np.float64)
    mean, log_variance = np.split(moments, 2, axis=-1)
    noise = np.random.default_rng(0).normal(size=(400, *mean.shape))
    drawn = mean + np.exp(log_variance / 2) * noise
    np.testing.assert_allclose(document["scale_factor"] * drawn.std(), 1.0, rtol=0.01)
    np.testing.assert_allclose(document["scale_factor"], measure_latents(moments).scale_factor, rtol=1e-4)
    with pytest.raises(InputError, match="two runs are of the autoencoder of DEM"):
        export_model([whole.path, whole.path], tmp_path / "other")


def marked(plan):
    """Parameters of the plan's autoencoder that no training has made."""
    return jax.tree.map(lambda leaf: np.full(leaf.shape, 7.0, np.float32), jax.eval_shape(plan.fresh_state).params)


def test_start_from_another_modality_takes_all_but_two_convolutions(whole, tmp_path):
    other = plan_autoencoder(dataclasses.replace(TRAINING, modality="S2L2A_60m"), DATA)
    source = averaged_autoencoder(whole, STEPS)
    export_model([whole.path], tmp_path / "model")
    for init in (whole.path, tmp_path / "model"):
        warm = warm_params(init, other.model, "S2L2A_60m", marked(other))
        assert jax.tree.map(np.shape, warm) == jax.tree.map(np.shape, marked(other))
        for path, leaf in jax.tree_util.tree_leaves_with_path(warm):
            keys = tuple(key.key for key in path)
            if keys[:2] in {("encoder", "conv_in"), ("decoder", "conv_out")}:
                assert (leaf == 7.0).all()
            else:
                np.testing.assert_array_equal(leaf, functools.reduce(dict.__getitem__, keys, source))


def test_start_from_the_same_modality_takes_everything(plan, whole):
    shardings = state_shardings(plan.mesh, jax.eval_shape(plan.fresh_state))
    state = dataclasses.replace(plan, init=str(whole.path)).initial_state(shardings)
    for params in (state.params, state.ema_params):
        jax.tree.map(np.testing.assert_array_equal, params, averaged_autoencoder(whole, STEPS))


def test_start_from_what_does_not_fit(whole):
    wide = dataclasses.replace(TRAINING.autoencoder, base_width=16)
    other = plan_autoencoder(dataclasses.replace(TRAINING, autoencoder=wide), DATA)
    with pytest.raises(InputError, match=r"has size .*base_width=8.*base_width=16"):
        warm_params(whole.path, other.model, "DEM", marked(other))
    with pytest.raises(InputError, match="a run of the autoencoder of DEM, not of S1RTC"):
        warm_params(whole.path, other.model, "DEM", marked(other), init_from="S1RTC")


@pytest.mark.slow
def test_command_continues_on_eight_devices(whole, stopped, tmp_path, capsys):
    """The command goes on with the library's run of one device, and comes to the same losses and latents."""
    path = shutil.copytree(stopped.path, tmp_path / "run")
    settings = [
        "loss.discriminator_start=20",
        "discriminator.width=4",
        "optimiser.ema_start=4",
        "optimiser.ema_rate=0.5",
    ]
    habits = dataclasses.asdict(TRAINING.habits)
    settings += [f"habits.{name}={value}" for name, value in habits.items() if value is not None]
    command = ["train", "vae", "--config", "tiny", "--data", DATA, "--out", str(path), "--resume", "--json"]
    assert main([*command, *(f"--config.{setting}" for setting in settings)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["step"], result["starts"]) == (STEPS, 2)
    assert result["measured"] == json.loads((path / MEASURED).read_text())
    one, eight = ({row["step"]: row["loss"] for row in run.rows()} for run in (whole, load_run(path)))
    for step in (12, 16, 20):
        np.testing.assert_allclose(eight[step], one[step], rtol=1e-5)
    # From here on the discriminator's part, which is as large as the rest and of the other sign, is in the sum.
    np.testing.assert_allclose(eight[24], one[24], rtol=1e-4)
    factor = json.loads((whole.path / MEASURED).read_text())["scale_factor"]
    np.testing.assert_allclose(result["measured"]["scale_factor"], factor, rtol=1e-3)
    assert main(["export-model", str(path), "--out", str(tmp_path / "model")]) == 0
    assert list(load_config(tmp_path / "model").autoencoders) == ["DEM"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--config", "base"], "expected one of vae, demo, tiny"),
        (["--config", "vae"], "say which modality"),
        (["--config", "tiny", "--config.modality=timestamp"], "is a vector"),
        (["--config", "tiny", "--config.modality=S2L2A_10m"], "did you mean S2L2A_60m?"),
        (["--config", "tiny", "--config.habits.step=3"], "did you mean habits.steps?"),
        (["--config", "tiny", "--config.batch_size=7"], "does not divide between 8 devices"),
        (["--config", "tiny", "--config.discriminator.strided=4"], "set discriminator.strided lower"),
        (["--config", "tiny", "--latents", "store"], "takes no --latents"),
        (["--config", "tiny", "--init-from", "DEM"], "give that model with --init"),
        (["--config", "tiny", "--lpips", "nowhere.pth"], "nowhere.pth"),
    ],
)
def test_wrong_input_is_one_sentence(extra, message, tmp_path, capsys):
    assert main(["train", "vae", "--data", DATA, "--out", str(tmp_path / "run"), *extra]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
