"""Starting from a model, also one of fewer, more or other modalities."""

import dataclasses

import numpy as np
import pytest
from random_models import random_model

from copgen_jax.checkpoints import save_model
from copgen_jax.checkpoints.shapes import backbone_shapes, flatten, unflatten
from copgen_jax.config import BackboneConfig, ModelConfig
from copgen_jax.errors import InputError
from copgen_jax.modalities import DEMO, TINY
from copgen_jax.model import build_backbone
from copgen_jax.training.initialise import (
    LATENTS,
    POSITION,
    check_latent_space,
    known_latents,
    params_from_model,
    token_rows,
)

SIZES = BackboneConfig(width=8, depth=2, heads=2)


def config_of(modalities, **changes):
    return ModelConfig(modalities=modalities, backbone=SIZES, **changes)


def random_leaves(config, seed):
    rng = np.random.default_rng(seed)
    return {path: rng.normal(size=s).astype(np.float32) for path, s in backbone_shapes(build_backbone(config)).items()}


@pytest.fixture
def model(tmp_path):
    """(path, leaves) of a model of TINY."""
    leaves = random_leaves(config_of(TINY), 1)
    save_model(tmp_path / "model", config_of(TINY), {"backbone": unflatten(leaves), "autoencoders": {}})
    return tmp_path / "model", leaves


@pytest.mark.parametrize(
    "words",
    [
        ["location", "DEM", "S2L2A_60m", "timestamp"],
        ["DEM", "timestamp"],
        ["location", "DEM", "S2L1C_60m", "S2L2A_60m", "timestamp"],
        ["DEM", "S2L1C_60m"],
    ],
    ids=["the same", "dropped", "added", "both"],
)
def test_everything_else_is_kept(model, words):
    path, loaded = model
    ours = DEMO.subset(words)
    fresh = random_leaves(config_of(ours), 2)
    params = flatten(params_from_model(path, config_of(ours), fresh))
    assert {p: x.shape for p, x in params.items()} == {p: x.shape for p, x in fresh.items()}
    for key, leaf in params.items():
        if key != POSITION:
            of_new = key[0].removeprefix("embed_").removeprefix("head_") in set(words) - set(TINY.names)
            np.testing.assert_array_equal(leaf, fresh[key] if of_new else loaded[key])
    there, here = token_rows(TINY), token_rows(ours)
    for name, rows in here.items():
        expected = loaded[POSITION][there[name]] if name in there else fresh[POSITION][rows]
        np.testing.assert_array_equal(params[POSITION][rows], expected)
    assert sorted(row for rows in here.values() for row in rows) == list(range(ours.tokens))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dataclasses.replace(config_of(TINY), prediction="v"), "has prediction eps, the run v"),
        (dataclasses.replace(config_of(TINY), backbone=BackboneConfig(width=16, depth=2, heads=2)), "has backbone"),
        (config_of(DEMO.subset(["LULC"])), "has none of the modalities LULC"),
        (config_of(TINY.replace("DEM", pixels=64)), r"latents of DEM are \(8, 8, 8\) here and \(4, 4, 8\)"),
    ],
)
def test_what_does_not_fit(model, config, message):
    with pytest.raises(InputError, match=message):
        params_from_model(model[0], config, {})


def test_other_scale_factors_are_other_latents(model):
    check_latent_space(model[0], "a" * 64, TINY)
    with pytest.raises(InputError, match=r"scale factor 0\.5 here and 0\.404247"):
        check_latent_space(model[0], "a" * 64, TINY.replace("DEM", scale_factor=0.5))


def test_latents_of_each_modality(tmp_path):
    """A model of other modalities is accepted or refused by the autoencoders alone, also where it has none itself."""
    theirs = random_model(tmp_path / "model", TINY)
    other = random_model(tmp_path / "other", TINY, seed=1)
    each, others = (known_latents(path) for path in (theirs, other))
    assert set(each) == {"DEM", "S2L2A_60m"}
    ours = DEMO.subset(["DEM", "LULC", "timestamp"])
    check_latent_space(theirs, "a" * 64, ours, each | {"LULC": "b" * 64})
    check_latent_space(theirs, "a" * 64, ours, {"LULC": "b" * 64})
    with pytest.raises(InputError, match="latents of DEM were made by another autoencoder"):
        check_latent_space(theirs, "a" * 64, ours, others)
    bare = config_of(ours, provenance={LATENTS: {"DEM": each["DEM"]}})
    save_model(tmp_path / "bare", bare, {"backbone": unflatten(random_leaves(bare, 3)), "autoencoders": {}})
    check_latent_space(tmp_path / "bare", "a" * 64, TINY, each)
    with pytest.raises(InputError, match="latents of DEM were made by another autoencoder"):
        check_latent_space(tmp_path / "bare", "a" * 64, TINY, others)
