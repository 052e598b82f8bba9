"""The training objective: predict what was mixed into each modality, each at its own time.

    loss = mean over samples of sum over modalities of w * mean over the latent's elements of (prediction - target)^2

Every modality of every sample has its own time (UniDiffuser, Bao et al. 2023); the published loss has w = 1, so that a
vector of three numbers counts as much as an image. A modality that is given (clean, time 0) or absent (pure noise, time
1000) is an input only: w = 0. Latents, times and weights are dicts keyed by modality name.

A training step draws with `draw_example`, applies the network to `example.inputs` and `example.network_time`, and
calls `weighted_error`.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from copgen_jax.config import Prediction
from copgen_jax.diffusion.corruption import corrupt, min_snr_weight, target
from copgen_jax.diffusion.roles import draw_roles, role_input, role_time
from copgen_jax.diffusion.schedule import NETWORK_TIME, NoiseSchedule
from copgen_jax.errors import InputError, suggestion
from copgen_jax.modalities import WANTED

Latents = Mapping[str, Float[Array, "B ..."]]
PerSample = Mapping[str, Float[Array, " B"]]
Leaf = Any
"""An array, or what a transformation puts in its place: a shape, a sharding."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """What is trained, and with which odds. The defaults are the published objective."""

    schedule: NoiseSchedule
    prediction: Prediction = "eps"
    continuous_time: bool = False
    """Times anywhere between the schedule's first and last step, instead of at its steps."""
    conditional_share: float = 0.0
    """Share of the samples in which some modalities are given and some absent (`draw_roles`)."""
    hiding_share: float = 1.0
    """Share of those in which some are absent; in the rest all that is not given is wanted."""
    given_sets: tuple[tuple[str, ...], ...] = ()
    """Sets of modalities that are given in samples that ask what is asked in use (`draw_roles`)."""
    given_sets_share: float = 0.0
    """Share of the conditional samples that give one of `given_sets`."""
    shared_time: float = 0.0
    """Share of the samples in which all modalities have the same time, as those that are generated do in sampling."""
    time_shift: float = 1.0
    """Above 1, more of the times are late (`shifted`): what is decided in noise is learned from more samples."""
    modality_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Weight of each named modality; the others have 1."""
    min_snr: float | None = None
    """Gamma of min-SNR weights; None for none."""

    def __post_init__(self):
        for what, share in (
            ("conditional samples", self.conditional_share),
            ("conditional samples that hide modalities", self.hiding_share),
            ("conditional samples that give one of the sets", self.given_sets_share),
            ("samples with one time for all", self.shared_time),
        ):
            if not 0 <= share <= 1:
                raise InputError(f"the share of {what} is {share}; expected 0 to 1")
        if self.time_shift <= 0:
            raise InputError(f"the shift of times is {self.time_shift}; expected a positive number")
        if self.given_sets_share > 0 and not self.given_sets:
            raise InputError(
                "a share of the samples is to give one of the sets, and there are no sets: name given_sets"
            )
        if self.min_snr is not None and self.min_snr <= 0:
            raise InputError(f"the gamma of min-SNR weights is {self.min_snr}; expected a positive number")
        for name, weight in self.modality_weights.items():
            if weight < 0:
                raise InputError(f"the loss weight of {name} is {weight}; expected zero or more")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """A training batch after noising; all fields by modality."""

    inputs: Mapping[str, Leaf]
    """What the network sees, (B, ...)."""
    network_time: Mapping[str, Leaf]
    """0 (clean) to 1000 (noise), (B,)."""
    targets: Mapping[str, Leaf]
    """What it should predict, (B, ...)."""
    weights: Mapping[str, Leaf]
    """w of the loss, (B,); zero leaves a modality of a sample out."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """The loss and its parts."""

    total: Leaf
    """What is minimised, a scalar: the mean of `per_sample`."""
    per_sample: Leaf
    """Weighted sum over modalities, (B,)."""
    per_modality: Mapping[str, Leaf]
    """Unweighted mean error over the samples in which the modality counts; zero where it counts in none."""
    error: Mapping[str, Leaf]
    """Unweighted mean squared error of every modality of every sample, (B,); zero where it does not count."""


def draw_example(
    objective: Objective, key: Array, clean: Latents, presence: Mapping[str, Bool[Array, " B"]] | None = None
) -> Example:
    """Noise a batch of clean latents with random noise, times and roles.

    `presence` says which modalities each sample has (all, if not given); what it lacks may hold anything in `clean`.
    The draw depends on the key and the set of names, not on their order.

    Raises:
        InputError: a weight for a modality that the batch does not have.
    """
    for_noise, for_times, for_roles = jax.random.split(key, 3)
    batch = next(iter(clean.values())).shape[0]
    if presence is None:
        presence = {name: jnp.ones(batch, bool) for name in clean}
    noise_keys = dict(zip(sorted(clean), jax.random.split(for_noise, len(clean)), strict=True))
    noise = {name: jax.random.normal(noise_keys[name], x.shape, x.dtype) for name, x in clean.items()}
    times = draw_times(objective, for_times, clean)
    roles = draw_roles(
        for_roles,
        presence,
        objective.conditional_share,
        hiding_share=objective.hiding_share,
        given_sets=objective.given_sets,
        given_sets_share=objective.given_sets_share,
    )
    return make_example(objective, clean, noise, times, roles)


def draw_times(objective: Objective, key: Array, clean: Latents) -> dict[str, Float[Array, " B"]]:
    """A network time for each modality of each sample, uniform over the schedule's steps (or between them).

    `Objective.time_shift` moves them (`shifted`), and then to the next step where times are steps.

    With independent times modalities are next to never all near pure noise, where sampling begins: twelve of them
    beyond 0.8 in one of 2e8 samples. `Objective.shared_time` is the share of samples that have one time for all.
    """
    names = sorted(clean)
    shape, dtype = (len(names), clean[names[0]].shape[0]), clean[names[0]].dtype
    steps = objective.schedule.config.steps
    if objective.time_shift != 1:
        position = steps * shifted(jax.random.uniform(key, shape, dtype), objective.time_shift)
        position = jnp.clip(position if objective.continuous_time else jnp.ceil(position), 1, steps)
    elif objective.continuous_time:
        position = jax.random.uniform(key, shape, dtype, minval=1.0, maxval=float(steps))
    else:
        position = jax.random.randint(key, shape, 1, steps + 1).astype(dtype)
    if objective.shared_time > 0:
        shared = jax.random.bernoulli(jax.random.fold_in(key, 1), objective.shared_time, shape[1:])
        position = jnp.where(shared, position[:1], position)
    return dict(zip(names, position * (NETWORK_TIME / steps), strict=True))


def shifted(t: Array, shift: float) -> Array:
    """Times in [0, 1] moved towards 1: s t / (1 + (s - 1) t), equation 23 of Esser et al. 2024 (SD3).

    What a patch's tokens and modalities have in common shows through noise that hides each of them, the more so the
    more of them there are: what only noisier times ask has few samples of uniform ones.
    """
    return shift * t / (1 + (shift - 1) * t)


def make_example(
    objective: Objective,
    clean: Latents,
    noise: Latents,
    network_time: PerSample,
    roles: Mapping[str, Int[Array, " B"]] | None = None,
) -> Example:
    """Noise a batch with this noise, at these times where a modality is wanted (everywhere, without `roles`).

    Raises:
        InputError: a weight for a modality that the batch does not have.
    """
    for name in objective.modality_weights:
        if name not in clean:
            raise InputError(f"there is a loss weight for {name!r}, which is not trained: {suggestion(name, clean)}")
    clean, noise, network_time = dict(clean), dict(noise), dict(network_time)
    if roles is not None:
        clean = {name: _nothing_absent(roles[name], x) for name, x in clean.items()}
        network_time = {name: role_time(roles[name], time) for name, time in network_time.items()}
    inputs = corrupt(objective.schedule, clean, noise, network_time)
    weights = {name: _weight(objective, name, time) for name, time in network_time.items()}
    if roles is not None:
        inputs = {
            name: role_input(roles[name], given=clean[name], wanted=x, absent=noise[name]) for name, x in inputs.items()
        }
        weights = {name: jnp.where(roles[name] == WANTED, weight, 0) for name, weight in weights.items()}
    targets = target(objective.schedule, objective.prediction, clean, noise, network_time)
    return Example(inputs=inputs, network_time=network_time, targets=targets, weights=weights)


def weighted_error(predictions: Latents, example: Example) -> Loss:
    """The loss of a network's predictions on a noised batch."""
    error, per_modality, weighted = {}, {}, []
    for name, weights in example.weights.items():
        squares = jnp.square(predictions[name].astype(weights.dtype) - example.targets[name])
        counts = weights > 0
        error[name] = jnp.where(counts, squares.mean(tuple(range(1, squares.ndim))), 0)
        per_modality[name] = error[name].sum() / jnp.maximum(counts.sum().astype(weights.dtype), 1)
        weighted.append(weights * error[name])
    per_sample = functools.reduce(jnp.add, weighted)
    return Loss(total=jnp.mean(per_sample), per_sample=per_sample, per_modality=per_modality, error=error)


def _nothing_absent(roles: Array, clean: Array) -> Array:
    """Zeros where a modality is absent: what stands there may be anything, and must not reach a gradient."""
    return role_input(roles, given=clean, wanted=clean, absent=jnp.zeros_like(clean))


def _weight(objective: Objective, name: str, network_time: Array) -> Array:
    weight = jnp.full_like(network_time, objective.modality_weights.get(name, 1.0))
    if objective.min_snr is None:
        return weight
    return weight * min_snr_weight(objective.schedule, objective.prediction, network_time, objective.min_snr)
