"""Roles as data: times, inputs, and the draw of conditional training samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from copgen_jax.diffusion.roles import by_name, draw_roles, role_input, role_time
from copgen_jax.modalities import ABSENT, GIVEN, WANTED

ROLES = jnp.array([GIVEN, WANTED, ABSENT], jnp.int32)
EVERYTHING = {name: jnp.ones(4000, bool) for name in ("radar", "height", "place", "date")}


def test_times_of_roles():
    np.testing.assert_array_equal(role_time(ROLES, jnp.float32(250.0)), [0, 250, 1000])
    np.testing.assert_array_equal(role_time(ROLES, jnp.array([10.0, 20.0, 30.0])), [0, 20, 1000])


def test_inputs_of_roles_ignore_what_is_not_chosen():
    shape = (3, 2, 2, 8)
    rest = jnp.full(shape, jnp.nan)
    chosen = [rest.at[i].set(i + 1.0) for i in range(3)]
    x = jax.jit(role_input)(ROLES, given=chosen[0], wanted=chosen[1], absent=chosen[2])
    for i in range(3):
        np.testing.assert_array_equal(x[i], np.full(shape[1:], i + 1.0))


def test_a_role_per_sample_alone_under_vmap():
    values = [jnp.arange(3.0)[:, None] + 10 * k for k in range(3)]
    mapped = jax.vmap(lambda r, g, w, a: role_input(r, given=g, wanted=w, absent=a))(ROLES, *values)
    np.testing.assert_array_equal(mapped, role_input(ROLES, given=values[0], wanted=values[1], absent=values[2]))


def test_one_vector_or_one_per_sample():
    shared = by_name(ROLES, ["a", "b", "c"], 2)
    each = by_name(jnp.stack([ROLES, ROLES[::-1]]), ["a", "b", "c"], 2)
    np.testing.assert_array_equal(shared["a"], [GIVEN, GIVEN])
    np.testing.assert_array_equal(each["a"], [GIVEN, ABSENT])
    np.testing.assert_array_equal(each["c"], [ABSENT, GIVEN])


def drawn(presence, share, seed=0):
    roles = draw_roles(jax.random.key(seed), presence, share)
    return {name: np.asarray(codes) for name, codes in roles.items()}


def test_no_share_is_the_published_training():
    assert all((codes == WANTED).all() for codes in drawn(EVERYTHING, 0.0).values())


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_share_of_conditional_samples(share):
    roles = np.stack(list(drawn(EVERYTHING, share).values()))
    assert ((roles == WANTED).sum(0) >= 1).all()
    conditional = (roles != WANTED).any(0).mean()
    # Odds p of WANTED have density 2 (1 - p); three free modalities are all wanted with odds 2 / (4 * 5).
    assert conditional == pytest.approx(share * 0.9, abs=0.03)
    assert (roles == GIVEN).mean() == pytest.approx(share / 4, abs=0.02)
    assert (roles == ABSENT).mean() == pytest.approx(share / 4, abs=0.02)
    assert set((roles == GIVEN).sum(0)) == {0, 1, 2, 3}


@pytest.mark.parametrize("hiding", [0.0, 0.25])
def test_share_of_hiding_samples(hiding):
    """As many are given as before; what is no longer absent is wanted."""
    roles = draw_roles(jax.random.key(0), EVERYTHING, 1.0, hiding_share=hiding)
    codes = np.stack([np.asarray(code) for code in roles.values()])
    assert (codes == GIVEN).mean() == pytest.approx(1 / 4, abs=0.02)
    assert (codes == ABSENT).mean() == pytest.approx(hiding / 4, abs=0.02)
    everything = drawn(EVERYTHING, 1.0)
    for name, code in roles.items():
        np.testing.assert_array_equal(code == GIVEN, everything[name] == GIVEN)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_missing_modalities_are_absent_and_something_present_is_wanted(share):
    generator = np.random.default_rng(0)
    presence = {name: jnp.asarray(generator.random(4000) < 0.5) for name in EVERYTHING}
    roles = drawn(presence, share)
    for name, codes in roles.items():
        assert (codes[~np.asarray(presence[name])] == ABSENT).all()
    anything = np.stack(list(presence.values())).any(0)
    wanted = (np.stack(list(roles.values())) == WANTED).any(0)
    np.testing.assert_array_equal(wanted, anything)


def test_draw_does_not_depend_on_the_order_of_names():
    backwards = dict(reversed(EVERYTHING.items()))
    for name, codes in drawn(EVERYTHING, 0.7).items():
        np.testing.assert_array_equal(codes, drawn(backwards, 0.7)[name])


def test_sets_that_are_given():
    """Half of the conditional samples give one of two sets exactly, each as often, and want the rest."""
    sets = (("height", "date"), ("radar",))
    roles = draw_roles(jax.random.key(0), EVERYTHING, 0.8, hiding_share=0.0, given_sets=sets, given_sets_share=1.0)
    given = {name: np.asarray(codes) == GIVEN for name, codes in roles.items()}
    first, second = given["height"], given["radar"]
    np.testing.assert_array_equal(given["date"], first)
    assert not given["place"].any()
    assert not (first & second).any()
    assert first.mean() == pytest.approx(0.4, abs=0.03)
    assert second.mean() == pytest.approx(0.4, abs=0.03)
    half = draw_roles(jax.random.key(0), EVERYTHING, 0.8, given_sets=(tuple(EVERYTHING)[:1],), given_sets_share=0.5)
    other = draw_roles(jax.random.key(0), EVERYTHING, 0.8)
    changed = np.any([np.asarray(half[name] != other[name]) for name in EVERYTHING], axis=0)
    assert 0.3 < changed.mean() < 0.45


def test_a_set_that_leaves_nothing_wanted_gives_one_less():
    roles = draw_roles(jax.random.key(0), EVERYTHING, 1.0, given_sets=(tuple(EVERYTHING),), given_sets_share=1.0)
    assert (np.sum([np.asarray(codes) == WANTED for codes in roles.values()], axis=0) == 1).all()
    present = {**EVERYTHING, "place": jnp.zeros(4000, bool)}
    alone = draw_roles(jax.random.key(0), present, 1.0, given_sets=(("radar", "height"),), given_sets_share=1.0)
    assert (np.asarray(alone["date"]) == WANTED).all()
    assert (np.asarray(alone["radar"]) == GIVEN).all()
