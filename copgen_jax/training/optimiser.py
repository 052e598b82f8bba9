"""The optimiser, and one update of a training state with it.

    AdamW (Loshchilov and Hutter 2019), bias-corrected, decay on every parameter:
    theta <- theta - lr_k (m / (sqrt(v) + epsilon) + decay theta),    lr_k = lr min(k / warm-up, 1),  k = 0, 1, ...
    average <- r average + (1 - r) theta

or Muon (Jordan 2024), for which the matrices of blocks go another way, and the rest looks one momentum ahead (Nesterov;
Dozat 2016):
    theta <- theta - lr_k (0.2 sqrt(max(in, out)) O + decay theta),
where O is the orthogonal matrix nearest to the momentum, by five Newton-Schulz steps. The factor makes the changes as
large as AdamW's (Liu et al. 2025), so that one learning rate serves both.

Short runs may let lr_k fall besides, by the factor max(1 - k / decay steps, 0). The first update has the learning rate
0: moments fill, parameters stay. An update whose gradient is not finite leaves parameters, moments and average as they
were, and is counted.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from copgen_jax.training.config import OptimiserConfig
from copgen_jax.types import Params

CHANGE = 0.2
"""Root mean square of Muon's change of a matrix before the learning rate: what AdamW's usually is."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """Everything that an update changes, and so everything that a checkpoint must hold.

    The batch and the random keys of an update are functions of the run's seed and of `step`.
    """

    step: Any
    """Updates done, skipped ones included; int32."""
    params: Params
    ema_params: Params
    moments: Any
    """Of the optimiser (optax)."""
    skipped: Any
    """Updates left out because their gradient was not finite; int32."""
    skipped_in_a_row: Any
    """Of these, the ones since the last that was done; int32."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Update:
    """What there is to say about one update; scalars."""

    learning_rate: Any
    gradient_norm: Any
    """Of all parameters together, before clipping."""
    skipped: Any
    """1 where the update was left out, else 0."""
    skipped_in_a_row: Any


def make_optimiser(config: OptimiserConfig) -> optax.GradientTransformation:
    """AdamW or Muon with warm-up, behind clipping where it is asked for."""
    rate = learning_rate(config)
    if config.method == "muon":
        optimiser = optax.contrib.muon(
            rate,
            weight_decay=config.weight_decay,
            consistent_rms=CHANGE,
            muon_weight_dimension_numbers=_block_matrices,
            adam_b1=config.beta1,
            adam_b2=config.beta2,
            adam_weight_decay=config.weight_decay,
            eps=config.epsilon,
        )
    else:
        optimiser = optax.adamw(
            rate, b1=config.beta1, b2=config.beta2, eps=config.epsilon, weight_decay=config.weight_decay
        )
    if config.clip_norm is None:
        return optimiser
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimiser)


def _block_matrices(params: Params) -> Params:
    """The axes (in, out) of every matrix that maps tokens to tokens, stacked blocks before them; None elsewhere."""

    def axes(path: tuple[Any, ...], leaf: Any) -> optax.contrib.MuonDimensionNumbers | None:
        names = [str(key.key) for key in path]
        if names[-1] != "kernel" or not names[0].endswith(("block", "blocks")):
            return None
        return optax.contrib.MuonDimensionNumbers(leaf.ndim - 2, leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(axes, params)


def learning_rate(config: OptimiserConfig) -> optax.Schedule:
    """lr_k of update k = 0, 1, ..."""

    def of_update(count: Any) -> jax.Array:
        done = jnp.asarray(count, jnp.float32)
        share = jnp.minimum(done / config.warmup_steps, 1.0) if config.warmup_steps else jnp.ones_like(done)
        if config.decay_steps is not None:
            share = share * jnp.maximum(1.0 - done / config.decay_steps, 0.0)
        return config.learning_rate * share

    return of_update


def start_state(params: Params, optimiser: optax.GradientTransformation) -> TrainState:
    """The state before the first update; the average starts as a copy."""
    zero = jnp.zeros((), jnp.int32)
    return TrainState(
        step=zero,
        params=params,
        ema_params=jax.tree.map(jnp.copy, params),
        moments=optimiser.init(params),
        skipped=jnp.copy(zero),
        skipped_in_a_row=jnp.copy(zero),
    )


def update_state(
    state: TrainState, loss: jax.Array, gradients: Params, config: OptimiserConfig
) -> tuple[TrainState, Update]:
    """One update of parameters, moments and average, or none where loss or gradient is not finite.

    Args:
        state: before the update; its `moments` are of `make_optimiser(config)`.
        loss: scalar.
        gradients: like the parameters.
        config: of the optimiser.
    """
    norm = optax.tree.norm(gradients)
    good = jnp.isfinite(loss) & jnp.isfinite(norm)
    done = state.step - state.skipped
    # Optax raises float constants to the power of an integer count, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
        changes, moments = make_optimiser(config).update(gradients, state.moments, state.params)
    params = optax.apply_updates(state.params, changes)
    rate = config.ema_rate
    average = jax.tree.map(lambda old, new: rate * old + (1 - rate) * new, state.ema_params, params)

    def chosen(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)

    bad = 1 - good.astype(jnp.int32)
    in_a_row = (state.skipped_in_a_row + 1) * bad
    following = TrainState(
        step=state.step + 1,
        params=chosen(params, state.params),
        ema_params=chosen(average, state.ema_params),
        moments=chosen(moments, state.moments),
        skipped=state.skipped + bad,
        skipped_in_a_row=in_a_row,
    )
    return following, Update(
        learning_rate=learning_rate(config)(done), gradient_norm=norm, skipped=bad, skipped_in_a_row=in_a_row
    )
