"""Layers that the networks share, with the published initial values and float32 statistics.

Where a function states its own gradient (`jax.custom_vjp`), it is the same gradient from fewer saved arrays: what is
saved leaves the processor's cache between the two passes, and on CPUs that costs more than computing it again.
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.layout import Layout, with_layout_constraint

from copgen_jax.types import Array, Float

KEPT = "product"
"""Name of what `remat="dots"` keeps: a policy cannot see products inside functions that state their own gradient."""


def fan_in_uniform(fan_in: int) -> nn.initializers.Initializer:
    """Uniform in +-1/sqrt(fan_in): PyTorch's default for weights and biases of convolutions."""
    bound = 1.0 / math.sqrt(fan_in)

    def initialise(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialise


class Dense(nn.Module):
    """x @ kernel + bias in `dtype`, like `nn.Dense`, or gelu(x) @ kernel + bias (`after_gelu`).

    Its gradient is made of plain products and sums of matrices. Left to itself it contracts two axes and is transposed
    afterwards, which XLA does on CPUs at half speed.
    """

    features: int
    dtype: Any
    use_bias: bool = True
    after_gelu: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*batch i"]) -> Float[Array, "*batch o"]:
        """Kernels start from a normal distribution of 0.02, biases from zero."""
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(0.02), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape[1:], jnp.float32) if self.use_bias else None
        return checkpoint_name(_affine(self.after_gelu, x.astype(self.dtype), kernel, bias), KEPT)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _affine(after_gelu: bool, x: Array, kernel: Array, bias: Array | None) -> Array:
    y = matmul(gelu(x) if after_gelu else x, kernel.astype(x.dtype))
    return y if bias is None else y + on_last_axis(bias, y).astype(y.dtype)


def _affine_forward(after_gelu: bool, x: Array, kernel: Array, bias: Array | None) -> tuple[Array, tuple[Any, ...]]:
    """The kernel is kept in float32, as it came: a loop over blocks then keeps no copy of it."""
    return _affine(after_gelu, x, kernel, bias), (bits(x), kernel, bias is not None)


def _affine_backward(after_gelu: bool, saved: tuple[Any, ...], gradient: Array) -> tuple[Array, Array, Array | None]:
    kept, kernel, has_bias = saved
    x = of_bits(kept, gradient.dtype)
    rows, gradients = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    of_rows = matmul(gradients, kernel.astype(x.dtype), transposed=True)
    if after_gelu:
        rows, slope = _gelu_and_slope(rows)
        of_rows = (of_rows.astype(jnp.float32) * slope).astype(x.dtype)
    of_bias = gradients.sum(0, dtype=jnp.float32) if has_bias else None
    return of_rows.reshape(x.shape), transposed_matmul(rows, gradients), of_bias


_affine.defvjp(_affine_forward, _affine_backward)


def matmul(a: Float[Array, "*batch m k"], b: Float[Array, "*matrices"], *, transposed: bool = False) -> Array:
    """a @ b, or a times b transposed, in their dtype; b is one matrix, or one for each of a. Sums are in float32."""
    batch = tuple(range(b.ndim - 2))
    return _multiply(a, b, (((a.ndim - 1,), (b.ndim - (1 if transposed else 2),)), (batch, batch)), a.dtype)


def transposed_matmul(a: Float[Array, "*batch k m"], b: Float[Array, "*batch k n"]) -> Float[Array, "*batch m n"]:
    """The transpose of a, times b, in float32.

    XLA's fast products for CPUs take matrices only whose rows lie one after another in memory, and a transposition is
    made part of a product where it can be. So it is written out there, unless arrays are spread over devices: they
    would be gathered for it.
    """
    batch = tuple(range(a.ndim - 2))
    rows = Layout(major_to_minor=tuple(range(a.ndim)))

    def as_it_is(a: Array, b: Array) -> Array:
        return _multiply(a, b, (((a.ndim - 2,), (b.ndim - 2,)), (batch, batch)), jnp.float32)

    def written_out(a: Array, b: Array) -> Array:
        # Stated before and after, or what made the matrix would be done again for the transposed one, across its rows.
        turned = with_layout_constraint(with_layout_constraint(a, rows).mT, rows)
        return _multiply(turned, b, (((a.ndim - 1,), (b.ndim - 2,)), (batch, batch)), jnp.float32)

    alone = jax.device_count() == 1
    return jax.lax.platform_dependent(a, b, cpu=written_out if alone else as_it_is, default=as_it_is)


def _multiply(a: Array, b: Array, dimensions: Any, dtype: Any) -> Array:
    """A CPU is asked for float32, which is rounded afterwards: asked for bfloat16, XLA turns the matrices into float32
    first and leaves the processor's own products of bfloat16 unused.
    """

    def product(a: Array, b: Array, asked: Any) -> Array:
        return jax.lax.dot_general(a, b, dimensions, preferred_element_type=asked).astype(dtype)

    return jax.lax.platform_dependent(
        a, b, cpu=lambda a, b: product(a, b, jnp.float32), default=lambda a, b: product(a, b, dtype)
    )


def bits(x: Array) -> Array:
    """Whole numbers in place of short floating-point ones, to be moved or kept: for that, XLA's compiler for CPUs would
    widen them, with all that lies beside them in the same array.
    """
    return jax.lax.bitcast_convert_type(x, jnp.uint16) if x.dtype.itemsize == 2 else x


def of_bits(whole: Array, dtype: Any) -> Array:
    """Inverse of `bits`."""
    return jax.lax.bitcast_convert_type(whole, dtype)


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016), exactly.

    By erf, as PyTorch's GELU; by erfc, as `nn.gelu`, digits are gained far below zero at twice the time.
    """
    return _gelu_and_slope(x)[0]


def _gelu_and_slope(x: Array) -> tuple[Array, Array]:
    """GELU in the dtype of x, and its derivative Phi(x) + x phi(x) in float32."""
    wide = x.astype(jnp.float32)
    below = 0.5 * (1.0 + jax.lax.erf(wide * math.sqrt(0.5)))
    density = jnp.exp(-0.5 * jnp.square(wide)) / math.sqrt(2 * math.pi)
    return (wide * below).astype(x.dtype), below + wide * density


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis; float32 statistics in two passes (one loses digits on large means)."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Normalise, scale and shift; the result has the dtype of `x`."""
        features = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (features,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        return _layer_norm(self.epsilon, x, scale, bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _layer_norm(epsilon: float, x: Array, scale: Array, bias: Array) -> Array:
    normed, _ = _standardised(x, epsilon)
    return (normed * on_last_axis(scale, x) + on_last_axis(bias, x)).astype(x.dtype)


def _layer_norm_forward(epsilon: float, x: Array, scale: Array, bias: Array) -> tuple[Array, tuple[Array, Array]]:
    return _layer_norm(epsilon, x, scale, bias), (bits(x), scale)


def _layer_norm_backward(epsilon: float, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array, Array]:
    """With h the standardised x and g scale times the gradient: (g - mean(g) - h mean(g h)) / deviation."""
    kept, scale = saved
    x = of_bits(kept, gradient.dtype)
    normed, inverse = _standardised(x, epsilon)
    gradient = gradient.astype(jnp.float32)
    scaled = gradient * on_last_axis(scale, x)
    of_x = inverse * (scaled - scaled.mean(-1, keepdims=True) - normed * (scaled * normed).mean(-1, keepdims=True))
    rows = tuple(range(x.ndim - 1))
    return of_x.astype(x.dtype), (gradient * normed).sum(rows), gradient.sum(rows)


_layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


def _standardised(x: Array, epsilon: float) -> tuple[Array, Array]:
    """(x without its mean, over its deviation; one over the deviation), float32."""
    wide = x.astype(jnp.float32)
    centred = wide - wide.mean(-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)
    return centred * inverse, inverse


def on_last_axis(parameter: Array, x: Array) -> Array:
    """A parameter of the last axis, with as many axes as x."""
    return parameter.reshape((1,) * (x.ndim - 1) + parameter.shape)


class GroupNorm(nn.Module):
    """Group normalisation over (H, W, channels of a group); statistics in float32, two passes.

    Statistics are taken of each channel first and of the channels of a group then: reductions along whole rows of
    channels are several times faster on CPUs than reductions that leave a group's channels in between.
    """

    groups: int
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Normalise, scale and shift; the result has the dtype of `x`."""
        batch, height, width, channels = x.shape
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        wide = x.astype(jnp.float32).reshape(batch, height * width, channels)
        centred = wide - self._group_means(wide.mean(1, keepdims=True))
        variance = self._group_means(jnp.square(centred).mean(1, keepdims=True))
        factor = jax.lax.rsqrt(variance + self.epsilon) * scale.reshape(1, 1, channels)
        y = centred * factor + bias.reshape(1, 1, channels)
        return y.reshape(x.shape).astype(x.dtype)

    def _group_means(self, means: Float[Array, "B 1 C"]) -> Float[Array, "B 1 C"]:
        """Each channel's mean replaced by that of its group."""
        batch, _, channels = means.shape
        of_groups = means.reshape(batch, 1, self.groups, channels // self.groups).mean(-1)
        return jnp.repeat(of_groups, channels // self.groups, axis=-1)


def patchify(x: Float[Array, "B h w c"], side: int) -> Float[Array, "B N p"]:
    """Cut into tokens of side x side pixels, row-major; within a token (row, column, channel), channel fastest."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, (height // side) * (width // side), side * side * channels)


def unpatchify(tokens: Float[Array, "B N p"], shape: tuple[int, int, int], side: int) -> Float[Array, "B h w c"]:
    """Inverse of `patchify`, to images of `shape` (h, w, c)."""
    height, width, channels = shape
    x = tokens.reshape(-1, height // side, width // side, side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, height, width, channels)
