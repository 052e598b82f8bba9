"""A training step with LPIPS, on random weights that went through the conversion."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from feature_weights import weights

from copgen_jax.model import build_autoencoder
from copgen_jax.nn.perceptual import VGG16, lpips_names, lpips_of_bands, lpips_params
from copgen_jax.training.autoencoder_config import TRAININGS
from copgen_jax.training.autoencoder_loss import reconstruct
from copgen_jax.training.autoencoder_step import draw, make_autoencoder_step, start_autoencoder

TINY = TRAININGS["tiny"]
TRAINING = dataclasses.replace(TINY, autoencoder=dataclasses.replace(TINY.autoencoder, base_width=4, groups=4))
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.mark.slow
def test_the_distance_is_in_the_loss_and_in_the_update():
    given = lpips_params(VGG16, weights(lpips_names(VGG16), 0))
    nothing = {name: np.zeros_like(w) if name.startswith("lin") else w for name, w in given.items()}
    model = TRAINING.model()
    autoencoder, shape = build_autoencoder(model, TRAINING.modality), model.modalities[TRAINING.modality].image_shape
    images = jnp.asarray(np.tanh(np.random.default_rng(0).normal(size=(2, *shape))), jnp.float32)

    @jax.jit
    def begin():
        return start_autoencoder(autoencoder, None, TRAINING.optimiser, jax.random.key(0), shape)

    def distance(params, lpips):
        seen, noise, _ = draw(autoencoder, 0, jnp.int32(0), images)
        found, _ = reconstruct(autoencoder, params, seen, noise)
        return lpips_of_bands(lpips, seen, found).mean()

    step = make_autoencoder_step(autoencoder, None, loss=TRAINING.loss, optimiser=TRAINING.optimiser, seed=0)
    state = begin.lower().compile(compiler_options=QUICK)()
    compiled = jax.jit(step).lower(state, {"images": images}, given).compile(compiler_options=QUICK)
    (with_it, report), (without, plain) = (compiled(state, {"images": images}, w) for w in (given, nothing))
    measured = jax.jit(distance).lower(state.params, given).compile(compiler_options=QUICK)(state.params, given)
    assert float(measured) > 1e-3
    np.testing.assert_allclose(report.generator.reconstruction - plain.generator.reconstruction, measured, rtol=1e-3)
    assert int(report.skipped) == 0
    assert np.isfinite(float(report.generator.total))
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), with_it.moments, without.moments)
    assert max(jax.tree.leaves(moved)) > 1e-6
