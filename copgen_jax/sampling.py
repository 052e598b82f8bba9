"""The any-to-any sampler: from the latents of the given modalities, draw the others.

Every modality of every sample has a role. GIVEN: its clean latent at network time 0. WANTED: on the trajectory, at the
time all wanted ones share. ABSENT: one fixed noise at time 1000, which asks the network for the marginal over it
(UniDiffuser, Bao et al. 2023). Roles are data: one compilation serves them all, mixed within a batch too.

Randomness: a sample's key is made of (seed, place, member); what a key is used for is folded in last, with the CRC-32
of the modality's name. So the noise of a member does not depend on what else is wanted, on its batch or on devices.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from copgen_jax.config import ModelConfig
from copgen_jax.diffusion.corruption import data_prediction
from copgen_jax.diffusion.roles import by_name, role_input, role_time
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.diffusion.solvers import solve, solver_table
from copgen_jax.errors import InputError
from copgen_jax.modalities import ABSENT, GIVEN, Modality, ModalitySet
from copgen_jax.model import build_backbone, check_latents, latents_from_moments
from copgen_jax.nn.attention import Implementation
from copgen_jax.nn.backbone import Backbone
from copgen_jax.types import Array, Keys, Latents, Moments, Params, Roles

START_NOISE, POSTERIOR_NOISE = 0, 1
"""What a key is folded for: the noise a trajectory starts from, and the posterior sample of a given image."""

Posterior = Literal["fresh", "shared", "mode"]
"""How given images enter: a posterior sample per member, one for all members (as published), or the mean."""

Tree = dict[str, jax.Array]
"""Something per modality name."""

Sampler = Callable[..., dict[str, jax.Array]]
"""sample(params, given_latents, roles, keys, noise=None) -> latents."""


def make_sampler(
    model: ModelConfig | Backbone,
    *,
    solver: str | None = None,
    evaluations: int | None = None,
    guidance_scale: float = 1.0,
    dtype: str = "float32",
    attention: Implementation = "plain",
) -> Sampler:
    """The pure function that samples, to be jitted by the caller.

    Args:
        model: a model's configuration, or a bare backbone (then the published schedule and noise prediction; `dtype`
            and `attention` are the backbone's own).
        solver: a name in `copgen_jax.diffusion.solvers.SOLVERS`; the model's default where None.
        evaluations: calls of the network per sample; the model's default where None.
        guidance_scale: s in eps = eps_u + s (eps_c - eps_u), where eps_u sees noise at time 1000 in place of what is
            given; 1 is off, and costs one evaluation instead of two.
        dtype: compute dtype of the backbone.
        attention: implementation of the backbone's attention.

    Returns:
        `sample(params, given_latents, roles, keys, noise=None)`: parameters of the backbone; scaled latents of every
        modality, {name: (B, ...)}, zeros where not given; role codes int32 (M,) or (B, M) in network order, traced; a
        key per sample (B,). `noise`: start noise by modality, like the latents, made from the keys where a modality is
        left out. Returns {name: (B, ...)}: drawn where wanted, bit-identical where given, the noise where absent.

    Raises:
        InputError: an unknown solver, too few evaluations, a model without a backbone; at the call, latents that
            lack a modality or have another shape.
    """
    config = ModelConfig(modalities=model.modalities) if isinstance(model, Backbone) else model
    backbone = model if isinstance(model, Backbone) else build_backbone(model, dtype=dtype, attention=attention)
    schedule = NoiseSchedule(config.schedule)
    if evaluations is None:
        evaluations = config.solver.evaluations
    table = solver_table(solver or config.solver.name, schedule, evaluations)

    def sample(
        params: Params, given_latents: Latents, roles: Roles, keys: Keys, noise: Latents | None = None
    ) -> dict[str, jax.Array]:
        check_latents(given_latents, config)
        given = jax.tree.map(jnp.asarray, dict(given_latents))
        start = start_noise(config.modalities, keys) | jax.tree.map(jnp.asarray, dict(noise or {}))
        role = by_name(jnp.asarray(roles), config.modalities.names, keys.shape[0])

        def network(x: Tree, time: jax.Array, role: Tree) -> Tree:
            times = {name: role_time(code, time) for name, code in role.items()}
            return backbone.apply({"params": params}, _pinned(role, given, x, start), times)  # pyright: ignore

        def predict_data(x: Tree, time: jax.Array) -> Tree:
            output = network(x, time, role)
            if guidance_scale != 1.0:
                # What is given becomes absent, its own start noise at time 1000: the network's marginal over it.
                hidden = {name: jnp.where(code == GIVEN, ABSENT, code) for name, code in role.items()}
                free = network(x, time, hidden)
                output = jax.tree.map(lambda u, c: u + guidance_scale * (c - u), free, output)
            return data_prediction(schedule, config.prediction, output, x, time)

        return _pinned(role, given, solve(table, predict_data, start), start)

    return sample


def _pinned(role: Tree, given: Tree, wanted: Tree, absent: Tree) -> Tree:
    """By role: given latents clean, wanted ones from the trajectory, absent ones their noise."""
    return {
        name: role_input(code, given=given[name], wanted=wanted[name], absent=absent[name])
        for name, code in role.items()
    }


def sample_keys(seed: int, places: Sequence[str], members: Iterable[int]) -> jax.Array:
    """One key per sample, (B,), from the seed, the sample's place (see `Ground.place_id`) and its member number.

    Raises:
        InputError: a seed that is not in 0 .. 2^32 - 1.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"the seed is {seed}; expected a whole number from 0 to {2**32 - 1}")
    root = jax.random.key(seed, impl="threefry2x32")
    codes = np.asarray([zlib.crc32(place.encode()) for place in places], np.uint32)
    numbers = np.asarray(list(members), np.uint32)
    return jax.vmap(lambda place, member: jax.random.fold_in(jax.random.fold_in(root, place), member))(codes, numbers)


def start_noise(modalities: ModalitySet, keys: Keys) -> dict[str, jax.Array]:
    """Standard-normal latents (B, ...) of every modality, each from its own fold of the sample's key."""
    return {m.name: _normal(m, keys, START_NOISE) for m in modalities}


def draw_latents(modalities: ModalitySet, moments: Moments, keys: Keys | None) -> dict[str, Array]:
    """Scaled latents of given images: a posterior sample per key, or the mode where `keys` is None.

    Args:
        modalities: the model's.
        moments: posterior moments {name: (B, h, w, 2c)} of the given images.
        keys: (B,), as for sampling. Keys made for one member number give one posterior sample shared by all members.
    """
    return {
        name: latents_from_moments(
            moment,
            None if keys is None else _normal(modalities[name], keys, POSTERIOR_NOISE),
            modalities[name].scale_factor,
        )
        for name, moment in moments.items()
    }


def _normal(modality: Modality, keys: Keys, purpose: int) -> jax.Array:
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        keys = jax.random.wrap_key_data(jnp.asarray(keys), impl="threefry2x32")
    code = np.uint32(zlib.crc32(modality.name.encode()))

    def draw(key: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.fold_in(key, code), purpose)
        return jax.random.normal(key, modality.latent_shape, jnp.float32)

    return jax.vmap(draw)(jnp.asarray(keys))
