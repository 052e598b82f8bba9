"""Killed again and again (SIGKILL) and restarted, a store ends as the same bytes."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
from encode_data import CELLS, contents, copgen, random_model, write_cells

from copgen_jax.data.latents import open_store
from copgen_jax.data.latents.verify import verify

SIGNS = ("train/lat/zarr.json", "zarr.json", "train/S2L2A_60m/c/0/0/0/0", "train/presence/c/0/0", "train/DEM/c/1/0/0/0")
"""Files of the store in the order in which they appear: the process is killed as soon as each is there."""

LIBRARIES = (
    "encode_data",
    "copgen_jax.cli.encode",
    "copgen_jax.encode",
    "copgen_jax.generate.generator",
    "orbax.checkpoint",
    "tensorstore",
    "zarr",
)
HERE = Path(__file__).parent


@pytest.fixture
def children(tmp_path, monkeypatch):
    """Processes that are forked from a clean one with the libraries loaded, each as good as a new program."""
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parent)]))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compilations"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    return context


def arguments(root, out):
    return ("encode", "--data", root / "cells", "--model", root / "model", "--out", out, "--test-share", 0, "--quiet")


def run(children, *words):
    child = children.Process(target=copgen, args=words)
    child.start()
    return child


def finish(child, seconds=120):
    child.join(seconds)
    assert child.exitcode == 0


def test_a_killed_and_restarted_store_is_byte_identical(children, tmp_path):
    write_cells(tmp_path / "cells", CELLS)
    random_model(tmp_path / "model")
    finish(run(children, *arguments(tmp_path, tmp_path / "undisturbed")))
    out = tmp_path / "disturbed"
    kills = 0
    for sign in SIGNS:
        child = run(children, *arguments(tmp_path, out), "--resume")
        while child.is_alive() and not (out / sign).exists():
            time.sleep(0.001)
        kills += child.is_alive()
        child.kill()
        child.join()
    assert kills >= len(SIGNS) - 1, "the process was too fast to be killed"
    finish(run(children, *arguments(tmp_path, out), "--resume"))
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert verify(open_store(out)) == []
