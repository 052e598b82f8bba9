"""Attention's two ways, all heads at once and one by one, against the formula and its derivative by JAX."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from copgen_jax.nn.attention import attention


def by_the_formula(query, key, value):
    query, key, value = (x.astype(jnp.float32) for x in (query, key, value))
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1], dtype=np.float32)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits), value)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("way", ["cpu", "default"])
def test_values_and_gradients_are_those_of_the_formula(monkeypatch, way, dtype, tolerance):
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *arrays, **ways: ways[way](*arrays))
    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(3 * rng.standard_normal((2, 7, 6, 4), np.float32), dtype) for _ in range(3)]
    weights = jnp.asarray(rng.standard_normal((2, 7, 6, 4), np.float32))

    def of(function):
        def weighted(*arrays):
            return jnp.sum(weights * function(*arrays).astype(jnp.float32))

        return function(*arrays), *jax.grad(weighted, argnums=(0, 1, 2))(*arrays)

    for one, other in zip(of(attention), of(by_the_formula), strict=True):
        scale = np.abs(np.asarray(other, np.float32)).max()
        np.testing.assert_allclose(np.asarray(one, np.float32), np.asarray(other, np.float32), atol=tolerance * scale)


def test_a_program_for_another_platform_has_that_platforms_way():
    arrays = (jax.ShapeDtypeStruct((2, 7, 6, 4), jnp.float32),) * 3
    loops = {
        platform: "stablehlo.while"
        in jax.export.export(jax.jit(attention), platforms=[platform])(*arrays).mlir_module()
        for platform in ("cpu", "cuda", "tpu")
    }
    assert loops == {"cpu": True, "cuda": False, "tpu": False}
