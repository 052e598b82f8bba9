"""A small model, small cells, and a child process that encodes them: for the tests of encoding and exporting."""

import dataclasses
import hashlib
import zlib
from pathlib import Path

import jax
import numpy as np
from majortom_files import DTYPES, write_cell

from copgen_jax.checkpoints import save_model
from copgen_jax.config import preset
from copgen_jax.model import build_autoencoder

CONFIG = dataclasses.replace(preset("tiny"), backbone=None)
CELLS = tuple(f"{400 + i}U_{3 * i}R" for i in range(9))
"""Three shards of four, four and one cells."""


def random_model(path, *, config=CONFIG, seed=0):
    """A model directory of random autoencoders, whose path is returned."""
    rng = np.random.default_rng(seed)
    autoencoders = {}
    for modality in config.modalities.images:
        network = build_autoencoder(config, modality.name)
        image = np.zeros((1, *modality.image_shape), np.float32)
        shapes = jax.eval_shape(network.init, jax.random.key(0), image)["params"]
        autoencoders[modality.name] = jax.tree.map(
            lambda s: (rng.normal(size=s.shape) / np.sqrt(np.prod(s.shape[:-1]) or 1)).astype(np.float32), shapes
        )
    save_model(path, config, {"autoencoders": autoencoders})
    return path


def plausible(cell):
    """Band values of a cell for `write_cell`: noise that is different in every cell and band."""

    def values(modality, band, side):
        rng = np.random.default_rng(zlib.crc32(f"{cell} {modality.name} {band}".encode()))
        if modality.encoding == "classes":
            return rng.choice(modality.codes[1:], (side, side)).astype(np.uint8)
        high = {"reflectance": 5000, "power": 0.5, "height": 900}[modality.encoding]
        return (high * (0.2 + 0.8 * rng.random((side, side)))).astype(DTYPES[modality.encoding])

    return values


def write_cells(root, cells=CELLS, modalities=CONFIG.modalities):
    for cell in cells:
        write_cell(root, cell, modalities, values=plausible(cell))
    return root


def contents(root):
    """{path in the directory: digest} of every file."""
    files = sorted(path for path in Path(root).rglob("*") if path.is_file())
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def copgen(*arguments):
    """Run a command in this process: what a forked child calls."""
    from copgen_jax.cli import main

    raise SystemExit(main(list(map(str, arguments))))
