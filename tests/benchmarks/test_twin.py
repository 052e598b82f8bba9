"""The PyTorch twin of the benchmarks against the original, number by number."""

import numpy as np
import pytest
from golden_networks import arrays, case_modalities, published_shape
from golden_vectors import cases, load_json, recipe

torch = pytest.importorskip("torch", reason="the benchmarks' opponent needs PyTorch: pip install copgen_jax[bench]")

from benchmarks.twin.autoencoder import TwinAutoencoder  # noqa: E402
from benchmarks.twin.backbone import TwinBackbone  # noqa: E402

FULL_TOLERANCE = {"atol": 1e-4, "rtol": 1e-3}
TINY_TOLERANCE = {"atol": 4e-5, "rtol": 1e-5}
"""The time embedding has 4e-5 of its own: README of the vectors."""


def loaded(module, manifest, seed):
    """Strictly the published names."""
    state = recipe.state_dict(load_json(manifest), seed)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=True)
    return module.eval()


def normal(shape, case, name):
    return torch.from_numpy(recipe.inputs(shape, case["seed"], name))


def marked(found, quick, name):
    """The table's cases by `name`; those of the published size are long."""
    return [pytest.param(c, id=c[name], marks=() if quick(c) else pytest.mark.slow) for c in found]


@pytest.mark.parametrize("form", ["float32", "fused"])
@pytest.mark.parametrize("case", marked(cases("backbone"), lambda c: c["width"] <= 128, "file"))
def test_backbone(case, form):
    modalities = case_modalities(case)
    twin = TwinBackbone(
        modalities, width=case["width"], depth=case["depth"], heads=case["heads"], attention=form
    )  # fmt: skip
    loaded(twin, f"backbone/{case['manifest']}", case["seed"])
    golden = arrays(f"backbone/{case['file']}")
    latents = {m.name: normal(published_shape(m, case["batch"]), case, f"latent/{m.published_key}") for m in modalities}
    with torch.no_grad():
        predictions = twin(latents, torch.from_numpy(golden["t"]))
    for m in modalities:
        tolerance = TINY_TOLERANCE if case["width"] <= 128 else FULL_TOLERANCE
        np.testing.assert_allclose(predictions[m.name], golden[f"out/{m.published_key}"], **tolerance, err_msg=m.name)


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize(
    "case",
    marked([c for c in cases("vae") if c["kind"] in ("layers", "published")], lambda c: c["px"] <= 32, "modality"),
)
def test_autoencoder(case, fused):
    sizes = ("channels", "base_width", "blocks", "latent_channels", "groups")
    twin = TwinAutoencoder(
        **{name: case[name] for name in sizes}, multipliers=tuple(case["multipliers"]), fused_attention=fused
    )
    loaded(twin, f"vae/{case['manifest']}", case["seed"])
    golden = arrays(f"vae/{case['file']}")
    side = case["px"] // 2 ** (len(case["multipliers"]) - 1)
    image = normal((case["batch"], case["channels"], case["px"], case["px"]), case, f"image/{case['modality']}")
    latent = normal((case["batch"], case["latent_channels"], side, side), case, f"latent/{case['modality']}")
    with torch.no_grad():
        moments = twin.encode(image).numpy()
        decoded = twin.decode(latent / float(golden["scale_factor"] if "scale_factor" in golden.files else 1)).numpy()
    if case["kind"] == "layers":
        np.testing.assert_allclose(moments, golden["moments"], **TINY_TOLERANCE)
        np.testing.assert_allclose(decoded, golden["decode_out"], **TINY_TOLERANCE)
        return
    mean, log_variance = np.split(moments, 2, axis=1)
    np.testing.assert_allclose(mean, golden["mean"], **FULL_TOLERANCE)
    np.testing.assert_allclose(log_variance, golden["logvar"], **FULL_TOLERANCE)
    if case["crop"]:
        first, last = case["crop"]
        decoded, expected = decoded[:, :, first:last, first:last], golden["decode_crop"]
    else:
        expected = golden["decode"]
    np.testing.assert_allclose(decoded, expected, **FULL_TOLERANCE)
