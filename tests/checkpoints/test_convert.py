"""Published files to a model directory and back, through the command line."""

import json
import subprocess
import sys

import numpy as np
import pytest
from checkpoints import handmade
from golden_vectors import ROOT, cases, load_json, present, recipe

import copgen_jax as cg
from copgen_jax.checkpoints import load_config, load_model, read_torch
from copgen_jax.checkpoints.convert import PUBLISHED_DIRECTORIES, convert, find_autoencoder
from copgen_jax.checkpoints.published import autoencoder_state_dict, backbone_state_dict
from copgen_jax.checkpoints.shapes import autoencoder_shapes, backbone_shapes, unflatten
from copgen_jax.cli import main
from copgen_jax.config import AutoencoderConfig
from copgen_jax.errors import InputError

SMALL = AutoencoderConfig(base_width=32, multipliers=(1, 1, 1, 1), blocks=1)
IMAGES = [modality.name for modality in cg.COPGEN.images]


def _random(shapes, seed):
    rng = np.random.default_rng(seed)
    return unflatten({path: rng.standard_normal(shape, np.float32) for path, shape in shapes.items()})


def _vae(name: str) -> dict[str, np.ndarray]:
    network = cg.Autoencoder(channels=cg.COPGEN[name].channels, base_width=32, multipliers=(1, 1, 1, 1), blocks=1)
    return autoencoder_state_dict(_random(autoencoder_shapes(network), len(name)), network)


@pytest.fixture(scope="module")
def backbone_weights():
    network = cg.Backbone(modalities=cg.COPGEN, width=64, depth=2, heads=1)
    return backbone_state_dict(_random(backbone_shapes(network), 0), network)


@pytest.fixture(scope="module")
def published(tmp_path_factory, backbone_weights):
    """A directory as the original's: small networks under the original's names and places."""
    root = tmp_path_factory.mktemp("published")
    (root / "nnet_ema.pth").write_bytes(handmade.flat(backbone_weights))
    for name in IMAGES:
        folder = root / "models" / "vae" / PUBLISHED_DIRECTORIES[name]
        folder.mkdir(parents=True)
        (folder / "model-50-ema.pth").write_bytes(handmade.flat(_vae(name)))
    return root


@pytest.fixture(scope="module")
def model(published, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "m"
    arguments = ["convert", "--vaes", str(published), "--backbone", str(published / "nnet_ema.pth"), "--out", str(out)]
    assert main([*arguments, "--quiet"]) == 0
    return out


def test_places_are_the_originals():
    models = load_json("vae/models.json") if present("vae/models.json") else {}
    places = {key: model["checkpoint"] for key, model in models.items()}
    ours = {m.published_key: f"models/vae/{PUBLISHED_DIRECTORIES[m.name]}/" for m in cg.COPGEN.images}
    for key, place in places.items():
        assert place.startswith(ours[key])


def test_conversion(model, backbone_weights):
    config, params = load_model(model, networks=["backbone", "DEM"])
    assert config.modalities == cg.COPGEN
    assert set(config.autoencoders) == set(IMAGES)
    assert config.autoencoders["LULC"] == SMALL
    assert (config.backbone.width, config.backbone.depth, config.backbone.heads) == (64, 2, 1)
    assert (config.solver.name, config.solver.evaluations, config.s2_offset) == ("published", 50, 1000)
    out_blocks = params["backbone"]["out_blocks"]["qkv"]["kernel"]
    np.testing.assert_array_equal(out_blocks[-1], backbone_weights["out_blocks.0.attn.qkv.weight"].T)
    kernel = params["autoencoders"]["DEM"]["encoder"]["conv_in"]["kernel"]
    np.testing.assert_array_equal(kernel, _vae("DEM")["encoder.conv_in.weight"].transpose(2, 3, 1, 0))


def test_there_and_back_is_exact(model, published, tmp_path, backbone_weights):
    out = tmp_path / "back"
    assert main(["convert", "--to-published", "--model", str(model), "--out", str(out), "--quiet"]) == 0
    found = {file.stem: read_torch(file) for file in (out / "vaes").iterdir()}
    assert set(found) == {modality.published_key for modality in cg.COPGEN.images}
    pairs = [(read_torch(out / "backbone.safetensors"), backbone_weights)]
    pairs += [(found[modality.published_key], _vae(modality.name)) for modality in cg.COPGEN.images]
    for written, original in pairs:
        assert set(written) == set(original)
        for name, array in original.items():
            assert written[name].dtype == array.dtype
            np.testing.assert_array_equal(written[name], array)
    again = tmp_path / "again"
    _, hashes = convert(again, vaes=out / "vaes", backbone=out / "backbone.safetensors")
    assert hashes.latent_space == cg.checkpoints.load_hashes(model).latent_space
    assert hashes.backbone == cg.checkpoints.load_hashes(model).backbone


def test_parts(model, published, tmp_path):
    assert main(["convert", "--vaes", str(published), "--out", str(tmp_path / "v"), "--quiet"]) == 0
    assert load_config(tmp_path / "v").backbone is None
    arguments = ["convert", "--backbone", str(published / "nnet_ema.pth"), "--autoencoders", str(tmp_path / "v")]
    assert main([*arguments, "--out", str(tmp_path / "m"), "--quiet"]) == 0
    joined, whole = (cg.checkpoints.load_hashes(path) for path in (tmp_path / "m", model))
    assert (joined.latent_space, joined.backbone) == (whole.latent_space, whole.backbone)


@pytest.mark.parametrize("file", present(*(f"checkpoints/backbone{kind}.pth" for kind in ("", "_fp16", "_bf16"))))
def test_golden_backbone_keeps_its_type_there_and_back(file, tmp_path):
    (case,) = cases("backbone")[:1]
    _, hashes = convert(tmp_path / "m", backbone=ROOT / file, heads=case["heads"])
    assert hashes.latent_space is None
    cg.checkpoints.convert.convert_to_published(tmp_path / "m", tmp_path / "p")
    original, back = read_torch(ROOT / file), read_torch(tmp_path / "p" / "backbone.safetensors")
    assert set(original) == set(back)
    for name, array in original.items():
        assert back[name].dtype == array.dtype
        assert back[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "place", ["{original}/model-1-ema.pth", "{name}/weights.pt", "{key}.safetensors", "{name}.pth"]
)
def test_places_of_an_autoencoder(tmp_path, place):
    modality = cg.COPGEN["DEM"]
    original = PUBLISHED_DIRECTORIES["DEM"]
    file = tmp_path / place.format(name=modality.name, key=modality.published_key, original=original)
    file.parent.mkdir(exist_ok=True)
    file.touch()
    assert find_autoencoder(tmp_path, modality) == file


def test_the_averaged_one_of_several_counts(tmp_path):
    for name in ("model-50.pt", "model-50-ema.pth"):
        (tmp_path / "DEM").mkdir(exist_ok=True)
        (tmp_path / "DEM" / name).touch()
    assert find_autoencoder(tmp_path, cg.COPGEN["DEM"]).name == "model-50-ema.pth"
    (tmp_path / "DEM" / "model-49-ema.pth").touch()
    with pytest.raises(InputError, match="several checkpoints"):
        find_autoencoder(tmp_path, cg.COPGEN["DEM"])


def _refused(arguments: list[str], words: str, capsys, out) -> None:
    assert main(["convert", *arguments, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not out.exists()
    assert not list(out.parent.glob(".partial-*"))


def test_bad_input(published, model, tmp_path, capsys, backbone_weights):
    out, backbone = tmp_path / "out", str(published / "nnet_ema.pth")
    wrong = tmp_path / "wrong.pth"

    def refused(words, *arguments):
        _refused(list(arguments), words, capsys, out)

    refused("nothing to convert")
    refused("is not a directory", "--vaes", str(tmp_path / "absent"))
    refused("no autoencoder of DEM: expected DEM_64x64", "--vaes", str(tmp_path))
    refused("not from both", "--vaes", str(published), "--autoencoders", str(model))
    refused("is not a file", "--backbone", str(tmp_path / "absent.pth"))
    refused("not the parameters of an original backbone", "--backbone", _first_vae(published))
    refused("must be even and divide into 7 heads", "--backbone", backbone, "--heads", "7")
    refused("goes with --to-published", "--backbone", backbone, "--model", str(model))
    refused("needs the model directory", "--to-published")
    refused("does not go with", "--to-published", "--model", str(model), "--heads", "1")
    refused("not complete", "--to-published", "--model", str(_broken(model, tmp_path)))
    wrong.write_bytes((published / "nnet_ema.pth").read_bytes()[:-300])
    refused("truncated", "--backbone", str(wrong))
    wrong.write_bytes(handmade.flat({k: v for k, v in backbone_weights.items() if not k.startswith("norm")}))
    refused("wrong.pth: these parameters are not those of the backbone: 'norm.", "--backbone", str(wrong))
    wrong.write_bytes(handmade.flat(backbone_weights | {"pos_embed": np.zeros((1, 800, 64), np.float32)}))
    refused("belongs to no known modality set", "--backbone", str(wrong))
    existing = tmp_path / "existing"
    existing.mkdir()
    assert main(["convert", "--backbone", backbone, "--out", str(existing)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["convert", "--backbone", backbone, "--out", str(existing), "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latent_space"] is None


def _first_vae(published) -> str:
    return str(find_autoencoder(published, cg.COPGEN["DEM"]))


def _broken(model, tmp_path):
    import shutil

    broken = shutil.copytree(model, tmp_path / "broken")
    (broken / "backbone" / "_METADATA").unlink()
    return broken


def test_a_damaged_autoencoder_leaves_nothing(published, tmp_path, capsys):
    vaes = tmp_path / "vaes"
    vaes.mkdir()
    for name in IMAGES:
        (vaes / f"{name}.pth").write_bytes(find_autoencoder(published, cg.COPGEN[name]).read_bytes())
    last = vaes / f"{IMAGES[-1]}.pth"
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    _refused(["--vaes", str(vaes)], "checksum", capsys, tmp_path / "out")
    last.write_bytes(handmade.flat(_vae("DEM")))
    _refused(["--vaes", str(vaes)], "S2L2A_20m.pth: these parameters are not those of the", capsys, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("stored", [np.float32, np.float16])
def test_peak_memory(tmp_path, stored):
    """At most 2.5 times the file above the start of the process, imports of every library included."""
    if not present("backbone/manifest_base.json"):
        pytest.skip("these vectors have no manifest of the base size")
    weights = {
        name: recipe.parameter("", (1,), 0).astype(stored) * np.ones(shape, stored)
        for name, shape in load_json("backbone/manifest_base.json").items()
    }
    file = tmp_path / "backbone.safetensors"
    cg.checkpoints.safetensors.write(file, weights)
    del weights
    # VmHWM is the peak of this program alone; getrusage would include the memory of the test that started it.
    program = (
        "import re, sys\n"
        "from copgen_jax.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "convert",
        "--backbone",
        str(file),
        "--out",
        str(tmp_path / "m"),
        "--quiet",
    ]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1024
    assert file.stat().st_size > 300e6
    assert file.stat().st_size < peak < 2.5 * file.stat().st_size
