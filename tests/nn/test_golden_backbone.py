"""The backbone against the original, number by number."""

import jax
import numpy as np
import pytest
from golden_networks import arrays, case_backbone, recipe_latents, to_latent
from golden_vectors import cases, load_json, present

from copgen_jax.config import preset
from copgen_jax.model import build_backbone
from copgen_jax.nn.backbone import time_embedding

CASES = cases("backbone")
TINY_TOLERANCE = {"atol": 2e-5, "rtol": 1e-5}
BASE_TOLERANCE = {"atol": 1e-4, "rtol": 1e-3}
TIME_ATOL = 4e-5
"""The original's frequencies differ from the exact ones by a last digit: README, Time embedding."""


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["file"])
def test_predictions_and_intermediates(case):
    backbone, params = case_backbone(case, f"backbone/{case['manifest']}", case["seed"])
    golden = arrays(f"backbone/{case['file']}")
    latents = recipe_latents(backbone.modalities, case["batch"], case["seed"], "latent")
    times = {name: golden["t"][i] for i, name in enumerate(backbone.modalities.names)}

    apply = jax.jit(lambda p, x, t: backbone.apply({"params": p}, x, t, mutable=["intermediates"]))
    out, recorded = apply(params, latents, times)

    tolerance = TINY_TOLERANCE if case["width"] <= 128 else BASE_TOLERANCE
    for modality in backbone.modalities:
        expected = to_latent(golden[f"out/{modality.published_key}"], modality)
        np.testing.assert_allclose(out[modality.name], expected, **tolerance, err_msg=modality.name)
    if case["intermediates"]:
        inner = recorded["intermediates"]
        np.testing.assert_allclose(inner["tokens_embedded"][0], golden["tokens_embedded"], atol=TIME_ATOL, rtol=1e-5)
        np.testing.assert_allclose(inner["skips"][0][0], golden["in_block_0"], atol=TIME_ATOL, rtol=1e-5)
        np.testing.assert_allclose(inner["middle"][0], golden["mid_block"], atol=TIME_ATOL, rtol=1e-5)
        np.testing.assert_allclose(inner["final_norm"][0], golden["final_norm"], **TINY_TOLERANCE)


@pytest.mark.parametrize("path", present("backbone/time_embedding.npz"))
def test_time_embedding(path):
    golden = arrays(path)
    for name in set(golden.files) - {"t"}:
        ours = time_embedding(golden["t"], int(name.removeprefix("dim")))
        np.testing.assert_allclose(ours, golden[name], atol=TIME_ATOL, rtol=0)


@pytest.mark.parametrize("path", present(*(f"backbone/manifest_{size}.json" for size in ("base", "large", "huge"))))
def test_full_sizes_by_shape(path):
    """Every parameter of the published file has its place, and there is no other."""
    size = path.removeprefix("backbone/manifest_").removesuffix(".json")
    backbone = build_backbone(preset(size))
    latents = {m.name: np.zeros((1, *m.latent_shape), np.float32) for m in backbone.modalities}
    times = {name: np.zeros((1,), np.float32) for name in backbone.modalities.names}
    shapes = jax.eval_shape(backbone.init, jax.random.key(0), latents, times)["params"]
    published = sum(int(np.prod(shape)) for shape in load_json(path).values())
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes)) == published
