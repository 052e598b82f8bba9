"""The loss of an autoencoder and of its discriminator (Esser et al. 2021, Rombach et al. 2022), with gradients.

With B images x, their reconstructions y from a fresh sample of the posterior (mean, log-variance l), D the
discriminator, L the perceptual distance (zero where no weights of it are there), v the residuals' log-variance:

    nll = sum((|x - y| + (x - y)^2 + L) / e^v + v) / B        L counts for every pixel and channel
    kl  = sum(mean^2 + e^l - 1 - l) / 2B                      l clipped to [-30, 20]
    G   = nll + kl_weight kl + w f g,    g = -mean(D(y))
    w   = weight clip(|d nll / dW| / (|d g / dW| + 1e-4), 0, 1e4)
    f/2 (mean max(0, 1 - D(x)) + mean max(0, 1 + D(y)))       the discriminator's own loss

f is 0 before the discriminator's start and 1 from then on. W is the kernel of the decoder's last convolution, |.| the
Frobenius norm; w is a number, no gradient passes through it.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from copgen_jax.model import LOG_VARIANCE_RANGE, latents_from_moments
from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.discriminator import STATISTICS, Discriminator
from copgen_jax.nn.perceptual import LpipsParams, lpips_of_bands
from copgen_jax.training.autoencoder_config import LossConfig
from copgen_jax.types import Params

_LARGEST_WEIGHT = 1e4
_EPSILON = 1e-4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Judge:
    """A discriminator's parameters and running statistics."""

    params: Params
    statistics: Params


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorTerms:
    """The loss of an autoencoder and what it is made of; scalars, named as in the module."""

    total: Any
    """G."""
    nll: Any
    kl: Any
    reconstruction: Any
    """Mean over elements of |x - y| + (x - y)^2 + L."""
    adversarial: Any
    """g."""
    weight: Any
    """w, also where f is 0."""
    factor: Any
    """f."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscriminatorTerms:
    """The loss of a discriminator; scalars."""

    total: Any
    logits_real: Any
    """Mean of D(x)."""
    logits_fake: Any
    """Mean of D(y)."""


def reconstruct(autoencoder: Autoencoder, params: Params, images: Any, noise: Any) -> tuple[jax.Array, jax.Array]:
    """(images (B, H, W, C) through a posterior sample of standard-normal `noise` (B, h, w, c), their moments)."""
    moments = autoencoder.apply({"params": params}, images, method="encode")
    latents = latents_from_moments(moments, noise, 1.0)  # pyright: ignore
    return autoencoder.apply({"params": params}, latents, method="decode"), moments  # pyright: ignore


def likelihood_loss(
    images: jax.Array, reconstruction: jax.Array, config: LossConfig, lpips: LpipsParams | None
) -> tuple[jax.Array, jax.Array]:
    """(nll, mean of the reconstruction error over elements)."""
    residual = images - reconstruction
    error = jnp.abs(residual) + jnp.square(residual)
    if lpips is not None:
        error = error + lpips_of_bands(lpips, images, reconstruction)[:, None, None, None]
    variance = jnp.exp(jnp.asarray(config.log_variance, error.dtype))
    return (error / variance + config.log_variance).sum() / images.shape[0], error.mean()


def kl_loss(moments: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence of the posteriors from the standard normal, summed, per image."""
    mean, log_variance = jnp.split(moments, 2, axis=-1)
    log_variance = jnp.clip(log_variance, *LOG_VARIANCE_RANGE)
    each = jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance
    return 0.5 * each.sum() / moments.shape[0]


def generator_gradients(
    autoencoder: Autoencoder,
    params: Params,
    images: jax.Array,
    noise: jax.Array,
    *,
    config: LossConfig,
    lpips: LpipsParams | None = None,
    discriminator: Discriminator | None = None,
    judge: Judge | None = None,
    factor: jax.Array | float = 0.0,
) -> tuple[GeneratorTerms, Params, Judge | None]:
    """The loss of an autoencoder, its gradient, and the judge with the statistics it took on the way.

    Both losses are differentiated to the reconstruction y first. Their gradients to W need y's gradient and the input
    of the last convolution only (XLA drops the rest), and one pass back through the network takes the weighted sum.

    Args:
        autoencoder: the network.
        params: its parameters.
        images: (B, H, W, C) network values.
        noise: (B, h, w, c) standard normal, of the posterior's sample.
        config: weights.
        lpips: parameters of the perceptual distance; None leaves it out.
        discriminator: None trains without.
        judge: its state.
        factor: f.
    """
    (output, moments), back = jax.vjp(lambda params: reconstruct(autoencoder, params, images, noise), params)
    (nll, error), nll_gradient = jax.value_and_grad(
        lambda output: likelihood_loss(images, output, config, lpips), has_aux=True
    )(output)
    kl, kl_gradient = jax.value_and_grad(kl_loss)(moments)
    zero = jnp.zeros((), jnp.float32)
    adversarial, weight, gradient = zero, zero, nll_gradient
    factor = jnp.asarray(factor, jnp.float32)
    if discriminator is not None and judge is not None:
        (adversarial, judge), adversarial_gradient = jax.value_and_grad(_fooled, argnums=2, has_aux=True)(
            discriminator, judge, output
        )

        def to_last_kernel(gradient: jax.Array) -> jax.Array:
            (gradients,) = back((gradient, jnp.zeros_like(moments)))
            return jnp.linalg.norm(gradients["decoder"]["conv_out"]["kernel"].reshape(-1))

        ratio = to_last_kernel(nll_gradient) / (to_last_kernel(adversarial_gradient) + _EPSILON)
        weight = config.discriminator_weight * jnp.clip(ratio, 0.0, _LARGEST_WEIGHT)
        gradient = nll_gradient + weight * factor * adversarial_gradient
    (gradients,) = back((gradient, config.kl_weight * kl_gradient))
    terms = GeneratorTerms(
        total=nll + config.kl_weight * kl + weight * factor * adversarial,
        nll=nll,
        kl=kl,
        reconstruction=error,
        adversarial=adversarial,
        weight=weight,
        factor=factor,
    )
    return terms, gradients, judge


def discriminator_gradients(
    discriminator: Discriminator, judge: Judge, images: jax.Array, reconstruction: jax.Array, factor: jax.Array | float
) -> tuple[DiscriminatorTerms, Params, Judge]:
    """The loss of a discriminator, its gradient, and the judge with the statistics of both batches.

    Args:
        discriminator: the network.
        judge: its state.
        images: real ones (B, H, W, C).
        reconstruction: made ones.
        factor: f.
    """

    def loss(params: Params) -> tuple[jax.Array, tuple[DiscriminatorTerms, Judge]]:
        real, after = judged(discriminator, Judge(params=params, statistics=judge.statistics), images)
        fake, after = judged(discriminator, after, reconstruction)
        hinge = jax.nn.relu(1.0 - real).mean() + jax.nn.relu(1.0 + fake).mean()
        total = 0.5 * jnp.asarray(factor, jnp.float32) * hinge
        terms = DiscriminatorTerms(total=total, logits_real=real.mean(), logits_fake=fake.mean())
        return total, (terms, Judge(params=judge.params, statistics=after.statistics))

    (_, (terms, after)), gradients = jax.value_and_grad(loss, has_aux=True)(judge.params)
    return terms, gradients, after


def judged(discriminator: Discriminator, judge: Judge, images: jax.Array) -> tuple[jax.Array, Judge]:
    """(map of logits, judge after this batch)."""
    variables = {"params": judge.params, STATISTICS: judge.statistics}
    logits, changed = discriminator.apply(variables, images, mutable=[STATISTICS])  # pyright: ignore
    return logits, Judge(params=judge.params, statistics=changed[STATISTICS])


def _fooled(discriminator: Discriminator, judge: Judge, output: jax.Array) -> tuple[jax.Array, Judge]:
    logits, after = judged(discriminator, judge, output)
    return -logits.mean(), after
