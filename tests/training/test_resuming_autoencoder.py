"""Runs of autoencoders in processes of their own: killed, told to stop, and shared by two processes."""

import json
import os
import random
import signal
import time

import pytest
from processes import (
    COMMAND,
    LAUNCHER,
    assert_curves_agree,
    environment,
    lines,
    run,
    start,
    told_to_stop,
    unfinished_saves,
    wait_for,
)

pytestmark = pytest.mark.slow

STEPS, KILLS = 20, 4


def command(out, steps=STEPS):
    habits = {"steps": steps, "log_every": 1, "save_every": 3, "keep_every": 1000, "measure_every": 10}
    words = [f"--config.habits.{name}={value}" for name, value in habits.items()]
    words += [
        "--config.habits.measured_patches=8",
        "--config.loss.discriminator_start=12",
        "--config.discriminator.width=4",
    ]
    return [*COMMAND, "train", "vae", "--config", "tiny", "--data", "world:0:6", "--out", str(out), "--resume", *words]


def curve(out):
    """Losses of every step, as written."""
    kept = ("step", "loss", "generator", "discriminator", "gradient_norm")
    return [{name: row[name] for name in kept} for row in lines(out / "metrics.jsonl")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("resuming")


@pytest.fixture(scope="module")
def uninterrupted(place):
    run(command(place / "whole"), environment(place / "cache"))
    return curve(place / "whole")


def test_killed_again_and_again(place, uninterrupted):
    out, drawn, env = place / "killed", random.Random(0), environment(place / "cache")
    for _ in range(KILLS):
        process, before = start(command(out), env), len(lines(out / "events.jsonl"))

        def saving(before=before):
            return any(event["event"] == "save_begun" for event in lines(out / "events.jsonl")[before:])

        assert wait_for(saving, process), process.communicate()[0]
        time.sleep(drawn.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    run(command(out), env)
    assert unfinished_saves(lines(out / "events.jsonl")) >= 1
    assert curve(out) == uninterrupted
    assert [row["step"] for row in uninterrupted] == list(range(1, STEPS + 1))
    measured = [json.loads((place / name / "autoencoder.json").read_text()) for name in ("whole", "killed")]
    assert measured[0] == measured[1]


def test_told_to_stop_it_saves_and_goes_on_on_two_processes(place, uninterrupted):
    out, env = place / "stopped", environment(place / "cache")
    process = start(command(out), env)
    stopped = told_to_stop(process, out)
    run([*LAUNCHER, "--processes", "2", "--", *command(out)], env)
    assert_curves_agree(curve(out), uninterrupted, equal_until=stopped, rel=1e-3)
    one, two = (json.loads((place / name / "autoencoder.json").read_text()) for name in ("whole", "stopped"))
    assert two["scale_factor"] == pytest.approx(one["scale_factor"], rel=1e-3)
    assert (out / "sheets" / f"{STEPS:07d}.png").exists()
