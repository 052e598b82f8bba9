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


@jax.custom_vjp
def _head_by_head(
    query: Float[Array, "B N heads dim"], key: Float[Array, "B N heads dim"], value: Float[Array, "B N heads dim"]
) -> Float[Array, "B N heads dim"]:
    """The same in a loop over heads, of a query that is scaled already.

    A head's logits stay in a processor's cache, and they are divided by their sum after the product with the values:
    about three times as fast there as all heads at once. The batch stays whole, so that devices can share it. For the
    gradient the weights are computed again (as in FlashAttention, Dao et al. 2022), from the logarithm of their sum.
    """
    out, _ = _forward(query, key, value)
    return out


def _forward(query: Array, key: Array, value: Array) -> tuple[Array, tuple[Array, ...]]:
    def attend(head: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        query, key, value = head
        logits = jnp.einsum("bqd,bkd->bqk", query, key, preferred_element_type=jnp.float32)
        largest = logits.max(-1, keepdims=True)
        weights = jnp.exp(logits - largest)
        total = weights.sum(-1, keepdims=True)
        mixed = jnp.einsum("bqk,bkd->bqd", weights.astype(value.dtype), value, preferred_element_type=jnp.float32)
        return (mixed / total).astype(value.dtype), largest + jnp.log(total)

    heads = tuple(_heads_first(x) for x in (query, key, value))
    out, log_total = jax.lax.map(attend, heads)
    return _heads_third(out), (*heads, out, log_total)


def _backward(saved: tuple[Array, ...], gradient: Array) -> tuple[Array, Array, Array]:
    def attend(head: tuple[Array, ...]) -> tuple[Array, Array, Array]:
        query, key, value, out, log_total, gradient = head
        logits = jnp.einsum("bqd,bkd->bqk", query, key, preferred_element_type=jnp.float32)
        weights = jnp.exp(logits - log_total)
        of_weights = jnp.einsum("bqd,bkd->bqk", gradient, value, preferred_element_type=jnp.float32)
        along = (gradient.astype(jnp.float32) * out.astype(jnp.float32)).sum(-1, keepdims=True)
        of_logits = (weights * (of_weights - along)).astype(query.dtype)
        return (
            jnp.einsum("bqk,bkd->bqd", of_logits, key),
            jnp.einsum("bqk,bqd->bkd", of_logits, query),
            jnp.einsum("bqk,bqd->bkd", weights.astype(value.dtype), gradient),
        )

    of_query, of_key, of_value = jax.lax.map(attend, (*saved, _heads_first(gradient)))
    return _heads_third(of_query), _heads_third(of_key), _heads_third(of_value)


_head_by_head.defvjp(_forward, _backward)


def _heads_first(x: Float[Array, "B N heads dim"]) -> Float[Array, "heads B N dim"]:
    return x.transpose(2, 0, 1, 3)


def _heads_third(x: Float[Array, "heads B N dim"]) -> Float[Array, "B N heads dim"]:
    return x.transpose(1, 2, 0, 3)
