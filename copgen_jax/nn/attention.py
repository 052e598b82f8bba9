"""Scaled dot-product attention: a plain form that is the truth, and cuDNN's fused kernel."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from copgen_jax.errors import InputError
from copgen_jax.nn.layers import KEPT, bits, matmul, of_bits, transposed_matmul
from copgen_jax.types import Array, Float

Implementation = Literal["plain", "cudnn"]
"""`plain` runs anywhere, on a CPU few heads at a time. `cudnn` needs an NVIDIA GPU and bfloat16 or float16 compute."""

_LOGITS_AT_ONCE, _HEADS_AT_ONCE = 1_600_000, 4
"""On a CPU: the logits that stay in its cache (6 MB), and the heads that pay to be written out side by side."""

_HEADS_FIRST, _HEADS_THIRD = (2, 0, 1, 3), (1, 2, 0, 3)


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
        with jax.named_scope("between_tokens"):
            return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
    if implementation != "plain":
        raise InputError(f"attention is {implementation!r}: expected plain or cudnn")
    return _attend(query * query.shape[-1] ** -0.5, key, value)


@jax.custom_vjp
def _attend(
    query: Float[Array, "B N heads dim"], key: Float[Array, "B N heads dim"], value: Float[Array, "B N heads dim"]
) -> Float[Array, "B N heads dim"]:
    """softmax(q k^T) v per head. Weights are not kept for the gradient but computed again, from the logarithm of their
    sum (as in FlashAttention, Dao et al. 2022).
    """
    out, _ = _attend_forward(query, key, value)
    return out


def _attend_forward(query: Array, key: Array, value: Array) -> tuple[Array, tuple[Array, ...]]:
    heads = tuple(_moved(x, _HEADS_FIRST) for x in (query, key, value))
    out, log_total = (checkpoint_name(x, KEPT) for x in _over_heads(_mix, *heads))
    return _moved(out, _HEADS_THIRD), (*(bits(x) for x in (*heads, out)), log_total)


def _attend_backward(saved: tuple[Array, ...], gradient: Array) -> tuple[Array, ...]:
    *kept, log_total = saved
    heads = (of_bits(x, gradient.dtype) for x in kept)
    gradients = _over_heads(_mix_backward, *heads, log_total, _moved(gradient, _HEADS_FIRST))
    return tuple(_moved(x, _HEADS_THIRD) for x in gradients)


_attend.defvjp(_attend_forward, _attend_backward)


def _heads_at_once(heads: int, batch: int, tokens: int) -> int:
    """Heads whose logits are alive at a time on a CPU."""
    return min(heads, _HEADS_AT_ONCE, max(1, _LOGITS_AT_ONCE // (batch * tokens**2)))


def _over_heads(function: Callable[..., tuple[Array, ...]], *heads: Float[Array, "heads ..."]) -> tuple[Array, ...]:
    """The function of all heads at once; on a CPU of a few at a time, whose logits stay in the processor's cache.

    That is about three times as fast there. The batch stays whole, so that devices can share it. Which of the two is
    chosen where the program is compiled for a platform, so that it can be exported for another one.
    """
    dtypes = [x.dtype for x in heads]

    def one(_: None, kept: Any) -> tuple[None, Any]:
        return None, [bits(x) for x in function(*map(of_bits, kept, dtypes))]

    def on_cpu(*heads: Array) -> tuple[Array, ...]:
        kinds = jax.eval_shape(function, *(x[0] for x in heads))
        _, kept = jax.lax.scan(one, None, [bits(x) for x in heads], unroll=_heads_at_once(*heads[0].shape[:3]))
        return tuple(of_bits(x, kind.dtype) for x, kind in zip(kept, kinds, strict=True))

    with jax.named_scope("between_tokens"):
        return jax.lax.platform_dependent(*heads, cpu=on_cpu, default=function)


def _mix(
    query: Float[Array, "*rest N dim"], key: Float[Array, "*rest N dim"], value: Float[Array, "*rest N dim"]
) -> tuple[Array, Array]:
    """Values by weights, which are divided by their sum after the product; the logarithm of the sum."""
    logits = jnp.einsum("...qd,...kd->...qk", query, key, preferred_element_type=jnp.float32)
    largest = logits.max(-1, keepdims=True)
    weights = jnp.exp(logits - largest)
    total = weights.sum(-1, keepdims=True)
    mixed = jnp.einsum("...qk,...kd->...qd", weights.astype(value.dtype), value, preferred_element_type=jnp.float32)
    return (mixed / total).astype(value.dtype), largest + jnp.log(total)


def _mix_backward(
    query: Array, key: Array, value: Array, out: Array, log_total: Array, gradient: Array
) -> tuple[Array, Array, Array]:
    """Gradients of query, key and value. Logits are made transposed, so that no large matrix has to be."""
    logits = jnp.einsum("...kd,...qd->...kq", key, query, preferred_element_type=jnp.float32)
    weights = jnp.exp(logits - log_total.mT)
    of_weights = jnp.einsum("...kd,...qd->...kq", value, gradient, preferred_element_type=jnp.float32)
    along = (gradient.astype(jnp.float32) * out.astype(jnp.float32)).sum(-1)[..., None, :]
    of_logits = (weights * (of_weights - along)).astype(query.dtype)
    of_value = matmul(weights.astype(value.dtype), gradient)
    return transposed_matmul(of_logits, key).astype(query.dtype), matmul(of_logits, query), of_value


@jax.custom_vjp
def queries_keys_values(
    qkv: Float[Array, "B N 3 heads dim"],
) -> tuple[Float[Array, "B N heads dim"], Float[Array, "B N heads dim"], Float[Array, "B N heads dim"]]:
    """The three parts of one product; their gradients are stacked, not padded and added."""
    query, key, value = (of_bits(bits(qkv)[:, :, i], qkv.dtype) for i in range(3))
    return query, key, value


queries_keys_values.defvjp(
    lambda qkv: (queries_keys_values(qkv), None),
    lambda _, gradients: (of_bits(jnp.stack([bits(x) for x in gradients], axis=2), gradients[0].dtype),),
)


def _moved(x: Array, axes: tuple[int, ...]) -> Array:
    return of_bits(bits(x).transpose(axes), x.dtype)
