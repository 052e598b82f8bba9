"""Data in, batches and rasters out, by the commands that docs/data.md names."""

import dataclasses
import json

import numpy as np
import pytest
from encode_data import CELLS, CONFIG, random_model, write_cells

from copgen_jax.cli import main
from copgen_jax.config import preset
from copgen_jax.data.latents import open_store
from copgen_jax.data.pipeline import Batches


def run(capsys, *words):
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def through(capsys, root, data, model):
    """encode -> inspect -> batches -> export, and what encode said."""
    figures = run(
        capsys, "encode", "--data", data, "--model", model, "--out", root / "latents", "--batch-size", 96,
        "--test-share", 0,
    )  # fmt: skip
    assert figures["complete"]
    assert figures["left_out"] == {}
    seen = run(
        capsys, "inspect", root / "latents", "--verify", "--model", model, "--picture", root / "decoded.png"
    )  # fmt: skip
    assert seen["sound"]
    assert (root / "decoded.png").stat().st_size > 1000
    store = open_store(root / "latents")
    batch = Batches(store, "train", batch_size=8, seed=0)[0]
    assert batch["presence"].all()
    for name, moments in batch["moments"].items():
        assert moments.shape == (8, *store.description.moments_shape(name))
        assert np.isfinite(moments).all()
    exported = run(
        capsys, "export", "--latents", root / "latents", "--model", model, "--format", "cog", "zarr",
        "--patches", 2, "--out", root / "export",
    )  # fmt: skip
    assert exported["images"] == 2 * len(store.description.modalities.images)
    return figures, store


def test_small_cells_through_every_command(tmp_path, capsys):
    data = write_cells(tmp_path / "cells", CELLS[:2])
    figures, store = through(capsys, tmp_path, data, random_model(tmp_path / "model"))
    assert figures["patches"] == 288
    assert figures["megapixels"] == pytest.approx(288 * (32**2 + 16**2) / 1e6)
    assert not store.description.synthetic
    assert [m.name for m in store.description.modalities] == [m.name for m in CONFIG.modalities]


@pytest.mark.slow
def test_a_simulated_cell_of_all_modalities_through_every_command(tmp_path, capsys):
    run(capsys, "simulate", "--cells", 1, "--out", tmp_path / "cells", "--workers", 1)
    # the modalities of the demo, networks that compile soon
    narrow = next(iter(preset("tiny").autoencoders.values()))
    autoencoders = dict.fromkeys(preset("demo").autoencoders, narrow)
    config = dataclasses.replace(preset("demo"), backbone=None, autoencoders=autoencoders)
    figures, store = through(capsys, tmp_path, tmp_path / "cells", random_model(tmp_path / "model", config=config))
    assert figures["images"] == 144 * 10
    assert store.description.synthetic
