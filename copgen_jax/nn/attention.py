"""Scaled dot-product attention: a plain form that is the truth, and cuDNN's fused kernel."""

from typing import Literal

import jax
import jax.numpy as jnp

from copgen_jax.errors import InputError
from copgen_jax.types import Array, Float

Implementation = Literal["plain", "cudnn"]
"""`plain` runs anywhere. `cudnn` needs an NVIDIA GPU and bfloat16 or float16 compute."""


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
    scale = query.shape[-1] ** -0.5
    logits = jnp.einsum("bqhd,bkhd->bhqk", query * scale, key, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)
