"""What no golden vector catches: digits on large means, precision options, compile size, gradients."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from copgen_jax.errors import InputError
from copgen_jax.modalities import TINY
from copgen_jax.nn.attention import attention, queries_keys_values
from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.backbone import Backbone
from copgen_jax.nn.convolution import Convolution, Enlarging, directly, four_rows_at_once
from copgen_jax.nn.layers import Dense, GroupNorm, LayerNorm, gelu, patchify, transposed_matmul, unpatchify


def inputs(modalities, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    latents = {m.name: rng.standard_normal((batch, *m.latent_shape), np.float32) for m in modalities}
    times = {name: rng.uniform(0, 1000, batch).astype(np.float32) for name in modalities.names}
    return latents, times


def tiny(**options):
    return Backbone(modalities=TINY, width=32, depth=4, heads=2, **options)


@pytest.fixture(scope="module")
def params():
    return jax.jit(tiny().init)(jax.random.key(0), *inputs(TINY))["params"]


def test_layer_norm_keeps_its_digits_on_a_large_mean():
    x = np.random.default_rng(0).normal(1000, 1, (4, 512)).astype(np.float32)
    y, _ = LayerNorm().init_with_output(jax.random.key(0), x)
    wide = x.astype(np.float64)
    truth = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, truth, atol=5e-4)


def plain_layer_norm(x, scale, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5) * scale + bias


def plain_attention(query, key, value):
    weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


STATED = {
    "LayerNorm": (
        lambda x, scale, bias: LayerNorm().apply({"params": {"scale": scale, "bias": bias}}, x),
        plain_layer_norm,
        [(3, 5, 6), (6,), (6,)],
    ),
    "Dense": (
        lambda x, kernel, bias: Dense(4, jnp.float32).apply({"params": {"kernel": kernel, "bias": bias}}, x),
        lambda x, kernel, bias: jnp.einsum("bni,io->bno", x, kernel) + bias,
        [(3, 5, 6), (6, 4), (4,)],
    ),
    "Dense without bias": (
        lambda x, kernel: Dense(4, jnp.float32, use_bias=False).apply({"params": {"kernel": kernel}}, x),
        lambda x, kernel: jnp.einsum("bni,io->bno", x, kernel),
        [(3, 5, 6), (6, 4)],
    ),
    "Dense after gelu": (
        lambda x, kernel, bias: Dense(4, jnp.float32, after_gelu=True).apply(
            {"params": {"kernel": kernel, "bias": bias}}, x
        ),
        lambda x, kernel, bias: jnp.einsum("bni,io->bno", x * jax.scipy.stats.norm.cdf(x), kernel) + bias,
        [(3, 5, 6), (6, 4), (4,)],
    ),
    "attention": (attention, plain_attention, [(2, 7, 3, 4)] * 3),
    "queries_keys_values": (
        lambda qkv: jnp.concatenate(queries_keys_values(qkv), axis=1),
        lambda qkv: qkv.transpose(0, 2, 1, 3, 4).reshape(2, 21, 5, 4),
        [(2, 7, 3, 5, 4)],
    ),
}
"""Name -> (function that states its gradient, its definition, shapes of the arguments)."""


@pytest.mark.parametrize("name", STATED)
def test_stated_gradients_are_those_of_the_definition(name):
    ours, definition, shapes = STATED[name]
    rng = np.random.default_rng(0)
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        arrays = [jnp.asarray(rng.normal(0.5, 2, shape)) for shape in shapes]
        out, back = jax.vjp(definition, *arrays)
        pull = jnp.asarray(rng.standard_normal(out.shape))
        expected = out, *back(pull)
    single = [jnp.asarray(np.asarray(a), jnp.float32) for a in arrays]
    out, back = jax.vjp(ours, *single)
    for one, other in zip((out, *back(jnp.asarray(np.asarray(pull), jnp.float32))), expected, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, atol=2e-6 * np.abs(other).max())


def test_stated_gradients_keep_the_dtype_of_their_input():
    x = jnp.ones((2, 3, 4), jnp.bfloat16)
    for function in (
        gelu,
        lambda x: Dense(5, jnp.bfloat16).init_with_output(jax.random.key(0), x)[0],
        lambda x: Dense(5, jnp.bfloat16, after_gelu=True).init_with_output(jax.random.key(0), x)[0],
        lambda x: LayerNorm().init_with_output(jax.random.key(0), x)[0],
    ):
        out, back = jax.vjp(function, x)
        assert (out.dtype, back(out)[0].dtype) == (jnp.bfloat16, jnp.bfloat16)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_transposed_product_is_that_of_the_transpose(dtype):
    a, b = (jnp.asarray(np.random.default_rng(0).standard_normal(s), dtype) for s in ((3, 5, 6), (3, 5, 4)))
    expected = np.swapaxes(np.asarray(a, np.float64), 1, 2) @ np.asarray(b, np.float64)
    found = jax.jit(transposed_matmul)(a, b)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, atol=1e-6 * np.abs(expected).max())


def test_a_gradient_in_bfloat16_is_near_that_in_float32(params):
    latents, times = inputs(TINY)

    def gradient(dtype, loop):
        def loss(p):
            predictions = tiny(dtype=dtype, loop=loop).apply({"params": p}, latents, times)
            return sum(jnp.square(y).mean() for y in predictions.values())

        return jax.tree.leaves(jax.jit(jax.grad(loss))(params))

    exact = gradient(jnp.float32, True)
    for loop in (True, False):
        for one, other in zip(gradient(jnp.bfloat16, loop), exact, strict=True):
            assert one.dtype == jnp.float32
            assert 0 < float(jnp.abs(one - other).max()) < 0.05 * max(float(jnp.abs(other).max()), 1e-3)


def test_group_norm_keeps_its_digits_on_a_large_mean():
    x = np.random.default_rng(0).normal(1000, 1, (2, 8, 8, 32)).astype(np.float32)
    y, _ = GroupNorm(8).init_with_output(jax.random.key(0), x)
    wide = x.astype(np.float64).reshape(2, 64, 8, 4)
    truth = (wide - wide.mean((1, 3), keepdims=True)) / np.sqrt(wide.var((1, 3), keepdims=True) + 1e-6)
    np.testing.assert_allclose(y, truth.reshape(x.shape), atol=5e-4)


def test_patchify_orders_row_column_channel():
    x = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    tokens = patchify(jnp.asarray(x), 2)
    np.testing.assert_array_equal(tokens[1, 4], x[1, 2:4, 2:4].ravel())
    np.testing.assert_array_equal(unpatchify(tokens, (4, 6, 3), 2), x)


def test_plain_attention_is_jax_own():
    q, k, v = np.random.default_rng(0).standard_normal((3, 2, 7, 4, 8), np.float32)
    np.testing.assert_allclose(attention(q, k, v), jax.nn.dot_product_attention(q, k, v), atol=1e-6)


def test_bfloat16_compute_is_near_float32(params):
    latents, times = inputs(TINY)
    exact = tiny().apply({"params": params}, latents, times)
    rough = tiny(dtype=jnp.bfloat16).apply({"params": params}, latents, times)
    for name in exact:
        assert rough[name].dtype == jnp.float32
        scale = float(jnp.std(exact[name]))
        assert 0 < float(jnp.abs(rough[name] - exact[name]).max()) < 0.15 * max(scale, 0.1)


@pytest.mark.parametrize("remat", ["dots", "full"])
def test_rematerialisation_changes_no_gradient(params, remat):
    latents, times = inputs(TINY)

    def loss(p, backbone):
        return sum(jnp.square(y).mean() for y in backbone.apply({"params": p}, latents, times).values())

    plain = jax.jit(jax.grad(loss), static_argnums=1)(params, tiny())
    again = jax.jit(jax.grad(loss), static_argnums=1)(params, tiny(remat=remat))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-4), plain, again)


def test_rematerialisation_is_in_the_program(params):
    latents, times = inputs(TINY)

    def program(backbone):
        return str(jax.make_jaxpr(lambda p: backbone.apply({"params": p}, latents, times))(params))

    assert "remat" in program(tiny(remat="full"))
    assert "remat" not in program(tiny())


def test_what_is_kept_is_not_computed_again(params):
    """Per block: four products (five where a skip joins) and attention's two, which stand in three compiled blocks."""
    latents, times = inputs(TINY)

    def products(backbone):
        def loss(p):
            return sum(jnp.square(y).mean() for y in backbone.apply({"params": p}, latents, times).values())

        return jax.jit(jax.grad(loss)).lower(params).as_text().count("stablehlo.dot_general")

    everything, dots, full = (products(tiny(remat=remat)) for remat in ("none", "dots", "full"))
    assert dots == everything
    assert full - dots == (4 + 4 + 5) + 3 * 2


def test_the_program_does_not_grow_with_depth():
    latents, times = inputs(TINY)

    def lines(depth, **options):
        backbone = Backbone(modalities=TINY, width=32, depth=depth, heads=2, **options)
        shapes = jax.eval_shape(backbone.init, jax.random.key(0), latents, times)
        lowered = jax.jit(lambda p: backbone.apply(p, latents, times)).lower(shapes)
        return len(lowered.as_text().splitlines())

    assert lines(4) == lines(20)
    assert lines(4, loop=False) > lines(20)


def test_tokens_are_not_mixed_between_samples(params):
    latents, times = inputs(TINY, batch=3)
    whole = tiny().apply({"params": params}, latents, times)
    one = tiny().apply(
        {"params": params}, {k: v[1:2] for k, v in latents.items()}, {k: v[1:2] for k, v in times.items()}
    )
    for name in one:
        np.testing.assert_allclose(one[name][0], whole[name][1], atol=1e-6)


def test_a_missing_modality_and_a_wrong_shape_are_named(params):
    latents, times = inputs(TINY)
    with pytest.raises(InputError, match="no latents of DEM"):
        tiny().apply({"params": params}, {k: v for k, v in latents.items() if k != "DEM"}, times)
    with pytest.raises(InputError, match="latents of DEM have shape"):
        tiny().apply({"params": params}, latents | {"DEM": latents["DEM"][:, :2]}, times)


@pytest.mark.parametrize("convolve", [four_rows_at_once, directly])
@pytest.mark.parametrize("shape", [(2, 12, 7, 5), (1, 4, 8, 96)])
def test_a_convolution_is_that_of_the_definition(convolve, shape):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    kernel = rng.standard_normal((3, 3, shape[-1], 72)) / np.sqrt(9 * shape[-1])
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = sum(
        padded[:, i : i + shape[1], j : j + shape[2]] @ kernel[i, j] for i, j in itertools.product(range(3), range(3))
    )
    np.testing.assert_allclose(convolve(np.float32(x), np.float32(kernel)), expected, atol=1e-5)
    short = convolve(jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.bfloat16))
    assert short.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float64(short), expected, atol=0.03)


def test_a_large_convolution_multiplies_less_where_nothing_is_learned_from_it():
    x, params = jnp.zeros((1, 48, 48, 320)), {"kernel": jnp.zeros((3, 3, 320, 320)), "bias": jnp.zeros(320)}
    convolution = Convolution(320, jnp.float32)

    def operations(function):
        return jax.jit(function).lower(params, x).compile().cost_analysis()["flops"]

    def apply(params, x):
        return convolution.apply({"params": params}, x).sum()

    of_definition = 2 * (3 * 48 - 2) ** 2 * 320**2
    assert operations(apply) < 0.6 * of_definition
    # Its value, and the gradient of its kernel.
    assert operations(jax.value_and_grad(apply)) > 1.95 * of_definition


def test_enlarging_is_doubling_pixels_and_convolving():
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.standard_normal(s).astype(np.float32) for s in ((2, 4, 5, 3), (3, 3, 3, 3), (3,)))
    enlarged = Enlarging(jnp.float32).apply({"params": {"kernel": kernel, "bias": bias}}, x)
    doubled = x.repeat(2, axis=1).repeat(2, axis=2)
    convolution = nn.Conv(3, (3, 3)).apply({"params": {"kernel": kernel, "bias": bias}}, doubled)
    np.testing.assert_allclose(enlarged, convolution, atol=1e-5)


def test_autoencoder_shapes_and_bfloat16():
    vae = Autoencoder(channels=3, base_width=8, multipliers=(1, 2, 2), blocks=1, latent_channels=4, groups=4)
    x = np.random.default_rng(0).standard_normal((2, 16, 16, 3), np.float32)
    variables = jax.jit(vae.init)(jax.random.key(0), x)
    encode = jax.jit(lambda vae, x: vae.apply(variables, x, method="encode"), static_argnums=0)
    moments = encode(vae, x)
    assert moments.shape == (2, 4, 4, 8)
    assert jax.eval_shape(lambda z: vae.apply(variables, z, method="decode"), moments[..., :4]).shape == x.shape
    rough = encode(vae.clone(dtype=jnp.bfloat16), x)
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, moments, atol=0.1)
