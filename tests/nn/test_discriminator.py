"""The patch discriminator: its published shape, what it sees, and its batch normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_vectors import load_json, present
from published_discriminator import PREFIX, discriminator_variables, published_layers

from copgen_jax.nn.discriminator import STATISTICS, BatchNorm, Discriminator

SMALL = Discriminator(width=4, strided=2)


@pytest.fixture(scope="module")
def small():
    return jax.jit(SMALL.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 2)))


@pytest.mark.parametrize("manifest", present(*(f"vae/manifest_loss_{n}.json" for n in ("tiny", "LULC_LULC"))))
def test_published_names_and_shapes(manifest):
    shapes = {k: tuple(v) for k, v in load_json(manifest).items() if k.startswith(PREFIX)}
    arrays = {k: np.zeros(s, np.float32) for k, s in shapes.items()}
    params, statistics = discriminator_variables(arrays)
    channels = shapes[f"{PREFIX}.0.weight"][1]
    ours = jax.eval_shape(Discriminator().init, jax.random.key(0), jnp.zeros((1, 32, 32, channels)))
    theirs = {"params": params, STATISTICS: statistics}
    assert jax.tree.map(lambda a: a.shape, ours) == jax.tree.map(lambda a: a.shape, theirs)
    used = {f"{PREFIX}.{place}" for place in published_layers(3).values()}
    left = {k for k in shapes if k.rsplit(".", 1)[0] not in used}
    assert not left


@pytest.mark.parametrize("side", [16, 24, 40])
def test_one_logit_per_stride(small, side):
    logits = SMALL.apply(small, jnp.zeros((2, side, side, 2)))
    assert logits.shape == (2, side // 4 - 2, side // 4 - 2, 1)


def test_initial_weights():
    params = jax.jit(Discriminator().init)(jax.random.key(1), jnp.zeros((1, 32, 32, 4)))["params"]
    for name, layer in params.items():
        values = layer["kernel"] if name.startswith("conv") else layer["scale"]
        np.testing.assert_allclose(values.mean(), 0 if name.startswith("conv") else 1, atol=0.006)
        np.testing.assert_allclose(values.std(), 0.02, rtol=0.2)
    bound = 1 / np.sqrt(16 * 4)
    assert np.abs(params["conv_0"]["bias"]).max() < bound
    assert np.abs(params["conv_0"]["bias"]).max() > 0.7 * bound


def test_batch_normalisation_against_numpy():
    x = np.random.default_rng(0).normal(300.0, 2.0, (3, 5, 4, 2)).astype(np.float32)
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x)
    y, changed = norm.apply(variables, x, mutable=[STATISTICS])
    wide = x.astype(np.float64)
    mean, variance = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    expected = (wide - mean) / np.sqrt(variance + 1e-5) * np.asarray(variables["params"]["scale"], np.float64)
    np.testing.assert_allclose(y, expected, atol=2e-4)
    np.testing.assert_allclose(changed[STATISTICS]["mean"], 0.1 * mean, rtol=1e-5)
    unbiased = wide.reshape(-1, 2).var(0, ddof=1)
    np.testing.assert_allclose(changed[STATISTICS]["variance"], 0.9 + 0.1 * unbiased, rtol=1e-4)


def test_running_statistics_are_kept_and_never_used(small):
    images = jax.random.normal(jax.random.key(2), (2, 16, 16, 2))
    other = {**small, STATISTICS: jax.tree.map(lambda a: a + 3.0, small[STATISTICS])}
    np.testing.assert_array_equal(SMALL.apply(small, images), SMALL.apply(other, images))
    _, changed = SMALL.apply(small, images, mutable=[STATISTICS])
    for before, after in zip(jax.tree.leaves(small[STATISTICS]), jax.tree.leaves(changed[STATISTICS]), strict=True):
        assert np.abs(np.asarray(before) - np.asarray(after)).max() > 0


def test_a_batch_is_judged_by_itself(small):
    one, two = jax.random.normal(jax.random.key(3), (2, 2, 16, 16, 2))
    alone = SMALL.apply(small, one)
    together = SMALL.apply(small, jnp.concatenate([one, 5.0 * two]))[:2]
    assert np.abs(np.asarray(alone) - np.asarray(together)).max() > 1e-3
    order = SMALL.apply(small, one[::-1])[::-1]
    np.testing.assert_allclose(order, alone, atol=1e-6)
