"""Modalities as data: against the published table and the golden list."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_vectors import load_json, present

from copgen_jax.errors import InputError
from copgen_jax.modalities import ABSENT, BETA, COPGEN, DEMO, GIVEN, TINY, WANTED, ModalitySet
from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.backbone import Backbone


@pytest.mark.parametrize("path", present("backbone/modalities.json"))
def test_published_set_is_the_golden_one(path):
    golden = load_json(path)
    assert [m.published_key for m in COPGEN] == golden["network_order"]
    start = len(COPGEN)
    for modality in COPGEN:
        key = modality.published_key
        shape = golden["latent_shape"][key]
        expected = (*shape[1:], shape[0]) if modality.is_image else (3,)
        assert modality.latent_shape == expected
        assert modality.token_side == golden["patch_size"][key]
        assert [start, start + modality.tokens] == golden["token_range"][key]
        start += modality.tokens
        if modality.is_image:
            assert modality.scale_factor == golden["scale_factor"][key]
    assert start == COPGEN.tokens == 834


@pytest.mark.parametrize("path", present("vae/models.json"))
def test_image_channels_and_sizes_are_those_of_the_published_autoencoders(path):
    models = load_json(path)
    assert {m.published_key for m in COPGEN.images} == set(models)
    for modality in COPGEN.images:
        assert modality.channels == models[modality.published_key]["bands"]
        assert modality.pixels == models[modality.published_key]["resolution"]


@pytest.mark.parametrize("modalities", [COPGEN, DEMO])
def test_every_image_covers_the_same_ground(modalities):
    assert len({m.extent for m in modalities.images}) == 1


def test_resized_patches_come_in_multiples_of_96():
    assert COPGEN.resized(192) == COPGEN
    assert COPGEN.resized(288)["S2L2A_60m"].latent_shape == (6, 6, 8)
    for pixels in (0, 48, 100, 191):
        with pytest.raises(InputError, match="multiple of 96"):
            COPGEN.resized(pixels)


def test_products_resolve_to_modalities_in_network_order():
    assert COPGEN.resolve(["S2L2A", "DEM"]) == ("DEM", "S2L2A_60m", "S2L2A_10m", "S2L2A_20m")
    assert COPGEN.resolve(["S2L2A_20m", "S2L2A"]) == COPGEN.resolve(["S2L2A"])
    assert COPGEN.subset(["timestamp", "DEM"]).names == ("DEM", "timestamp")
    assert [m.name for m in COPGEN.of_product("S2L1C")] == ["S2L1C_60m", "S2L1C_10m", "S2L1C_20m"]
    with pytest.raises(InputError, match="did you mean S2L2A"):
        COPGEN.resolve(["S2L2a"])


@pytest.mark.parametrize(("unasked", "rest"), [("joint", WANTED), ("marginal", ABSENT)])
def test_roles(unasked, rest):
    roles = COPGEN.roles(given=["DEM"], want=["S2L2A"], unasked=unasked)
    assert roles.dtype == np.int32
    expected = dict.fromkeys(COPGEN.names, rest) | {"DEM": GIVEN}
    expected |= dict.fromkeys(["S2L2A_60m", "S2L2A_10m", "S2L2A_20m"], WANTED)
    assert dict(zip(COPGEN.names, roles.tolist(), strict=True)) == expected


def test_what_is_not_asked_for_is_joint_by_default():
    assert (COPGEN.roles(["DEM"], ["LULC"]) != ABSENT).all()


@pytest.mark.parametrize(
    ("given", "want", "message"),
    [
        (["DEM"], ["DEM"], "DEM is both given and wanted"),
        (["S2L2A"], ["S2L2A_10m"], "S2L2A_10m is both"),
        (["DEM"], [], "nothing is wanted"),
        (["height"], ["DEM"], "unknown product or modality 'height'"),
    ],
)
def test_impossible_roles_are_refused(given, want, message):
    with pytest.raises(InputError, match=message):
        COPGEN.roles(given, want)


def test_duplicate_names_and_odd_sizes_are_refused():
    dem = COPGEN["DEM"]
    with pytest.raises(InputError, match="two modalities have the name DEM"):
        ModalitySet((dem, dem))
    with pytest.raises(InputError, match="does not divide into tokens"):
        dataclasses.replace(dem, pixels=72)
    with pytest.raises(InputError, match="did you mean DEM"):
        COPGEN["DEMM"]


@pytest.mark.parametrize(
    "modalities", [DEMO, TINY, BETA, COPGEN.subset(["S1RTC"])], ids=["demo", "tiny", "beta", "one"]
)
def test_other_sets_need_no_change_of_a_network(modalities):
    backbone = Backbone(modalities=modalities, width=32, depth=2, heads=2)
    latents = {m.name: jnp.zeros((1, *m.latent_shape)) for m in modalities}
    times = {name: jnp.zeros((1,)) for name in modalities.names}
    out, _ = jax.eval_shape(backbone.init_with_output, jax.random.key(0), latents, times)
    assert {k: v.shape for k, v in out.items()} == {k: v.shape for k, v in latents.items()}
    for modality in modalities.images:
        vae = Autoencoder(channels=modality.channels, latent_channels=modality.latent_channels)
        image = jnp.zeros((1, *modality.image_shape))
        moments = jax.eval_shape(
            lambda key, x, vae=vae: vae.init_with_output(key, x, method="encode")[0], jax.random.key(0), image
        )
        assert moments.shape == (1, *modality.latent_shape[:2], 2 * modality.latent_channels)
