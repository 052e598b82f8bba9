"""Roles, keys and batches: what a user relies on beyond the golden numbers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from copgen_jax.config import preset
from copgen_jax.errors import InputError
from copgen_jax.modalities import ABSENT, GIVEN, TINY, WANTED
from copgen_jax.model import build_backbone
from copgen_jax.parallel import batch_sharding, make_mesh, replicated
from copgen_jax.sampling import draw_latents, make_sampler, sample_keys, start_noise

CONFIG = preset("tiny")
NAMES = TINY.names


@pytest.fixture(scope="module")
def params():
    backbone = build_backbone(CONFIG)
    latents = {m.name: jnp.zeros((1, *m.latent_shape)) for m in TINY}
    tree = backbone.init(jax.random.key(1), latents, {n: jnp.zeros((1,)) for n in NAMES})["params"]
    return jax.tree.map(lambda x: 3 * x, tree)


@pytest.fixture(scope="module")
def sample():
    return jax.jit(make_sampler(CONFIG, solver="published", evaluations=4))


def given_latents(batch, seed=0):
    rng = np.random.default_rng(seed)
    return {m.name: rng.standard_normal((batch, *m.latent_shape), np.float32) for m in TINY}


def keys(batch, seed=0):
    return sample_keys(seed, ["a place"] * batch, range(batch))


def relative(a, b):
    return float(np.sqrt(np.mean((np.asarray(a) - np.asarray(b)) ** 2) / np.mean(np.asarray(b) ** 2)))


def test_all_assignments_of_roles_share_one_compilation(params):
    """3^M role vectors, given to every sample or mixed in a batch, in one trace."""
    traces = []
    pure = make_sampler(CONFIG, solver="published", evaluations=2)

    @jax.jit
    def counted(p, given, roles, k):
        traces.append(1)
        return pure(p, given, roles, k)

    every = np.asarray(list(itertools.product([ABSENT, WANTED, GIVEN], repeat=len(NAMES))), np.int32)
    batch = 27
    given = given_latents(batch)
    for chunk in every.reshape(-1, batch, len(NAMES)):
        out = counted(params, given, chunk, keys(batch))
        for i, name in enumerate(NAMES):
            is_given = chunk[:, i] == GIVEN
            np.testing.assert_array_equal(np.asarray(out[name])[is_given], given[name][is_given])
            assert np.isfinite(np.asarray(out[name])).all()
    assert len(traces) == 1


def test_a_mixed_batch_is_its_samples_one_by_one(params, sample):
    batch = 4
    given, k = given_latents(batch), keys(batch)
    roles = np.random.default_rng(1).integers(0, 3, (batch, len(NAMES))).astype(np.int32)
    whole = sample(params, given, roles, k)
    for i in range(batch):
        one = sample(params, {n: v[i : i + 1] for n, v in given.items()}, roles[i], k[i : i + 1])
        for name in NAMES:
            assert relative(one[name][0], whole[name][i]) < 1e-5


def test_noise_is_bit_identical_alone_in_any_batch_and_on_any_devices():
    k = keys(16)
    whole = start_noise(TINY, k)
    sharded = start_noise(TINY, jax.device_put(k, batch_sharding(make_mesh())))
    raw = start_noise(TINY, jax.random.key_data(k))
    alone = start_noise(TINY.subset(["DEM"]), k[5:6])
    for name in NAMES:
        np.testing.assert_array_equal(sharded[name], whole[name])
        np.testing.assert_array_equal(raw[name], whole[name])
    np.testing.assert_array_equal(alone["DEM"][0], whole["DEM"][5])


def test_noise_differs_by_seed_place_member_modality_and_purpose():
    modalities = TINY.subset(["location", "timestamp"])
    draws = [
        start_noise(modalities, sample_keys(seed, [place], [member]))[name]
        for seed, place, member, name in itertools.product((0, 1), ("a", "b"), (0, 1), modalities.names)
    ]
    dem = TINY.subset(["DEM"])
    moments = {"DEM": jnp.zeros((1, 4, 4, 16))}
    posterior = draw_latents(dem, moments, keys(1))["DEM"] / dem["DEM"].scale_factor
    draws += [start_noise(dem, keys(1))["DEM"].ravel()[:3][None], posterior.ravel()[:3][None]]
    for a, b in itertools.combinations(draws, 2):
        assert not np.allclose(a, b)


def test_noise_is_standard_normal():
    noise = np.asarray(start_noise(TINY, keys(512))["DEM"])
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    flat = noise.reshape(512, -1)
    assert np.abs(np.corrcoef(flat[:8])[np.triu_indices(8, 1)]).max() < 0.35


def test_one_device_and_eight_agree(params):
    """Samples cut over all devices of a mesh: given bit-identical, outputs to rounding."""
    batch, mesh = 16, make_mesh()
    given, k = given_latents(batch), keys(batch)
    roles = TINY.roles(["DEM"], ["S2L2A"])
    sampler = jax.jit(make_sampler(CONFIG, solver="published", evaluations=4))
    one = sampler(params, given, roles, k)
    eight = sampler(
        jax.device_put(params, replicated(mesh)),
        jax.device_put(given, batch_sharding(mesh)),
        roles,
        jax.device_put(k, batch_sharding(mesh)),
    )
    assert len(eight["DEM"].sharding.device_set) == 8
    np.testing.assert_array_equal(eight["DEM"], one["DEM"])
    for name in NAMES:
        assert relative(eight[name], one[name]) < 1e-5


def test_what_is_absent_does_not_depend_on_its_latent_and_keeps_its_noise(params, sample):
    roles = TINY.roles(["DEM"], ["S2L2A"], unasked="marginal")
    first = sample(params, given_latents(2), roles, keys(2))
    other = given_latents(2, seed=9) | {"DEM": given_latents(2)["DEM"]}
    second = sample(params, other, roles, keys(2))
    for name in NAMES:
        np.testing.assert_array_equal(first[name], second[name])
    np.testing.assert_array_equal(first["location"], start_noise(TINY, keys(2))["location"])


def test_given_modalities_matter_and_joint_differs_from_marginal(params, sample):
    roles = TINY.roles(["DEM"], ["S2L2A"])
    a = sample(params, given_latents(2), roles, keys(2))
    b = sample(params, given_latents(2, seed=5), roles, keys(2))
    c = sample(params, given_latents(2), TINY.roles(["DEM"], ["S2L2A"], unasked="marginal"), keys(2))
    assert relative(a["S2L2A_60m"], b["S2L2A_60m"]) > 1e-3
    assert relative(a["S2L2A_60m"], c["S2L2A_60m"]) > 1e-3


def test_guidance_extrapolates_from_the_marginal(params):
    """With one evaluation the result is linear in the predicted noise: guided = u + s (c - u)."""
    given, k = given_latents(2), keys(2)
    roles = TINY.roles(["DEM"], ["S2L2A"])
    noise = start_noise(TINY, k)

    def run(scale, roles):
        return make_sampler(CONFIG, solver="ddim", evaluations=1, guidance_scale=scale)(params, given, roles, k, noise)

    conditional = run(1.0, roles)
    unconditional = run(1.0, np.where(roles == GIVEN, ABSENT, roles).astype(np.int32))
    guided = run(3.0, roles)
    for name in ("S2L2A_60m", "location"):
        expected = unconditional[name] + 3.0 * (conditional[name] - unconditional[name])
        np.testing.assert_allclose(guided[name], expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(guided["DEM"], given["DEM"])


def test_start_noise_can_be_given_in_part(params, sample):
    given, k = given_latents(2), keys(2)
    roles = TINY.roles([], ["S2L2A", "DEM"])
    noise = start_noise(TINY, k)
    np.testing.assert_array_equal(
        sample(params, given, roles, k)["DEM"], sample(params, given, roles, k, {"DEM": noise["DEM"]})["DEM"]
    )


def test_posterior_samples_have_the_posterior_mean_and_spread():
    modality = TINY["DEM"]
    shape = modality.latent_shape
    mean, log_variance = np.full(shape, 2.0, np.float32), np.full(shape, np.log(0.25), np.float32)
    moments = {"DEM": np.broadcast_to(np.concatenate([mean, log_variance], -1), (400, *shape[:2], 16))}
    drawn = np.asarray(draw_latents(TINY, moments, keys(400))["DEM"]) / modality.scale_factor
    assert abs(drawn.mean() - 2) < 0.01
    assert abs(drawn.std() - 0.5) < 0.01
    mode = np.asarray(draw_latents(TINY, moments, None)["DEM"])
    np.testing.assert_allclose(mode, 2.0 * modality.scale_factor, rtol=1e-6)


def test_wrong_input_is_named(params):
    given = given_latents(1)
    with pytest.raises(InputError, match="latents of timestamp are missing"):
        make_sampler(CONFIG)(
            params, {n: v for n, v in given.items() if n != "timestamp"}, TINY.roles([], ["DEM"]), keys(1)
        )
    with pytest.raises(InputError, match="latents of DEM have shape"):
        make_sampler(CONFIG)(params, given | {"DEM": given["DEM"][:, :2]}, TINY.roles([], ["DEM"]), keys(1))
    with pytest.raises(InputError, match="did you mean published"):
        make_sampler(CONFIG, solver="publishd")
    with pytest.raises(InputError, match="seed is -1"):
        sample_keys(-1, ["a"], [0])
