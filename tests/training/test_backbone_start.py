"""Parameters that know places: near tokens are alike, one head attends to them, the rest is as published."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilation import QUICK_COMPILATION

from copgen_jax.modalities import DEMO
from copgen_jax.nn.backbone import Backbone
from copgen_jax.training.backbone_start import place_embedding, placed_start
from copgen_jax.training.initialise import fresh_params

MODALITIES = DEMO.subset(["location", "DEM", "LULC", "S2L2A_20m", "S2L2A_10m"])
BACKBONE = Backbone(modalities=MODALITIES, width=96, depth=2, heads=3)


@pytest.fixture(scope="module")
def params():
    def both(key):
        published = fresh_params(BACKBONE, key)
        return published, placed_start(BACKBONE, published, jax.random.fold_in(key, 1))

    return jax.jit(both, compiler_options=QUICK_COMPILATION)(jax.random.key(0))


def tokens():
    """(modality, row, column) of every image token in sides of the patch, and where they are in the sequence."""
    found, start = [], len(MODALITIES)
    for modality in MODALITIES:
        side = round(modality.tokens**0.5)
        if modality.is_image:
            places = [divmod(i, side) for i in range(modality.tokens)]
            found += [(start + i, (r + 0.5) / side, (c + 0.5) / side) for i, (r, c) in enumerate(places)]
        start += modality.tokens
    sequence, rows, columns = np.array(found).T
    return sequence.astype(int), np.hypot(rows[:, None] - rows, columns[:, None] - columns)


def test_tokens_of_one_place_are_alike_in_all_modalities_and_far_ones_are_not():
    sequence, distance = tokens()
    embedding = place_embedding(MODALITIES, 96)
    likeness = embedding[sequence] @ embedding[sequence].T / 24
    np.testing.assert_allclose(likeness[distance < 1e-6], 1, atol=1e-5)
    means = [likeness[(distance > a) & (distance <= a + 0.15)].mean() for a in (0.0, 0.15, 0.3)]
    assert 1 > means[0] > means[1] > means[2]
    elsewhere = np.setdiff1d(np.arange(len(embedding)), sequence)
    assert not embedding[elsewhere].any()


def test_a_head_of_every_block_attends_by_place(params):
    _, placed = params
    sequence, distance = tokens()
    x = placed["position_embedding"][sequence]
    blocks = [placed[name]["qkv"]["kernel"] for name in ("in_blocks", "mid_block", "out_blocks")]
    for kernel in (kernel.reshape(96, 3, 3, 32) for kernel in blocks):
        logits = (x @ kernel[:, 0, 0]) @ (x @ kernel[:, 1, 0]).T / 32**0.5
        weights = np.asarray(jax.nn.softmax(logits, axis=-1))
        near = distance <= 0.2
        assert (weights * near).sum(1).mean() > 2 * near.mean()


def test_everything_else_is_as_published(params):
    published, placed = params
    changed = {
        jax.tree_util.keystr(path)
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(published), jax.tree.leaves(placed), strict=True)
        if not jnp.allclose(a, b, rtol=1e-5, atol=1e-8)
    }
    words = ("position_embedding", "embed_", "qkv")
    assert all(any(word in name for word in words) for name in changed)
    for name in ("in_blocks", "mid_block", "out_blocks"):
        a, b = (np.asarray(p[name]["qkv"]["kernel"]).reshape(-1, 96, 3, 3, 32) for p in params)
        np.testing.assert_allclose(a[:, :, :, 1:], b[:, :, :, 1:], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(a[:, :, 2], b[:, :, 2], rtol=1e-5, atol=1e-8)
