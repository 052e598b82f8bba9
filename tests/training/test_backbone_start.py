"""Parameters that know places: heads attend to the same place and to the own time, and carry content from there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilation import QUICK_COMPILATION

from copgen_jax.errors import InputError
from copgen_jax.modalities import DEMO
from copgen_jax.nn.backbone import Backbone, time_embedding
from copgen_jax.training.backbone_start import layout_of, marks, placed_start
from copgen_jax.training.initialise import fresh_params, token_rows

MODALITIES = DEMO.subset(["location", "DEM", "LULC", "S2L2A_20m", "S2L2A_10m"])
WIDTH, HEADS = 96, 3
BACKBONE = Backbone(modalities=MODALITIES, width=WIDTH, depth=2, heads=HEADS)
LAYOUT = layout_of(BACKBONE)
BLOCKS = ("in_blocks", "mid_block", "out_blocks")


@pytest.fixture(scope="module")
def params():
    def both(key):
        published = fresh_params(BACKBONE, key)
        return published, placed_start(BACKBONE, published, jax.random.fold_in(key, 1))

    return jax.jit(both, compiler_options=QUICK_COMPILATION)(jax.random.key(0))


def tokens():
    """Where every image token is in the sequence, and the distances between them in sides of the patch."""
    found, start = [], len(MODALITIES)
    for modality in MODALITIES:
        side = round(modality.tokens**0.5)
        if modality.is_image:
            places = [divmod(i, side) for i in range(modality.tokens)]
            found += [(start + i, (r + 0.5) / side, (c + 0.5) / side) for i, (r, c) in enumerate(places)]
        start += modality.tokens
    sequence, rows, columns = np.array(found).T
    return sequence.astype(int), np.hypot(rows[:, None] - rows, columns[:, None] - columns)


def weights(params, block, head, x):
    """To which tokens a head attends, (tokens, tokens). All blocks but the first are given normalised ones."""
    if block != "in_blocks":
        x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    kernel = np.asarray(params[block]["qkv"]["kernel"]).reshape(WIDTH, 3, HEADS, WIDTH // HEADS)
    return np.asarray(jax.nn.softmax((x @ kernel[:, 0, head]) @ (x @ kernel[:, 1, head]).T / (WIDTH / HEADS) ** 0.5))


def test_tokens_of_one_place_are_alike_in_all_modalities_and_far_ones_are_not():
    sequence, distance = tokens()
    places = marks(MODALITIES, LAYOUT)[:, LAYOUT.place]
    likeness = places[sequence] @ places[sequence].T / (places.shape[1] / 2)
    np.testing.assert_allclose(likeness[distance < 1e-6], 1, atol=1e-5)
    means = [likeness[(distance > a) & (distance <= a + 0.15)].mean() for a in (0.0, 0.15, 0.3)]
    assert 1 > means[0] > means[1] > means[2]
    elsewhere = np.setdiff1d(np.arange(len(places)), sequence)
    assert not places[elsewhere].any()


@pytest.mark.parametrize("block", BLOCKS)
def test_the_first_head_attends_to_the_same_place(params, block):
    sequence, distance = tokens()
    x = np.asarray(params[1]["position_embedding"])[sequence]
    near = distance < 0.12
    assert near.mean() < 0.06
    assert (weights(params[1], block, 0, x) * near).sum(1).mean() > 0.4
    assert (weights(params[0], block, 0, x) * near).sum(1).mean() < 0.2


@pytest.mark.parametrize("block", BLOCKS)
def test_the_first_head_attends_to_clean_tokens_before_noisy_ones(params, block):
    """Three modalities have the same grid of places; the one without noise gets nearly all the weight of a place."""
    rows = token_rows(MODALITIES)
    x = np.array(params[1]["position_embedding"])
    x[rows["S2L2A_10m"] + rows["DEM"] + rows["S2L2A_20m"], LAYOUT.noise] = 1.0
    found = weights(params[1], block, 0, x)[rows["S2L2A_10m"][1:]]
    np.testing.assert_array_equal(found[:, rows["LULC"][1:]].argmax(1), np.arange(36))
    assert found[:, rows["LULC"][1:]].sum(1).mean() > 0.9
    assert found[:, rows["S2L2A_10m"][1:]].sum(1).mean() < 0.05


def test_the_last_head_of_in_blocks_attends_to_the_own_time(params):
    x = np.array(params[1]["position_embedding"])
    x[: len(MODALITIES)] += time_embedding(jnp.array([0.0, 300.0, 0.0, 1000.0, 700.0]), WIDTH)
    found = weights(params[1], "in_blocks", HEADS - 1, x)
    for rows in token_rows(MODALITIES).values():
        assert found[rows[1:], rows[0]].mean() > 0.75


def test_the_last_head_leads_how_noisy_a_token_is_to_one_feature(params):
    """Of the sinusoids of times it takes one that grows from 0 to 1."""
    head = WIDTH // HEADS
    values = np.asarray(params[1]["in_blocks"]["qkv"]["kernel"]).reshape(WIDTH, 3, HEADS, head)[:, 2, -1]
    back = np.asarray(params[1]["in_blocks"]["proj"]["kernel"]).reshape(HEADS, head, WIDTH)[-1]
    times = jnp.array([0.0, 250.0, 500.0, 750.0, 1000.0])
    led = np.asarray(time_embedding(times, WIDTH)) @ values @ back[:, LAYOUT.noise]
    assert led[0] == pytest.approx(0, abs=1e-6)
    assert led[-1] == pytest.approx(1, abs=0.05)
    assert (np.diff(led[:, 0]) > 0).all()


def test_the_first_head_leads_own_content_to_what_lies_here(params):
    """Values and projection together lead each feature of the one to its feature of the other, and nothing else."""
    head = WIDTH // HEADS
    own, here = (np.arange(WIDTH)[part] for part in (LAYOUT.own, LAYOUT.here))
    assert len(own) == len(here) > WIDTH // 5
    expected = np.zeros((WIDTH, WIDTH))
    expected[own, here] = 1.0
    for block in BLOCKS:
        values = np.asarray(params[1][block]["qkv"]["kernel"]).reshape(WIDTH, 3, WIDTH)[:, 2, :head]
        through = values @ np.asarray(params[1][block]["proj"]["kernel"]).reshape(WIDTH, WIDTH)[:head]
        np.testing.assert_allclose(through, expected, atol=1e-5)


def test_tokens_begin_with_own_content_alone(params):
    for modality in MODALITIES:
        kernel = np.asarray(params[1][f"embed_{modality.name}"]["kernel"])
        written = kernel.any(0)
        assert written[LAYOUT.own].all()
        assert written.sum() == len(np.arange(WIDTH)[LAYOUT.own])


def test_everything_else_is_as_published(params):
    published, placed = params
    changed = {
        jax.tree_util.keystr(path)
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(published), jax.tree.leaves(placed), strict=True)
        if not jnp.allclose(a, b, rtol=1e-5, atol=1e-8)
    }
    words = ("position_embedding", "embed_", "qkv", "proj")
    assert changed
    assert all(any(word in name for word in words) for name in changed)


def test_a_backbone_that_is_too_narrow_is_refused():
    with pytest.raises(InputError, match="width of 12 is too small to mark 5 modalities"):
        layout_of(Backbone(modalities=MODALITIES, width=12, depth=2, heads=2))
