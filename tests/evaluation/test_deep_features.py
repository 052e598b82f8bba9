"""The deep columns of a cell, from weights to numbers."""

import numpy as np
import pytest
from feature_weights import images, weights

from copgen_jax.evaluation.metrics.embeddings import deep_features, pairs, resize
from copgen_jax.evaluation.metrics.stochastic import score_cell
from copgen_jax.nn.perceptual import ALEXNET, lpips_names, lpips_params
from copgen_jax.nn.resnet import resnet50_names, resnet50_params


def test_deep_columns_appear_with_weights():
    deep = deep_features(
        resnet=resnet50_params(weights(resnet50_names(), 0)),
        lpips_alexnet=lpips_params(ALEXNET, weights(lpips_names(ALEXNET), 0)),
    )
    assert deep.missing == ()
    real, fake = (0.5 + 0.4 * images(name, (2, 12, 40, 40), 0) for name in ("real", "fake"))
    record = score_cell("a", real, {"m": fake}, deep=deep).record
    for column in ("m_rgb_nn_accuracy", "m_rgb_intra_set_dist", "real_lpips_intra_set", "m_lpips_intra_set"):
        assert np.isfinite(record[column])
    assert record["m_lpips_intra_set"] > 0
    copies = score_cell("a", real, {"m": real[:1].repeat(2, axis=0)}, deep=deep).record
    assert copies["m_lpips_intra_set"] == pytest.approx(0, abs=1e-6)
    assert copies["m_rgb_intra_set_dist"] == pytest.approx(0, abs=1e-3)


def test_lpips_alone_leaves_the_embedding_out():
    deep = deep_features(lpips_alexnet=lpips_params(ALEXNET, weights(lpips_names(ALEXNET), 0)))
    assert len(deep.missing) == 1
    assert "ResNet-50" in deep.missing[0]


def test_resize_keeps_constants_and_ramps():
    ramp = np.arange(12, dtype=np.float64)[None].repeat(12, axis=0)
    np.testing.assert_allclose(resize(ramp, 24)[0], np.clip((np.arange(24) + 0.5) / 2 - 0.5, 0, 11))
    np.testing.assert_array_equal(resize(np.full((3, 8, 8), 2.0), 5), 2.0)
    np.testing.assert_array_equal(resize(ramp, 12), ramp)


def test_pairs_of_large_sets_are_drawn_once_for_all():
    assert pairs(3) == [(0, 1), (0, 2), (1, 2)]
    assert len(pairs(32)) == 496
    drawn = pairs(33)
    assert len(set(drawn)) == 500
    assert drawn == pairs(33)
