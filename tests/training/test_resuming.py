"""A run that is killed, stopped or moved goes on as if nothing had been; what cannot go on says why."""

import dataclasses
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from latent_stores import DESCRIPTION, make_store
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

from copgen_jax.cli import main

STEPS = 24


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("resuming")


@pytest.fixture(scope="module")
def store(place):
    return str(make_store(place / "store").path)


def command(store, out, *settings, steps=STEPS):
    habits = {"steps": steps, "log_every": 1, "save_every": 3, "keep_every": 1000}
    words = [f"--config.habits.{name}={value}" for name, value in habits.items()]
    words += [
        "--config.modalities=DEM,timestamp",
        "--config",
        "tiny",
        "--latents",
        store,
        "--out",
        str(out),
        "--resume",
    ]
    return [*COMMAND, "train", "backbone", *words, *settings]


def curve(out):
    """Loss, gradient norm and errors of every step, as written."""
    kept = ("step", "loss", "gradient_norm", "modalities", "time_bins")
    return [{name: row[name] for name in kept} for row in lines(out / "metrics.jsonl")]


@pytest.fixture(scope="module")
def uninterrupted(place, store):
    run(command(store, place / "whole"), environment(place / "cache"))
    return curve(place / "whole")


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again(place, store, uninterrupted, kills):
    out = place / f"killed-{kills}"
    drawn = random.Random(kills)
    env = environment(place / "cache")
    hits = 0
    for number in range(kills):
        process = start(command(store, out), env)
        before = len(lines(out / "events.jsonl"))

        def saving(before=before):
            return any(event["event"] == "save_begun" for event in lines(out / "events.jsonl")[before:])

        # Every other one while the first checkpoint of this start is being written, the rest anywhere after a start.
        alive = wait_for(saving if number % 2 == 0 else lambda n=before: len(lines(out / "events.jsonl")) > n, process)
        assert alive, process.communicate()[0]
        time.sleep(drawn.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        hits += bool(list((out / "checkpoints").glob("*tmp*")))
    run(command(store, out), env)
    events = lines(out / "events.jsonl")
    assert unfinished_saves(events) >= 1
    assert hits == len({e["time"] for e in events if e["event"] == "unfinished_save_removed"})
    assert curve(out) == uninterrupted
    assert [row["step"] for row in uninterrupted] == list(range(1, STEPS + 1))


def test_told_to_stop_it_saves_and_goes_on_on_two_processes(place, store, uninterrupted):
    out = place / "stopped"
    process = start(command(store, out), environment(place / "cache"))
    stopped = told_to_stop(process, out)
    assert 4 <= stopped < STEPS
    two = [*LAUNCHER, "--processes", "2", "--", *command(store, out, "--config.habits.fsdp=2")]
    run(two, environment(place / "cache"))
    assert_curves_agree(curve(out), uninterrupted, equal_until=stopped, rel=1e-4)


@pytest.mark.slow
def test_two_processes_stop_together(place, store):
    out = place / "stopped-together"
    process = start(
        [*LAUNCHER, "--processes", "2", "--", *command(store, out, steps=100_000)], environment(place / "c2")
    )
    assert wait_for(lambda: len(lines(out / "metrics.jsonl")) >= 4, process), process.communicate()[0]
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[0]
    assert process.returncode == 75, said
    saved, last = [event for event in lines(out / "events.jsonl") if event["event"] in ("save_finished", "preempted")][
        -2:
    ]
    assert (saved["event"], last["event"]) == ("save_finished", "preempted")
    assert saved["step"] == last["step"]


@pytest.fixture
def finished(place, uninterrupted, tmp_path):
    """A copy of the whole run."""
    del uninterrupted
    return Path(shutil.copytree(place / "whole", tmp_path / "run"))


@pytest.fixture
def say_no(capsys):
    def run_it(store, out, *settings):
        # Batches must divide between the eight devices of the tests' process.
        code = main(command(store, out, "--config.batch_size=8", *settings)[len(COMMAND) :])
        said = capsys.readouterr().err
        assert code == 2, said
        assert said.startswith("copgen: ")
        assert said.count("\n") == 1
        return said

    return run_it


def test_another_configuration(finished, store, say_no):
    assert "optimiser.learning_rate was 0.001, is now 0.1" in say_no(
        store, finished, "--config.optimiser.learning_rate=0.1"
    )


def test_latents_of_other_autoencoders(finished, place, say_no):
    other = make_store(place / "other", description=dataclasses.replace(DESCRIPTION, latent_space="b" * 64))
    said = say_no(str(other.path), finished)
    assert "was begun with another configuration" in said


def test_damaged_checkpoint(finished, store, say_no):
    newest = max((finished / "checkpoints").iterdir(), key=lambda p: int(p.name))
    victim = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(bytes(content))
    said = say_no(store, finished)
    assert f"{newest} is damaged: " in said
    assert "is not what was written" in said


def test_truncated_checkpoint_that_was_never_hashed(finished, store, say_no):
    newest = max((finished / "checkpoints").iterdir(), key=lambda p: int(p.name))
    (finished / "digests" / f"{newest.name}.json").unlink()
    for file in [p for p in newest.rglob("*") if p.is_file() and p.stat().st_size > 1000]:
        file.write_bytes(file.read_bytes()[:100])
    assert f"{newest} is damaged: it cannot be read" in say_no(store, finished)


def test_checkpoints_of_another_run(finished, store, say_no):
    config = json.loads((finished / "config.json").read_text())
    (finished / "config.json").write_text(json.dumps({**config, "run_id": "0" * 32}))
    assert "is of another run than" in say_no(store, finished)


def test_checkpoints_that_are_gone(finished, store, say_no):
    shutil.rmtree(finished / "checkpoints")
    assert "had checkpoints (the last at step 24)" in say_no(store, finished)


def test_a_place_that_is_no_run(tmp_path, store, say_no):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "exists and is no run directory" in say_no(store, tmp_path)
    words = command(store, tmp_path, "--overwrite")
    words.remove("--resume")
    assert main(words[len(COMMAND) :]) == 2
    assert (tmp_path / "thesis.tex").exists()
