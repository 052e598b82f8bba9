"""One step of backbone training: moments in, updated state out.

    moments --draw posterior--> latents --draw noise, times, roles--> example --backbone--> loss --gradient--> update

A batch is noised as a whole and then computed in `accumulation` micro-batches, whose gradients are averaged: the number
of micro-batches changes memory, not the update. Keys are folded from the seed and the step, so that a step can be done
again, on any number of devices.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from copgen_jax.config import ModelConfig
from copgen_jax.diffusion.objective import Example, Loss, Objective, draw_example, weighted_error
from copgen_jax.diffusion.schedule import NETWORK_TIME
from copgen_jax.modalities import ModalitySet
from copgen_jax.model import build_backbone, latents_from_moments
from copgen_jax.nn.attention import Implementation
from copgen_jax.nn.backbone import Backbone, Remat
from copgen_jax.nn.layers import Dense, LayerNorm
from copgen_jax.parallel import DATA, FSDP
from copgen_jax.training.config import OptimiserConfig
from copgen_jax.training.optimiser import TrainState, Update, update_state
from copgen_jax.types import Params

POSTERIOR, NOISE = 0, 1
"""What the key of a step is folded for."""

TIME_BINS = 10
"""Equal parts of the network time for which the error is reported."""

_WRITTEN_OUT = 8
"""Depth up to which blocks are no loop: they compile as fast, and what gradients need is not copied in and out."""


def training_backbone(
    config: ModelConfig, *, dtype: str = "float32", attention: Implementation = "plain", remat: Remat = "none"
) -> Backbone:
    """The backbone as training runs it; see `copgen_jax.model.build_backbone`."""
    deep = config.backbone is None or config.backbone.depth > _WRITTEN_OUT
    return build_backbone(config, dtype=dtype, attention=attention, remat=remat, loop=deep)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Errors:
    """Sums of the unweighted errors where a modality counts, to be averaged over steps."""

    by_modality: Mapping[str, Any]
    """{modality: (2,)}: sum of errors, number of them."""
    by_time: Any
    """(TIME_BINS, 2), over all modalities."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a step tells the log."""

    loss: Any
    update: Update
    errors: Errors


def draw_batch(
    objective: Objective, modalities: ModalitySet, seed: int, step: jax.Array, batch: Mapping[str, Any]
) -> Example:
    """The noised batch of a step: a pure function of seed, step and what is in the batch.

    Args:
        objective: what is trained.
        modalities: of the batch, in network order.
        seed: of the run.
        step: int32 scalar.
        batch: {"moments": {name: (B, h, w, 2c)}, "vectors": {name: (B, 3)}, "presence": bool (B, M)}.
    """
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), step)
    presence = {name: batch["presence"][:, i] for i, name in enumerate(modalities.names)}
    clean = {}
    for modality in modalities:
        if not modality.is_image:
            clean[modality.name] = jnp.asarray(batch["vectors"][modality.name], jnp.float32)
            continue
        moments = batch["moments"][modality.name]
        own = jax.random.fold_in(jax.random.fold_in(key, POSTERIOR), zlib.crc32(modality.name.encode()))
        noise = jax.random.normal(own, (moments.shape[0], *modality.latent_shape), jnp.float32)
        clean[modality.name] = latents_from_moments(moments, noise, modality.scale_factor)
    return draw_example(objective, jax.random.fold_in(key, NOISE), clean, presence)


def example_loss(backbone: Backbone, params: Params, example: Example, *, mesh: Any = None) -> Loss:
    """The loss of the backbone on a noised batch, which lies on `mesh` (None for one device)."""
    with nn.intercept_methods(functools.partial(_cut_along_batch, mesh=mesh)):
        predictions = backbone.apply({"params": params}, example.inputs, example.network_time)
    return weighted_error(predictions, example)  # pyright: ignore


def loss_and_gradients(
    backbone: Backbone, params: Params, example: Example, *, accumulation: int = 1, mesh: Any = None
) -> tuple[jax.Array, Params, Errors]:
    """Loss, its gradient and the errors of a batch, computed in micro-batches.

    Args:
        backbone: the network.
        params: its parameters.
        example: the noised batch; `accumulation` divides its size.
        accumulation: number of micro-batches.
        mesh: on which the batch lies, cut over all devices; None for one device.
    """

    def of(example: Example) -> tuple[tuple[jax.Array, Errors], Params]:
        def total(params: Params) -> tuple[jax.Array, Errors]:
            loss = example_loss(backbone, params, example, mesh=mesh)
            return loss.total, _errors(loss, example)

        return jax.value_and_grad(total, has_aux=True)(params)

    if accumulation == 1:
        (loss, errors), gradients = of(example)
        return loss, gradients, errors

    def micro(sums: Any, example: Example) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, sums, of(example)), None

    # Micro-batch a takes rows a, a + A, ...: each device cuts its own rows, and nothing travels.
    parts = jax.tree.map(functools.partial(_micro_batches, count=accumulation, mesh=mesh), example)
    nothing = Errors(by_modality={n: jnp.zeros(2) for n in example.weights}, by_time=jnp.zeros((TIME_BINS, 2)))
    start = ((jnp.zeros(()), nothing), jax.tree.map(jnp.zeros_like, params))
    ((loss, errors), gradients), _ = jax.lax.scan(micro, start, parts)
    return loss / accumulation, jax.tree.map(lambda g: g / accumulation, gradients), errors


def make_train_step(
    backbone: Backbone,
    objective: Objective,
    optimiser: OptimiserConfig,
    *,
    seed: int,
    accumulation: int = 1,
    mesh: Any = None,
) -> Callable[[TrainState, Mapping[str, Any]], tuple[TrainState, StepReport]]:
    """`step(state, batch) -> (state, report)`, pure, to be jitted by the caller."""

    def step(state: TrainState, batch: Mapping[str, Any]) -> tuple[TrainState, StepReport]:
        with jax.named_scope("draw"):
            example = draw_batch(objective, backbone.modalities, seed, state.step, batch)
        loss, gradients, errors = loss_and_gradients(
            backbone, state.params, example, accumulation=accumulation, mesh=mesh
        )
        with jax.named_scope("update"):
            state, update = update_state(state, loss, gradients, optimiser)
        return state, StepReport(loss=loss, update=update, errors=errors)

    return step


def _errors(loss: Loss, example: Example) -> Errors:
    by_modality, by_time = {}, jnp.zeros((TIME_BINS, 2), jnp.float32)
    for name, error in loss.error.items():
        counts = (example.weights[name] > 0).astype(jnp.float32)
        by_modality[name] = jnp.stack([error.sum(), counts.sum()])
        place = jnp.clip(example.network_time[name] * (TIME_BINS / NETWORK_TIME), 0, TIME_BINS - 1).astype(jnp.int32)
        hot = jax.nn.one_hot(place, TIME_BINS, dtype=jnp.float32)
        by_time = by_time + jnp.stack([error @ hot, counts @ hot], axis=-1)
    return Errors(by_modality=by_modality, by_time=by_time)


def _cut_along_batch(call: Any, arguments: Any, options: Any, context: Any, *, mesh: Any) -> Any:
    """Keep what layers put out, and its gradient, cut along the batch.

    Left to itself XLA takes over the parameters' cut here and there, and moves activations instead of parameters.
    """
    found = call(*arguments, **options)
    if mesh is None or not isinstance(context.module, nn.Dense | Dense | LayerNorm):
        return found
    return jax.lax.with_sharding_constraint(found, NamedSharding(mesh, PartitionSpec((DATA, FSDP))))


def _micro_batches(x: jax.Array, *, count: int, mesh: Any) -> jax.Array:
    parts = x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)
    if mesh is None:
        return parts
    return jax.lax.with_sharding_constraint(parts, NamedSharding(mesh, PartitionSpec(None, (DATA, FSDP))))
