"""Model directories: what is written comes back, and nothing else is ever loaded."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from copgen_jax.checkpoints import load_config, load_hashes, load_model, save_model
from copgen_jax.checkpoints.describe import describe_model
from copgen_jax.checkpoints.model_directory import model_hashes
from copgen_jax.checkpoints.shapes import autoencoder_shapes, backbone_shapes, flatten, unflatten
from copgen_jax.cli import main
from copgen_jax.config import preset
from copgen_jax.errors import InputError
from copgen_jax.model import build_autoencoder, build_backbone
from copgen_jax.nn.autoencoder import Autoencoder

CONFIG = preset("tiny")


def random_params(config, seed: int = 0):
    rng = np.random.default_rng(seed)

    def tree(shapes):
        return unflatten({path: rng.standard_normal(shape, np.float32) for path, shape in shapes.items()})

    autoencoders = {name: tree(autoencoder_shapes(build_autoencoder(config, name))) for name in config.autoencoders}
    return {"backbone": tree(backbone_shapes(build_backbone(config))), "autoencoders": autoencoders}


@pytest.fixture(scope="module")
def params():
    return random_params(CONFIG)


@pytest.fixture(scope="module")
def written(params, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny"
    save_model(path, CONFIG, params)
    return path


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copytree(written, tmp_path / "copy")


def _equal(one, other) -> bool:
    return jax.tree.structure(one) == jax.tree.structure(other) and jax.tree.all(
        jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), one, other)
    )


@pytest.mark.parametrize("channels", [1, 3, 10])
def test_shapes_of_an_autoencoder_are_those_of_its_parameters(channels):
    autoencoder = Autoencoder(channels=channels, base_width=8, multipliers=(1, 2), blocks=1, groups=4)
    made = autoencoder.init(jax.random.key(0), jnp.zeros((1, 4, 4, channels)))["params"]
    assert autoencoder_shapes(autoencoder) == {path: leaf.shape for path, leaf in flatten(made).items()}


def test_round_trip(written, params):
    config, loaded = load_model(written)
    assert config == CONFIG
    assert _equal(loaded, params)


def test_only_what_is_asked_for_is_loaded(written, params, copy):
    shutil.rmtree(copy / "backbone")
    config, loaded = load_model(copy, networks=["DEM"])
    assert config == CONFIG
    assert set(loaded) == {"autoencoders"}
    assert _equal(loaded["autoencoders"], {"DEM": params["autoencoders"]["DEM"]})


def test_sharding(written):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    _, loaded = load_model(written, networks=["backbone"], sharding=sharding)
    assert all(leaf.sharding == sharding for leaf in jax.tree.leaves(loaded))


def test_parameters_may_be_functions_and_hashes_do_not_depend_on_the_stored_type(tmp_path, params):
    half = jax.tree.map(lambda leaf: leaf.astype(np.float16), params)
    wide = jax.tree.map(lambda leaf: leaf.astype(np.float32), half)
    lazy = {
        "backbone": lambda: half["backbone"],
        "autoencoders": {name: (lambda name=name: half["autoencoders"][name]) for name in CONFIG.autoencoders},
    }
    hashes = save_model(tmp_path / "half", CONFIG, lazy)
    assert dataclasses.replace(hashes, files={}) == model_hashes(CONFIG, wide)
    assert load_hashes(tmp_path / "half") == hashes
    assert _equal(load_model(tmp_path / "half")[1], wide)
    assert {network.stored_type for network in describe_model(tmp_path / "half").networks} == {"float16"}


def test_hashes_tell_what_changed(params):
    base = model_hashes(CONFIG, params)
    other = {**params, "backbone": random_params(CONFIG, seed=1)["backbone"]}
    changed = model_hashes(CONFIG, other)
    assert changed.latent_space == base.latent_space
    assert changed.backbone != base.backbone
    scaled = dataclasses.replace(CONFIG, modalities=CONFIG.modalities.replace("DEM", scale_factor=0.5))
    assert model_hashes(scaled, params).latent_space != base.latent_space
    solver = dataclasses.replace(CONFIG, solver=dataclasses.replace(CONFIG.solver, evaluations=3), provenance={"a": 1})
    assert model_hashes(solver, params) == base
    assert model_hashes(dataclasses.replace(CONFIG, prediction="v"), params).backbone != base.backbone
    vaes = dataclasses.replace(CONFIG, backbone=None)
    only = model_hashes(vaes, {"autoencoders": params["autoencoders"]})
    assert (only.latent_space, only.backbone) == (base.latent_space, None)


def test_an_existing_directory_is_replaced_only_when_told(copy, params):
    with pytest.raises(InputError, match="exists already"):
        save_model(copy, CONFIG, params)
    other = random_params(CONFIG, seed=2)
    save_model(copy, CONFIG, other, overwrite=True)
    assert _equal(load_model(copy)[1], other)


def test_a_failure_leaves_nothing(tmp_path, params):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_model(tmp_path / "m", CONFIG, {**params, "backbone": fail})
    wrong = {**params["backbone"], "norm": {"scale": np.zeros(3), "bias": np.zeros(3)}}
    with pytest.raises(InputError, match=r"norm/\w+ has shape \(3,\) instead of \(32,\), and 1 more"):
        save_model(tmp_path / "m", CONFIG, {**params, "backbone": wrong})
    with pytest.raises(InputError, match="the parameters are of backbone"):
        save_model(tmp_path / "m", CONFIG, {"backbone": params["backbone"]})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, params, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="the disk is full"):
        save_model(tmp_path / "m", CONFIG, params)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["removed", "cut", "flipped"])
@pytest.mark.parametrize("kind", ["config.json", "hashes.json", "manifest", "metadata", "largest"])
def test_damage_is_one_sentence(copy, damage, kind, capfd):
    files = [file for file in (copy / "backbone").rglob("*") if file.is_file()]
    chosen = {
        "config.json": copy / "config.json",
        "hashes.json": copy / "hashes.json",
        "manifest": copy / "backbone" / "manifest.ocdbt",
        "metadata": copy / "backbone" / "_METADATA",
        "largest": max(files, key=lambda file: file.stat().st_size),
    }[kind]
    data = bytearray(chosen.read_bytes())
    data[len(data) // 2] ^= 8
    if damage == "removed":
        chosen.unlink()
    else:
        chosen.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    with pytest.raises(InputError) as caught:
        load_model(copy)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


def test_a_changed_configuration_is_noticed(copy):
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text.replace("0.404247", "0.404248"))
    with pytest.raises(InputError, match="not of the same model"):
        load_model(copy)


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc", "a/b", ""])
def test_a_modality_name_is_no_path(copy, name):
    data = json.loads((copy / "config.json").read_text())
    data["modalities"]["modalities"][0]["name"] = name
    (copy / "config.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="names a modality"):
        load_config(copy)


def test_no_model_directory(tmp_path, written):
    with pytest.raises(InputError, match="no such directory"):
        load_model(tmp_path / "absent")
    with pytest.raises(InputError, match=r"has no config\.json"):
        load_model(tmp_path)
    with pytest.raises(InputError, match="has no autoencoder of S1RTC"):
        load_model(written, networks=["S1RTC"])


def test_info(written, params, capsys):
    assert main(["info", str(written), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    counts = {network["name"]: network["parameters"] for network in told["networks"]}
    trees = {"backbone": params["backbone"], **params["autoencoders"]}
    assert counts == {name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in trees.items()}
    assert told["latent_space"] == load_hashes(written).latent_space
    assert told["parameter_bytes"] == 4 * sum(counts.values())
    assert main(["info", str(written)]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in CONFIG.modalities.names)
    assert main(["info", str(written / "absent")]) == 2


def test_a_file_that_the_hashes_do_not_know_is_refused(copy):
    (copy / "backbone" / "stray").write_text("not of this model")
    with pytest.raises(InputError, match="does not know backbone/stray"):
        load_model(copy)
