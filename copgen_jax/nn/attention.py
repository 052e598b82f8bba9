"""Scaled dot-product attention: a plain form that is the truth, and cuDNN's fused kernel."""

from typing import Literal

import jax
import jax.numpy as jnp

from copgen_jax.errors import InputError
from copgen_jax.types import Array, Float

Implementation = Literal["plain", "cudnn"]
"""`plain` runs anywhere, on a CPU head by head. `cudnn` needs an NVIDIA GPU and bfloat16 or float16 compute."""


def attention(
    query: Float[Array, "B N heads dim"],
    key: Float[Array, "B N heads dim"],
    value: Float[Array, "B N heads dim"],
    *,
    implementation: Implementation = "plain",
) -> Float[Array, "B N heads dim"]:
    """softmax(q k^T / sqrt(dim)) v per head; products in the inputs' dtype, softmax in float32.

    Raises:
        InputError: an unknown implementation.
    """
    if implementation == "cudnn":
        return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
    if implementation != "plain":
        raise InputError(f"attention is {implementation!r}: expected plain or cudnn")
    query = query * query.shape[-1] ** -0.5
    if jax.default_backend() == "cpu":
        return _head_by_head(query, key, value)
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


def _head_by_head(
    query: Float[Array, "B N heads dim"], key: Float[Array, "B N heads dim"], value: Float[Array, "B N heads dim"]
) -> Float[Array, "B N heads dim"]:
    """The same in a loop over heads, of a query that is scaled already.

    A head's logits stay in a processor's cache, and they are divided by their sum after the product with the values:
    about three times as fast there as all heads at once. The batch stays whole, so that devices can share it.
    """

    def attend(head: tuple[Array, Array, Array]) -> Array:
        query, key, value = head
        logits = jnp.einsum("bqd,bkd->bqk", query, key, preferred_element_type=jnp.float32)
        weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
        mixed = jnp.einsum("bqk,bkd->bqd", weights.astype(value.dtype), value, preferred_element_type=jnp.float32)
        return (mixed / weights.sum(-1, keepdims=True)).astype(value.dtype)

    heads_first = [x.transpose(2, 0, 1, 3) for x in (query, key, value)]
    return jax.lax.map(attend, tuple(heads_first)).transpose(1, 2, 0, 3)
