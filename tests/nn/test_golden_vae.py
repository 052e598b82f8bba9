"""The autoencoder against the original, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_networks import arrays, case_autoencoder
from golden_vectors import cases, recipe

from copgen_jax.model import latents_from_moments

FULL_TOLERANCE = {"atol": 1e-4, "rtol": 1e-3}


def inputs(case):
    """(image, latent, posterior noise), channel-last."""
    side = case["px"] // 2 ** (len(case["multipliers"]) - 1)
    latent = (case["batch"], case["latent_channels"], side, side)
    shapes = {
        "image": (case["batch"], case["channels"], case["px"], case["px"]),
        "latent": latent,
        "posterior_noise": latent,
    }
    return [
        recipe.inputs(shape, case["seed"], f"{kind}/{case['modality']}").transpose(0, 2, 3, 1)
        for kind, shape in shapes.items()
    ]


def channel_first(array):
    return np.asarray(array).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("case", cases("vae", kind="published"), ids=lambda c: c["modality"])
def test_published_size(case):
    vae, params = case_autoencoder(case)
    golden = arrays(f"vae/{case['file']}")
    image, latent, noise = inputs(case)
    scale = float(golden["scale_factor"])

    @jax.jit
    def run(p):
        moments = vae.apply({"params": p}, image, method="encode")
        mode = latents_from_moments(moments, None, scale)
        decode = [vae.apply({"params": p}, z / scale, method="decode") for z in (latent, mode)]
        return moments, latents_from_moments(moments, noise, scale), *decode

    moments, sample, decoded, reconstructed = run(params)
    mean, log_variance = np.split(channel_first(moments), 2, axis=1)
    np.testing.assert_allclose(mean, golden["mean"], **FULL_TOLERANCE)
    np.testing.assert_allclose(log_variance, golden["logvar"], **FULL_TOLERANCE)
    np.testing.assert_allclose(channel_first(sample), golden["sample"], **FULL_TOLERANCE)
    for name, image in (("decode", channel_first(decoded)), ("reconstruct_mode", channel_first(reconstructed))):
        if name in golden.files:
            np.testing.assert_allclose(image, golden[name], **FULL_TOLERANCE)
        else:
            wide = image.astype(np.float64)
            np.testing.assert_allclose(wide.mean((0, 2, 3)), golden[f"{name}_channel_mean"], **FULL_TOLERANCE)
            np.testing.assert_allclose(wide.std((0, 2, 3)), golden[f"{name}_channel_std"], **FULL_TOLERANCE)
    if case["crop"]:
        first, last = case["crop"]
        crop = channel_first(decoded)[:, :, first:last, first:last]
        np.testing.assert_allclose(crop, golden["decode_crop"], **FULL_TOLERANCE)


def published_name(path):
    """("encoder", "down_0_block_1", "conv1") -> the module's published name."""
    name = ".".join(path)
    for ours, theirs in (("_block_", ".block."), ("_downsample", ".downsample"), ("_upsample", ".upsample")):
        name = name.replace(ours, theirs)
    for part in ("down", "up"):
        name = name.replace(f".{part}_", f".{part}.")
    return name.replace("mid.block.", "mid.block_").replace("mid_attn_1", "mid.attn_1").replace("mid_", "mid.")


@pytest.mark.parametrize("case", cases("vae", kind="layers"), ids=lambda c: c["modality"])
def test_layer_by_layer(case):
    vae, params = case_autoencoder(case)
    golden = arrays(f"vae/{case['file']}")
    image, latent, _ = inputs(case)

    compared = set()
    for method, x in (("encode", image), ("decode", latent)):
        result, recorded = vae.apply(
            {"params": params}, x, method=method, capture_intermediates=True, mutable=["intermediates"]
        )
        expected = golden["moments" if method == "encode" else "decode_out"]
        np.testing.assert_allclose(channel_first(result), expected, atol=2e-5, rtol=1e-5)
        for path, value in jax.tree_util.tree_leaves_with_path(recorded["intermediates"]):
            name = published_name([k.key for k in path if isinstance(k, jax.tree_util.DictKey) and k.key != "__call__"])
            candidates = [n for n in (name, f"{name}.conv") if n in golden.files]
            for candidate in candidates:
                value = jnp.asarray(value)
                if value.ndim == 3:
                    side = int(np.sqrt(value.shape[1]))
                    value = value.reshape(value.shape[0], side, side, -1)
                np.testing.assert_allclose(
                    channel_first(value)[0], golden[candidate].reshape(channel_first(value)[0].shape),
                    atol=5e-5, rtol=1e-5, err_msg=candidate,
                )  # fmt: skip
                compared.add(candidate)
    whole = {"moments", "decode_out"}
    assert len(compared) >= 0.8 * len(set(golden.files) - whole), sorted(set(golden.files) - whole - compared)
