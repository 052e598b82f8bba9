"""Formulas of cost against what is known otherwise."""

import contextlib
import io
from pathlib import Path

import jax
import numpy as np
import pytest

from copgen_jax.config import BackboneConfig, ModelConfig, preset
from copgen_jax.modalities import TINY
from copgen_jax.model import build_backbone
from copgen_jax.training.cost import estimate_cost, forward_flops, kept_per_sample, parameter_count


def test_published_sizes():
    counts = {name: parameter_count(build_backbone(preset(name))) for name in ("base", "large", "huge")}
    assert counts == {"base": 286_986_562, "large": 501_092_674, "huge": 951_274_306}


def test_operations_of_base():
    """About 0.54 TFLOP per sample and forward pass."""
    assert forward_flops(BackboneConfig(), preset("base").modalities.tokens) == pytest.approx(0.54e12, rel=0.02)


def test_operations_against_the_compiler():
    sizes = BackboneConfig(width=128, depth=2, heads=2)
    backbone = build_backbone(ModelConfig(modalities=TINY, backbone=sizes))
    latents = {m.name: np.zeros((8, *m.latent_shape), np.float32) for m in TINY}
    times = {m.name: np.zeros(8, np.float32) for m in TINY}
    params = jax.eval_shape(lambda: backbone.init(jax.random.key(0), latents, times))
    counted = jax.jit(backbone.apply).lower(params, latents, times).cost_analysis()["flops"]
    # The compiler also counts embeddings, heads, norms, activations; and the body of a scan once.
    assert counted == pytest.approx(8 * forward_flops(sizes, TINY.tokens), rel=0.3)


def test_sharing_and_micro_batches_save_memory():
    backbone = build_backbone(preset("huge"), dtype="bfloat16", remat="full")
    common = {"batch_size": 64, "devices": 8, "platform": "cuda"}
    whole = estimate_cost(backbone, accumulation=1, fsdp=1, **common)
    shared = estimate_cost(backbone, accumulation=1, fsdp=8, **common)
    parts = estimate_cost(backbone, accumulation=8, fsdp=8, **common)
    assert shared.state == whole.state // 8
    assert parts.activations == shared.activations // 8
    assert whole.flops_per_step == shared.flops_per_step == parts.flops_per_step


def test_keeping_less_takes_less():
    backbones = (build_backbone(preset("base"), dtype="bfloat16", remat=remat) for remat in ("none", "dots", "full"))
    kept = [kept_per_sample(backbone, "cuda") for backbone in backbones]
    assert kept == sorted(kept, reverse=True)


def test_the_page_is_what_the_program_says():
    from benchmarks import sizing

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        sizing.main()
    assert (Path(__file__).parents[2] / "docs" / "sizing.md").read_text() == said.getvalue()
