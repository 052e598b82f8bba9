"""One step of an autoencoder's training: images in, updated state out.

    flip --> reconstruct from a posterior sample --> G, gradient --> autoencoder updated
         --> reconstruct again, from another sample --> gradient --> discriminator updated --> average

Both networks have an AdamW of their own with the same schedule. As in the original each of the two backward passes
counts half, which Adam hardly notices. Keys are folded from the seed and the step, so that a step can be done again.
An update with anything that is not finite in its losses or gradients leaves everything as it was, and is counted.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.discriminator import STATISTICS, Discriminator
from copgen_jax.nn.perceptual import LpipsParams
from copgen_jax.training.autoencoder_config import AutoencoderOptimiser, LossConfig, Start
from copgen_jax.training.autoencoder_loss import (
    DiscriminatorTerms,
    GeneratorTerms,
    Judge,
    discriminator_gradients,
    generator_gradients,
    reconstruct,
)
from copgen_jax.training.autoencoder_start import averaging_start
from copgen_jax.types import Params

FLIP, FIRST_SAMPLE, SECOND_SAMPLE = 0, 1, 2
"""What the key of a step is folded for."""
_EACH_PASS = 0.5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderState:
    """Everything that an update changes. Without a discriminator its fields are empty dictionaries."""

    step: Any
    """Updates done, skipped ones included; int32."""
    params: Params
    ema_params: Params
    moments: Any
    """Of the autoencoder's optimiser (optax)."""
    discriminator: Params
    statistics: Params
    discriminator_moments: Any
    skipped: Any
    """Updates left out because something was not finite; int32."""
    skipped_in_a_row: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderReport:
    """What a step tells the log; scalars."""

    generator: GeneratorTerms
    discriminator: DiscriminatorTerms
    learning_rate: Any
    gradient_norm: Any
    skipped: Any
    skipped_in_a_row: Any


def learning_rate(config: AutoencoderOptimiser) -> optax.Schedule:
    """lr_k of update k = 0, 1, ...: see `AutoencoderOptimiser`."""

    def of_update(count: Any) -> jax.Array:
        left = jnp.maximum(1.0 - jnp.asarray(count, jnp.float32) / config.decay_steps, 0.0)
        return config.learning_rate * jnp.maximum(left**config.decay_power, config.floor)

    return of_update


def make_optimiser(config: AutoencoderOptimiser) -> optax.GradientTransformation:
    """AdamW with decay on every parameter."""
    return optax.adamw(
        learning_rate(config), b1=config.beta1, b2=config.beta2, eps=config.epsilon, weight_decay=config.weight_decay
    )


def ema_share(done: jax.Array, config: AutoencoderOptimiser) -> jax.Array:
    """Share of the old average that is kept at the update before which `done` were done.

    1 between the updates that change it, 0 up to `ema_start`, then min(ema_rate, 1 - (1 + e) ** -ema_power) with
    e = done - ema_start.
    """
    since = jnp.maximum(done - config.ema_start, 0).astype(jnp.float32)
    ramp = jnp.minimum(1.0 - (1.0 + since) ** -config.ema_power, config.ema_rate)
    changes = done % config.ema_every == 0
    return jnp.where(changes, jnp.where(done <= config.ema_start, 0.0, ramp), 1.0)


def discriminator_factor(step: jax.Array, config: LossConfig) -> jax.Array:
    """f: 0 before the discriminator's start, then 1."""
    return (step >= config.discriminator_start).astype(jnp.float32)


def start_autoencoder(
    autoencoder: Autoencoder,
    discriminator: Discriminator | None,
    config: AutoencoderOptimiser,
    key: jax.Array,
    shape: tuple[int, ...],
    *,
    start: Start = "published",
) -> AutoencoderState:
    """The state before the first update, to be traced; `shape` is (H, W, C) of an image."""
    image = jnp.zeros((1, *shape), jnp.float32)
    params = autoencoder.init(jax.random.fold_in(key, 0), image)["params"]
    if start == "averages":
        params = averaging_start(params, jax.random.fold_in(key, 2))
    judge: Mapping[str, Any] = {"params": {}, STATISTICS: {}}
    if discriminator is not None:
        judge = discriminator.init(jax.random.fold_in(key, 1), image)
    return state_of(params, judge["params"], judge[STATISTICS], config)


def state_of(
    params: Params, discriminator: Params, statistics: Params, config: AutoencoderOptimiser
) -> AutoencoderState:
    """The state before the first update, of given parameters; the average starts as a copy."""
    optimiser, zero = make_optimiser(config), jnp.zeros((), jnp.int32)
    return AutoencoderState(
        step=zero,
        params=params,
        ema_params=jax.tree.map(jnp.copy, params),
        moments=optimiser.init(params),
        discriminator=discriminator,
        statistics=statistics,
        discriminator_moments=optimiser.init(discriminator) if discriminator else {},
        skipped=jnp.copy(zero),
        skipped_in_a_row=jnp.copy(zero),
    )


def draw(
    autoencoder: Autoencoder, seed: int, step: jax.Array, images: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(images, each mirrored left to right with probability 1/2; noise of the first and of the second sample)."""
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), step)
    batch, height, width, _ = images.shape
    mirrored = jax.random.bernoulli(jax.random.fold_in(key, FLIP), 0.5, (batch, 1, 1, 1))
    side = 2 ** (len(autoencoder.multipliers) - 1)
    shape = (batch, height // side, width // side, autoencoder.latent_channels)
    first, second = (
        jax.random.normal(jax.random.fold_in(key, purpose), shape, jnp.float32)
        for purpose in (FIRST_SAMPLE, SECOND_SAMPLE)
    )
    return jnp.where(mirrored, images[:, :, ::-1], images), first, second


def make_autoencoder_step(
    autoencoder: Autoencoder,
    discriminator: Discriminator | None,
    *,
    loss: LossConfig,
    optimiser: AutoencoderOptimiser,
    seed: int,
) -> Callable[..., tuple[AutoencoderState, AutoencoderReport]]:
    """`step(state, batch, lpips) -> (state, report)`, pure, to be jitted by the caller.

    `batch` is {"images": (B, H, W, C)}; `lpips` the perceptual distance's parameters, or None.
    """

    def step(
        state: AutoencoderState, batch: Mapping[str, Any], lpips: LpipsParams | None
    ) -> tuple[AutoencoderState, AutoencoderReport]:
        images, first, second = draw(autoencoder, seed, state.step, batch["images"])
        factor = discriminator_factor(state.step, loss)
        judge = None if discriminator is None else Judge(params=state.discriminator, statistics=state.statistics)
        with jax.named_scope("generator"):
            terms, gradients, judge = generator_gradients(
                autoencoder,
                state.params,
                images,
                first,
                config=loss,
                lpips=lpips,
                discriminator=discriminator,
                judge=judge,
                factor=factor,
            )
            params, moments = _updated(optimiser, state.params, gradients, state.moments)
        own, own_norm, after = _no_terms(), jnp.zeros((), jnp.float32), None
        if discriminator is not None and judge is not None:
            with jax.named_scope("discriminator"):
                output, _ = reconstruct(autoencoder, params, images, second)
                own, own_gradients, judge = discriminator_gradients(discriminator, judge, images, output, factor)
                own_norm = optax.tree.norm(own_gradients)
                after = judge, *_updated(optimiser, state.discriminator, own_gradients, state.discriminator_moments)
        norm = optax.tree.norm(gradients)
        good = jnp.isfinite(terms.total) & jnp.isfinite(norm) & jnp.isfinite(own.total) & jnp.isfinite(own_norm)
        done = state.step - state.skipped
        share = ema_share(done, optimiser)
        average = jax.tree.map(lambda old, new: share * old + (1 - share) * new, state.ema_params, params)
        following = dataclasses.replace(state, params=params, ema_params=average, moments=moments)
        if after is not None:
            following = dataclasses.replace(
                following, statistics=after[0].statistics, discriminator=after[1], discriminator_moments=after[2]
            )
        following = jax.tree.map(lambda new, old: jnp.where(good, new, old), following, state)
        bad = 1 - good.astype(jnp.int32)
        following = dataclasses.replace(
            following,
            step=state.step + 1,
            skipped=state.skipped + bad,
            skipped_in_a_row=(state.skipped_in_a_row + 1) * bad,
        )
        report = AutoencoderReport(
            generator=terms,
            discriminator=own,
            learning_rate=learning_rate(optimiser)(done),
            gradient_norm=norm,
            skipped=bad,
            skipped_in_a_row=following.skipped_in_a_row,
        )
        return following, report

    return step


def _updated(config: AutoencoderOptimiser, params: Params, gradients: Params, moments: Any) -> tuple[Params, Any]:
    """(parameters, moments) after one update."""
    gradients = jax.tree.map(lambda g: _EACH_PASS * g, gradients)
    # Optax raises float constants to the power of an integer count, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
        changes, moments = make_optimiser(config).update(gradients, moments, params)
    return optax.apply_updates(params, changes), moments


def _no_terms() -> DiscriminatorTerms:
    zero = jnp.zeros((), jnp.float32)
    return DiscriminatorTerms(total=zero, logits_real=zero, logits_fake=zero)
