"""Published names and layouts, for every manifest; and that the converted networks compute what the originals do."""

import dataclasses
import json

import numpy as np
import pytest
from golden_vectors import ROOT, cases, load_json, present, recipe

import copgen_jax as cg
from copgen_jax.checkpoints import (
    autoencoder_params,
    autoencoder_state_dict,
    backbone_params,
    backbone_state_dict,
    recognise_autoencoder,
    recognise_backbone,
    recognise_modalities,
)
from copgen_jax.errors import InputError

BACKBONES = cases("backbone")
AUTOENCODERS = cases("vae")
KEYS = {modality.published_key: modality.name for modality in cg.COPGEN}


def _modalities(case) -> cg.ModalitySet:
    return cg.COPGEN if case["modalities"] == "all" else cg.COPGEN.subset([KEYS[key] for key in case["modalities"]])


def _shapes_only(manifest: dict) -> dict:
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in manifest.items()}


def _same(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("case", BACKBONES, ids=lambda case: case["file"])
def test_backbone_round_trip(case):
    if case["width"] > 256:
        manifest = load_json(f"backbone/{case['manifest']}")
        size = recognise_backbone(_shapes_only(manifest))
        assert (size.width, size.depth, size.heads) == (case["width"], case["depth"], case["heads"])
        return
    state_dict = recipe.state_dict(ROOT / "backbone" / case["manifest"], case["seed"])
    backbone = cg.Backbone(modalities=_modalities(case), width=case["width"], depth=case["depth"], heads=case["heads"])
    _same(backbone_state_dict(backbone_params(state_dict, backbone), backbone), state_dict)


@pytest.mark.parametrize("case", [c for c in BACKBONES if c["width"] <= 256], ids=lambda case: case["file"])
def test_converted_backbone_predicts_what_the_original_does(case):
    modalities = _modalities(case)
    backbone = cg.Backbone(modalities=modalities, width=case["width"], depth=case["depth"], heads=case["heads"])
    params = backbone_params(recipe.state_dict(ROOT / "backbone" / case["manifest"], case["seed"]), backbone)
    golden = np.load(ROOT / "backbone" / case["file"])
    latents, times = {}, {}
    for place, modality in enumerate(modalities):
        output = golden[f"out/{modality.published_key}"]
        values = recipe.inputs(output.shape, case["seed"], f"latent/{modality.published_key}")
        latents[modality.name] = _channel_last(values, modality)
        times[modality.name] = golden["t"][place]
    found = backbone.apply({"params": params}, latents, times)
    for modality in modalities:
        expected = _channel_last(golden[f"out/{modality.published_key}"], modality)
        np.testing.assert_allclose(found[modality.name], expected, atol=2e-5, rtol=1e-5, err_msg=modality.name)


def _channel_last(values, modality):
    return values.transpose(0, 2, 3, 1) if modality.is_image else values.reshape(len(values), -1)


@pytest.mark.parametrize("file", present(*(f"backbone/manifest_{size}.json" for size in ("base", "large", "huge"))))
def test_published_sizes_are_recognised(file):
    manifest = load_json(file)
    shapes = _shapes_only(manifest)
    size, modalities = recognise_backbone(shapes), recognise_modalities(shapes)
    assert modalities == cg.COPGEN
    backbone = cg.Backbone(modalities=modalities, **dataclasses.asdict(size))
    cg.checkpoints.published.check_backbone(shapes, backbone)


def _vae_manifests() -> list[str]:
    return sorted(
        f"vae/{path.name}" for path in (ROOT / "vae").glob("manifest_*.json") if "manifest_loss" not in path.name
    )


@pytest.mark.parametrize("file", _vae_manifests())
def test_published_autoencoders_are_recognised(file):
    shapes = _shapes_only(load_json(file))
    size = recognise_autoencoder(shapes)
    channels, latent = shapes["decoder.conv_out.weight"].shape[0], shapes["post_quant_conv.weight"].shape[0]
    autoencoder = cg.Autoencoder(channels=channels, latent_channels=latent, **dataclasses.asdict(size))
    cg.checkpoints.published.check_autoencoder(shapes, autoencoder)


@pytest.mark.parametrize("case", [c for c in AUTOENCODERS if c["base_width"] <= 64], ids=lambda case: case["file"])
def test_autoencoder_round_trip_and_outputs(case):
    state_dict = recipe.state_dict(ROOT / "vae" / case["manifest"], case["seed"])
    autoencoder = cg.Autoencoder(
        channels=case["channels"],
        base_width=case["base_width"],
        multipliers=tuple(case["multipliers"]),
        blocks=case["blocks"],
        latent_channels=case["latent_channels"],
        groups=case["groups"],
    )
    params = autoencoder_params(state_dict, autoencoder)
    _same(autoencoder_state_dict(params, autoencoder), state_dict)
    golden = np.load(ROOT / "vae" / case["file"])
    shape = (case["batch"], case["channels"], case["px"], case["px"])
    images = recipe.inputs(shape, case["seed"], f"image/{case['modality']}").transpose(0, 2, 3, 1)
    moments = autoencoder.apply({"params": params}, images, method="encode")
    np.testing.assert_allclose(moments, golden["moments"].transpose(0, 2, 3, 1), atol=2e-5, rtol=1e-5)


@pytest.fixture
def tiny():
    """Weights and network of the smallest backbone of all modalities."""
    small = [c for c in BACKBONES if c["modalities"] == "all"]
    if not small:
        pytest.skip("these vectors have no backbone of all modalities")
    case = min(small, key=lambda case: case["width"])
    manifest = json.loads((ROOT / "backbone" / case["manifest"]).read_text())
    backbone = cg.Backbone(modalities=cg.COPGEN, width=case["width"], depth=case["depth"], heads=case["heads"])
    return _shapes_only(manifest), backbone


def test_the_declared_order_is_refused(tiny):
    weights, backbone = tiny
    vectors = [place for place, modality in enumerate(backbone.modalities) if not modality.is_image]
    images = [place for place, modality in enumerate(backbone.modalities) if modality.is_image]
    declared = [*vectors, *images]
    wrong = dict(weights)
    for place, source in enumerate(declared):
        for name in ("patch_embeds.{}.proj.weight", "decoder_preds.{}.weight", "decoder_preds.{}.bias"):
            wrong[name.format(place)] = weights[name.format(source)]
    with pytest.raises(InputError, match=r"another order: .* places \[0, 1\], .* at \[0, 11\]"):
        backbone_params(wrong, backbone)


def test_the_first_parameter_that_does_not_fit_is_named(tiny):
    weights, backbone = tiny
    missing = {name: array for name, array in weights.items() if not name.startswith("norm.")}
    with pytest.raises(InputError, match=r"'norm\.\w+' is missing, and 1 more"):
        backbone_params(missing, backbone)
    with pytest.raises(InputError, match=r"'extra' is not one of its parameters \(0 missing"):
        backbone_params(weights | {"extra": np.zeros(1, np.float32)}, backbone)
    with pytest.raises(InputError, match=r"'norm.bias' has shape \(3,\) instead of \(\d+,\)"):
        backbone_params(weights | {"norm.bias": np.zeros(3, np.float32)}, backbone)
    with pytest.raises(InputError, match=r"'norm.bias' has type int64"):
        backbone_params(weights | {"norm.bias": np.zeros(backbone.width, np.int64)}, backbone)


def test_types(tiny):
    weights, backbone = tiny
    half = {name: array.astype(np.float16) for name, array in weights.items()}
    assert backbone_params(half, backbone)["norm"]["scale"].dtype == np.float32
    assert backbone_params(half, backbone, dtype=None)["norm"]["scale"].dtype == np.float16
    mixed = half | {"norm.bias": weights["norm.bias"]}
    assert backbone_params(mixed, backbone, dtype=None)["norm"]["bias"].dtype == np.float32
