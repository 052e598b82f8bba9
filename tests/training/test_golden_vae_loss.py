"""The autoencoders' loss and its gradients against the original's, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from feature_weights import images, weights
from golden_networks import arrays, case_autoencoder
from golden_vectors import cases, load_json, recipe
from published_discriminator import discriminator_variables

from copgen_jax.checkpoints import autoencoder_state_dict
from copgen_jax.nn.discriminator import Discriminator
from copgen_jax.nn.perceptual import VGG16, lpips_names, lpips_of_bands, lpips_params
from copgen_jax.training.autoencoder_config import LossConfig
from copgen_jax.training.autoencoder_loss import (
    Judge,
    discriminator_gradients,
    generator_gradients,
    likelihood_loss,
    reconstruct,
)
from copgen_jax.training.autoencoder_step import discriminator_factor

ACCURATE = {"rtol": 1e-5, "atol": 1e-6}


def case_judge(case):
    """The discriminator's recipe weights, with fresh running statistics as the case overrides them."""
    state_dict = recipe.state_dict(load_json(f"vae/{case['loss_manifest']}"), case["seed"])
    params, statistics = discriminator_variables(state_dict)
    fresh = {"mean": np.zeros_like, "variance": np.ones_like}
    statistics = {m: {k: fresh[k](v, np.float32) for k, v in values.items()} for m, values in statistics.items()}
    return Judge(params=params, statistics=statistics)


@pytest.mark.parametrize("case", cases("vae", kind="layers"), ids=lambda c: c["modality"])
def test_loss_and_gradients(case):
    vae, params = case_autoencoder(case)
    golden = arrays(f"vae/{case['loss_file']}")
    side = case["px"] // 2 ** (len(case["multipliers"]) - 1)
    image = (case["batch"], case["channels"], case["px"], case["px"])
    latent = (case["batch"], case["latent_channels"], side, side)
    batch, noise = (
        jnp.asarray(recipe.inputs(shape, case["seed"], f"{kind}/{case['modality']}").transpose(0, 2, 3, 1))
        for kind, shape in (("image", image), ("posterior_noise", latent))
    )
    config = LossConfig(
        kl_weight=case["kl_weight"],
        log_variance=case["overrides"]["loss.logvar"],
        discriminator_weight=case["discriminator_weight"],
        discriminator_start=case["discriminator_start"],
    )
    judge, discriminator = jax.tree.map(jnp.asarray, case_judge(case)), Discriminator()

    @jax.jit
    def run(params, judge, step):
        factor = discriminator_factor(step, config)
        output, _ = reconstruct(vae, params, batch, noise)
        terms, gradients, after = generator_gradients(
            vae, params, batch, noise, config=config, discriminator=discriminator, judge=judge, factor=factor
        )
        own, _, _ = discriminator_gradients(discriminator, after, batch, output, factor)
        return output, terms, gradients, own

    for step in case["loss_steps"]:
        output, terms, gradients, own = run(params, judge, jnp.asarray(step, jnp.int32))
        np.testing.assert_allclose(output.transpose(0, 3, 1, 2), golden["reconstruction"], atol=2e-5, rtol=1e-5)
        figures = {
            "generator_loss": terms.total,
            "nll_loss": terms.nll,
            "kl_loss": terms.kl,
            "rec_loss": terms.reconstruction,
            "logvar": config.log_variance,
            "disc_factor": terms.factor,
            "g_loss": terms.adversarial,
            "discriminator_loss": own.total,
            "logits_real": own.logits_real,
            "logits_fake": own.logits_fake,
        }
        for name, value in figures.items():
            np.testing.assert_allclose(value, golden[f"step{step}/{name}"], **ACCURATE, err_msg=name)
        np.testing.assert_allclose(terms.weight, golden[f"step{step}/d_weight"], rtol=1e-3)
        published = autoencoder_state_dict(jax.tree.map(np.asarray, gradients), vae)
        whole = np.sqrt(sum(np.sum(np.asarray(g, np.float64) ** 2) for g in published.values()))
        np.testing.assert_allclose(whole, golden[f"step{step}/grad_norm_total"], rtol=1e-3)
        prefix = f"step{step}/grad/"
        compared = [key for key in golden.files if key.startswith(prefix)]
        assert compared
        for key in compared:
            largest = np.abs(golden[key]).max()
            np.testing.assert_allclose(
                published[key.removeprefix(prefix)], golden[key], rtol=1e-3, atol=1e-5 * largest, err_msg=key
            )


def test_perceptual_distance_counts_for_every_pixel_and_channel():
    """Of the definition: nll with LPIPS less nll without is C H W times the mean of LPIPS over the batch, over e^v."""
    params = lpips_params(VGG16, weights(lpips_names(VGG16), 3))
    one, two = (jnp.asarray(images(name, (2, 2, 16, 16), 4).transpose(0, 2, 3, 1)) for name in ("x", "y"))
    config = LossConfig(log_variance=0.5)
    with_it, mean_with = likelihood_loss(one, two, config, params)
    without, mean_without = likelihood_loss(one, two, config, None)
    distance = np.asarray(lpips_of_bands(params, one, two)).mean()
    assert distance > 0.01
    np.testing.assert_allclose(with_it - without, 2 * 16 * 16 * distance / np.exp(0.5), rtol=1e-4)
    np.testing.assert_allclose(mean_with - mean_without, distance, rtol=1e-4)
