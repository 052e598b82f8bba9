"""What the breakdown of times calls the operations of a compiled program."""

import jax
import jax.numpy as jnp

from benchmarks.breakdown import _names, _part
from copgen_jax.nn.attention import attention


def test_attention_between_tokens_is_told_from_its_projections():
    def attend(x):
        with jax.named_scope("attention"):
            return attention(x, x, x).sum()

    for function in (attend, jax.grad(attend)):
        names = _names(jax.jit(function).lower(jnp.ones((2, 16, 3, 8))).compile().as_text())
        within = {origin for origin in names.values() if "qk,...kd" in origin or "/exp" in origin}
        assert within
        assert {_part(origin) for origin in within} == {"attention between tokens"}
