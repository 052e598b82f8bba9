"""Attention's two ways of doing the same, whatever this machine takes by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from copgen_jax.nn.attention import attention


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 2e-2)])
def test_head_by_head_is_all_heads_at_once(monkeypatch, dtype, tolerance):
    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(3 * rng.standard_normal((2, 7, 3, 4), np.float32), dtype) for _ in range(3)]

    def on(backend):
        monkeypatch.setattr(jax, "default_backend", lambda: backend)
        out, gradient = jax.value_and_grad(
            lambda q, k, v: jnp.sum(jnp.square(attention(q, k, v).astype(jnp.float32))), argnums=(0, 1, 2)
        )(*arrays)
        return attention(*arrays), out, *gradient

    for one, other in zip(on("cpu"), on("gpu"), strict=True):
        assert one.dtype == other.dtype
        scale = np.abs(np.asarray(other, np.float32)).max()
        np.testing.assert_allclose(np.asarray(one, np.float32), np.asarray(other, np.float32), atol=tolerance * scale)
