"""Sheets of samples while a backbone is trained: what is given comes back, what is wanted is drawn, seeds stay."""

import dataclasses
import types

import jax
import numpy as np
import pytest
from latent_stores import DESCRIPTION, cell_names, make_store
from PIL import Image
from random_models import random_model, random_params

from copgen_jax.checkpoints import load_hashes
from copgen_jax.cli import main
from copgen_jax.errors import InputError
from copgen_jax.modalities import TINY
from copgen_jax.parallel import make_mesh
from copgen_jax.training.backbone import plan_backbone
from copgen_jax.training.config import training_preset
from copgen_jax.training.run import open_run
from copgen_jax.training.samples import FREE, MEMBERS, PLACES, given_modalities
from copgen_jax.training.sheets import GAP, LABELS, MARGIN, PANEL

TRAINING = training_preset("tiny")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("models") / "model", TINY)


def store_of(model, path, splits=("train", "test")):
    description = dataclasses.replace(DESCRIPTION, latent_space=load_hashes(model).latent_space)
    return str(make_store(path, description=description, cells=dict.fromkeys(splits, cell_names(1))).path)


@pytest.fixture(scope="module")
def store(model, tmp_path_factory):
    return store_of(model, tmp_path_factory.mktemp("stores") / "store")


def panels(path):
    """(row, column, y, x, 3) of a sheet; the rows are counted from its lower end, where nothing else stands."""
    page = np.asarray(Image.open(path))
    columns = PLACES * (1 + MEMBERS) + FREE
    rows = [page.shape[0] - MARGIN - (i + 1) * (PANEL + GAP) for i in reversed(range(len(TINY.images)))]
    lefts = [MARGIN + LABELS + i * (PANEL + GAP) for i in range(columns)]
    return np.array([[page[y : y + PANEL, x : x + PANEL] for x in lefts] for y in rows])


def test_given_images_come_back_and_wanted_ones_are_drawn(model, store, tmp_path):
    plan = plan_backbone(TRAINING, store, autoencoders=str(model))
    plan = dataclasses.replace(plan, mesh=make_mesh(jax.devices()[:1]))
    run = open_run(tmp_path / "run", network="backbone", model=plan.model, training=TRAINING, data=plan.data)
    said = []
    look = plan.look(run, said.append)
    state = types.SimpleNamespace(ema_params=random_params(plan.model)["backbone"])
    for step in (0, 30):
        look.see(step, state)
    assert said == ["step 0: drawing 9 samples", "step 30: drawing 9 samples"]
    first, second = (panels(run.sheet(step)) for step in (0, 30))
    np.testing.assert_array_equal(first, second)
    assert given_modalities(TINY) == ["location", "timestamp", "DEM"]
    dem, s2 = first[:, : PLACES * (1 + MEMBERS)].reshape(2, PLACES, 1 + MEMBERS, *first.shape[2:])
    for place in range(PLACES):
        for member in range(1, 1 + MEMBERS):
            np.testing.assert_array_equal(dem[place, member], dem[place, 0])
            assert (s2[place, member] != s2[place, 0]).mean() > 0.1
        assert (s2[place, 1] != s2[place, 2]).mean() > 0.1
    free = first[0, PLACES * (1 + MEMBERS) :]
    assert (free[0] != free[1]).mean() > 0.1


def test_what_cannot_be_decoded_is_refused(model, store, tmp_path, capsys):
    other = random_model(tmp_path / "other", TINY, seed=1)
    with pytest.raises(InputError, match="encode the data with this model"):
        plan_backbone(TRAINING, store, autoencoders=str(other))
    with pytest.raises(InputError, match="has no split test"):
        plan_backbone(TRAINING, store_of(model, tmp_path / "all", ["train"]), autoencoders=str(model))
    words = ["train", "backbone", "--config", "tiny", "--latents", "world", "--out", str(tmp_path / "run")]
    assert main([*words, "--autoencoders", str(model)]) == 2
    assert "leave --autoencoders out" in capsys.readouterr().err
