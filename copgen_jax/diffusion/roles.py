"""What the role of a modality means for its time and its input, with the roles as data.

Role codes are those of `copgen_jax.modalities`: GIVEN enters clean at time 0, WANTED follows the trajectory, ABSENT is
noise at time 1000. They are traced integers, so that one compilation serves every assignment.
"""

from collections.abc import Collection, Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from copgen_jax.diffusion.corruption import over_samples
from copgen_jax.diffusion.schedule import NETWORK_TIME
from copgen_jax.modalities import ABSENT, GIVEN, WANTED


def by_name(roles: Int[Array, "*B M"], names: Sequence[str], batch: int) -> dict[str, Int[Array, " B"]]:
    """A role vector for all samples, or one per sample, as roles (B,) by modality; `names` in network order."""
    roles = jnp.broadcast_to(roles, (batch, len(names)))
    return {name: roles[:, i] for i, name in enumerate(names)}


def role_time(roles: Int[Array, "*B"], network_time: Float[Array, "..."]) -> Float[Array, "*B"]:
    """The network time that goes with each role; `network_time`, a scalar or like roles, is that of the trajectory."""
    time = jnp.broadcast_to(network_time, roles.shape)
    return jnp.where(roles == GIVEN, 0.0, jnp.where(roles == ABSENT, NETWORK_TIME, time)).astype(time.dtype)


def role_input(
    roles: Int[Array, "*B"], *, given: Float[Array, "..."], wanted: Float[Array, "..."], absent: Float[Array, "..."]
) -> Float[Array, "..."]:
    """The input, (*B, ...), that goes with each role. What is not chosen may hold anything, NaN included."""
    codes = over_samples(roles, given)
    return jnp.where(codes == GIVEN, given, jnp.where(codes == ABSENT, absent, wanted))


def draw_roles(
    key: Array,
    presence: Mapping[str, Bool[Array, " B"]],
    share: float,
    *,
    hiding_share: float = 1.0,
    given_sets: Sequence[Collection[str]] = (),
    given_sets_share: float = 0.0,
) -> dict[str, Int[Array, " B"]]:
    """Roles (B,) by modality for training on conditional generation.

    What is not present is ABSENT. A `share` of the samples also hides and gives modalities: the odds of GIVEN, WANTED
    and ABSENT are drawn anew for each of them, uniformly over all odds, so that few given modalities are as usual as
    many; one present modality is always WANTED. Only a `hiding_share` of them hides: in the rest, what would be ABSENT
    is WANTED, as it is in sampling that draws jointly what nobody asked for. In the other samples all that is present
    is WANTED, as published.

    A `given_sets_share` of the conditional samples gives exactly the modalities of one of `given_sets`, each as often
    as the others, and wants the rest. By chance alone few samples ask what is asked in use: of twelve modalities land
    cover is given, and none of the six optical ones, in one of 36.

    The draw does not depend on the order of `presence`.
    """
    names = sorted(presence)
    present = jnp.stack([presence[name] for name in names])
    for_samples, for_odds, for_roles, for_kept = jax.random.split(key, 4)
    shape = present.shape
    conditional = jax.random.uniform(for_samples, shape[1:]) < share
    cuts = jnp.sort(jax.random.uniform(for_odds, (2, shape[1])), axis=0)
    place = jax.random.uniform(for_roles, shape)
    drawn = jnp.where(place < cuts[:1], GIVEN, jnp.where(place < cuts[1:], ABSENT, WANTED))
    hides = jax.random.uniform(jax.random.fold_in(for_samples, 1), shape[1:]) < hiding_share
    drawn = jnp.where((drawn == ABSENT) & ~hides[None], WANTED, drawn)
    lots = jax.random.uniform(for_kept, shape)
    if given_sets and given_sets_share > 0:
        for_sets, for_choice = jax.random.split(jax.random.fold_in(for_samples, 2))
        takes = jax.random.uniform(for_sets, shape[1:]) < given_sets_share
        members = jnp.array([[name in chosen for chosen in given_sets] for name in names])
        asked = members[:, jax.random.randint(for_choice, shape[1:], 0, len(given_sets))]
        drawn = jnp.where(takes[None], jnp.where(asked, GIVEN, WANTED), drawn)
        # One that the set gives is wanted all the same only where nothing else is present.
        lots = jnp.where(takes[None] & asked, 0.0, 1.0) + lots
    lots = jnp.where(present, lots, -1.0)
    kept = lots == jnp.max(lots, axis=0, keepdims=True)
    roles = jnp.where(conditional[None] & ~kept, drawn, WANTED)
    roles = jnp.where(present, roles, ABSENT).astype(jnp.int32)
    return dict(zip(names, roles, strict=True))
