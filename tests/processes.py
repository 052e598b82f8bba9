"""Running this project's programs in processes of their own, compiled quickly and kept between runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "copgen_jax.cli"]
LAUNCHER = [sys.executable, str(ROOT / "launch" / "local.py")]


def environment(cache, *, devices=1):
    """Variables of a process with so many CPU devices; its compiled programs are kept in `cache`."""
    flags = (
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
        f"--xla_cpu_use_fusion_emitters=false --xla_force_host_platform_device_count={devices}"
    )
    return {
        **os.environ,
        "XLA_FLAGS": flags,
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }


def start(command, env, **options):
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def run(command, env, *, expected=0):
    """Run to the end; returns what it said."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == expected, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def lines(path):
    """Whole JSON lines of a file that may be growing."""
    if not path.exists():
        return []
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def wait_for(condition, process, *, seconds=120):
    """Until the condition holds, or the process has ended (False)."""
    limit = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.005)
    return True


def told_to_stop(process, out):
    """SIGTERM after four rows: the process saves, says so and leaves with 75. Returns the step it stopped at."""
    assert wait_for(lambda: len(lines(out / "metrics.jsonl")) >= 4, process), process.communicate()[0]
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[0]
    assert process.returncode == 75, said
    assert "stopped, continue with --resume" in said
    stopped = lines(out / "events.jsonl")[-1]
    assert stopped["event"] == "preempted"
    return stopped["step"]


def assert_curves_agree(again, uninterrupted, *, equal_until, rel):
    """The same steps; rows equal up to the step where the run was stopped, losses near from there on."""
    assert [row["step"] for row in again] == [row["step"] for row in uninterrupted]
    for row, expected in zip(again, uninterrupted, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=rel)
        if row["step"] <= equal_until:
            assert row == expected


def unfinished_saves(events):
    """Saves that were begun and neither finished before the run began again nor before it ended."""
    found, is_open = 0, False
    for event in events:
        if event["event"] == "save_begun":
            is_open = True
        elif event["event"] == "save_finished":
            is_open = False
        elif event["event"] == "started":
            found, is_open = found + is_open, False
    return found
