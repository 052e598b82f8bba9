"""3x3 convolutions of autoencoders with fewer multiplications: the same sums, put together otherwise."""

import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from copgen_jax.nn.layers import fan_in_uniform, matmul, on_last_axis
from copgen_jax.types import Array, Float, Image

_ROWS_AT_ONCE = 4
_POINTS = (0, 0.75, -0.75, 1.5, -1.5)
"""Of symmetric points the ones that err least in float32: 3 times what a convolution rounds off by itself, where the
usual 0, 1, -1, 2, -2 are at 4 times."""

_VALUES = np.vstack([np.vander(_POINTS, len(_POINTS) + 1, increasing=True), np.eye(len(_POINTS) + 1)[-1:]])
"""(6 points, 6 powers): at each point, the last at infinity, the values of 1, x, x^2, .."""
_OF_ROWS, _OF_TAPS, _TO_ROWS = np.linalg.inv(_VALUES).T, _VALUES[:, :3].copy(), _VALUES[:, :_ROWS_AT_ONCE].T.copy()
_OF_TAPS[-1], _TO_ROWS[:, -1] = (0, 0, 1), (0, 0, 0, 1)

_LEAST_CHANNELS, _LEAST_PRODUCTS = 64, 2e9
"""With fewer channels, or multiplications in all, what is gained is not worth a longer compilation."""


class Convolution(nn.Module):
    """A 3x3 convolution that keeps an image's size, or halves it; outside of it are zeros."""

    features: int
    dtype: Any
    halving: bool = False
    """Zeros then lie at the far sides only, as in the original."""

    @nn.compact
    def __call__(self, x: Image) -> Image:
        """(B, H, W, C) -> (B, H, W, features), or (B, H/2, W/2, features)."""
        kernel, bias = _parameters(self, x.shape[-1], self.features)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        y = _convolve(x, kernel, ((0, 1), (0, 1)), stride=2) if self.halving else _same_size(x, kernel)
        return y + on_last_axis(bias, y).astype(self.dtype)


class Enlarging(nn.Module):
    """Every pixel twice in height and width, then a 3x3 convolution.

    The three neighbours of a doubled pixel in a row are two pixels of the input. With taps a, b, c the even one of the
    doubled x[i] is (a + b + c) x[i] - a (x[i] - x[i - 1]), the odd one (a + b + c) x[i] + c (x[i + 1] - x[i]): three
    products for two pixels in place of six, in both directions nine for four in place of 36.
    """

    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> Float[Array, "B H W c"]:
        """(B, h, w, c) -> (B, 2 h, 2 w, c)."""
        batch, height, width, channels = x.shape
        kernel, bias = _parameters(self, channels, channels)
        taps = [[t.astype(self.dtype) for t in _of_steps(of_row)] for of_row in _of_steps(kernel)]

        x = x.astype(self.dtype)
        down, right = _steps(x, axis=1), _steps(x, axis=2)
        both = _steps(down, axis=2)
        x = matmul(x, taps[0][0])
        of_down = [matmul(down, taps[i][0]) for i in (1, 2)]
        of_right = [matmul(right, taps[0][j]) for j in (1, 2)]
        of_both = [[matmul(both, taps[i][j]) for j in (1, 2)] for i in (1, 2)]

        def pixels(i: int, j: int) -> Array:
            rows, columns = slice(i, i + height), slice(j, j + width)
            return x + of_down[i][:, rows] + of_right[j][:, :, columns] + of_both[i][j][:, rows, columns]

        rows = [jnp.stack([pixels(i, j) for j in (0, 1)], axis=3) for i in (0, 1)]
        y = jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, channels)
        return y + on_last_axis(bias, y).astype(self.dtype)


def _parameters(module: nn.Module, channels: int, features: int) -> tuple[Array, Array]:
    """Kernel and bias of a 3x3 convolution, with PyTorch's initial values."""
    initialise = fan_in_uniform(9 * channels)
    kernel = module.param("kernel", initialise, (3, 3, channels, features), jnp.float32)
    return kernel, module.param("bias", initialise, (features,), jnp.float32)


def _of_steps(taps: Float[Array, "3 ..."]) -> tuple[Array, Array, Array]:
    """What doubled pixels share, and what multiplies the step before an even and after an odd one (`Enlarging`)."""
    return taps[0] + taps[1] + taps[2], -taps[0], taps[2]


def _steps(x: Float[Array, "B h w c"], *, axis: int) -> Array:
    """From each pixel to the next along an axis, from and to zero at the ends: one more than pixels."""
    before, after = [(0, 0)] * x.ndim, [(0, 0)] * x.ndim
    before[axis], after[axis] = (1, 0), (0, 1)
    return jnp.pad(x, after) - jnp.pad(x, before)


@jax.custom_vjp
def _same_size(x: Float[Array, "B H W C"], kernel: Float[Array, "3 3 C c"]) -> Float[Array, "B H W c"]:
    """The convolution; on a CPU, where nothing is learned from it, with half the multiplications if it is large."""
    large = min(kernel.shape[2:]) >= _LEAST_CHANNELS and 9 * x.size * kernel.shape[-1] >= _LEAST_PRODUCTS
    on_cpu = four_rows_at_once if large and x.shape[1] % _ROWS_AT_ONCE == 0 else directly
    return jax.lax.platform_dependent(x, kernel, cpu=on_cpu, default=directly)


def directly(x: Float[Array, "B H W C"], kernel: Float[Array, "3 3 C c"]) -> Float[Array, "B H W c"]:
    """A 3x3 convolution as XLA does it."""
    return _convolve(x, kernel, ((1, 1), (1, 1)))


_same_size.defvjp(
    lambda x, kernel: (directly(x, kernel), (x, kernel)),
    lambda saved, gradient: jax.vjp(directly, *saved)[1](gradient),
)


def four_rows_at_once(x: Float[Array, "B H W C"], kernel: Float[Array, "3 3 C c"]) -> Float[Array, "B H W c"]:
    """Four rows by six products of rows and taps in place of twelve: F(4, 3) of Winograd 1980, along the height.

    Three taps, and likewise four rows, are the coefficients of a polynomial. Products of values at six points take the
    place of a product of polynomials, and by transposition that of the sums of a convolution. Along the width too it
    would be a quarter of the multiplications, but with three times the error. Computed in float32, as XLA's own
    convolutions for CPUs are in any type.
    """
    batch, height, width, channels = x.shape
    wide, kernel = x.astype(jnp.float32), kernel.astype(jnp.float32)
    tiles = wide.reshape(batch, height // _ROWS_AT_ONCE, _ROWS_AT_ONCE, width, channels)
    rows = [tiles[:, :, i] for i in range(_ROWS_AT_ONCE)]
    outside = jnp.zeros_like(rows[0][:, :1])
    above = jnp.concatenate([outside, rows[-1][:, :-1]], axis=1)
    below = jnp.concatenate([rows[0][:, 1:], outside], axis=1)
    products = [
        _convolve(_weighted(of_rows, [above, *rows, below]), _weighted(of_taps, kernel)[None], ((0, 0), (1, 1)))
        for of_rows, of_taps in zip(_OF_ROWS, _OF_TAPS, strict=True)
    ]
    y = jnp.stack([_weighted(weights, products) for weights in _TO_ROWS], axis=2)
    return y.reshape(batch, height, width, -1).astype(x.dtype)


def _convolve(x: Array, kernel: Array, padding: Sequence[tuple[int, int]], *, stride: int = 1) -> Array:
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=axes)  # pyright: ignore


def _weighted(weights: np.ndarray, arrays: Iterable[Array]) -> Array:
    """Sum of arrays times numbers, without those times zero."""
    terms = [float(w) * a for w, a in zip(weights, arrays, strict=True) if abs(w) > 1e-9]
    return functools.reduce(operator.add, terms)
