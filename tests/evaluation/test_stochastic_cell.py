"""The stochastic benchmark of a cell: columns, what drops out, speed, what is said about bad images."""

import time

import numpy as np
import pytest

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.embeddings import DeepFeatures
from copgen_jax.evaluation.metrics.stochastic import faults, score_cell, summarise


def images(n: int, *, side: int = 16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.2 + 0.05 * rng.standard_normal((n, 12, 1, 1)) + 0.01 * rng.standard_normal((n, 12, side, side))).astype(
        np.float32
    )


def test_columns():
    deep = DeepFeatures(resnet=lambda x: x.mean(axis=(1, 2)), lpips=lambda a, b: np.abs(a - b).mean(axis=(1, 2, 3)))
    cell = score_cell("a", images(6), {"one": images(5, seed=1), "two": images(4, seed=2)}, deep=deep)
    assert cell.problems == ()
    assert len(cell.record) == 1 + 3 + 2 * (1 + 3 + 6 + 5)
    assert cell.record["one_n"] == 5
    assert not np.isnan(list(cell.record.values())).any()
    without = score_cell("a", images(6), {"one": images(5, seed=1)})
    assert not any("rgb" in column or "lpips" in column for column in without.record)
    assert len(DeepFeatures().missing) == 2
    assert all("left out" in reason for reason in DeepFeatures().missing)


def test_acquisitions_without_data_drop_out_and_generated_images_do_not():
    real, fake = images(4), images(3, seed=1)
    real[0, 1, :3] = 0
    fake[:, 1] = 0
    cell = score_cell("a", real, {"m": fake})
    assert cell.record["real_n"] == 3
    assert cell.record["m_n"] == 3
    assert "1 of 4 acquisitions dropped" in cell.problems[0]
    real[:3, 1] = 0
    dropped = score_cell("a", real, {"m": fake})
    assert dropped.record is None
    assert "two are needed" in dropped.problems[-1]


def test_one_image_of_a_model_gives_its_count_only():
    cell = score_cell("a", images(4), {"m": images(1, seed=1)})
    assert {c for c in cell.record if c.startswith("m_")} == {"m_n"}
    assert "only the count" in cell.problems[0]


def test_bad_images_are_stated():
    fake = images(5, seed=1)
    fake[0, 3, 2, 2] = np.nan
    fake[1] = 0.3
    fake[3] = fake[2]
    cell = score_cell("a", images(4), {"m": fake})
    said = " ".join(cell.problems)
    assert "1 of 5 images have NaN" in said
    assert "1 of 5 images are constant" in said
    assert "1 of 5 images are exact copies" in said
    assert np.isnan(cell.record["m_spec_nn_accuracy"])
    assert np.isnan(cell.record["m_wasserstein_mean"]), "a band's NaN is not averaged away"
    assert faults("m", images(5)) == []


def test_other_bands_or_pixels_are_refused():
    with pytest.raises(InputError, match="cell a, m: images of shape"):
        score_cell("a", images(4), {"m": images(4)[:, :11]})
    with pytest.raises(InputError, match="must show the same window"):
        score_cell("a", images(4), {"m": images(4, side=8)})


def test_summary_counts_what_is_missing():
    summary = summarise([{"x": 1.0, "y": 2.0}, {"x": 3.0}, {"x": float("nan"), "y": 2.0}])
    assert (summary["x"].mean, summary["x"].cells, summary["x"].missing) == (2.0, 2, 1)
    assert summary["x"].std == pytest.approx(np.sqrt(2))
    assert (summary["y"].cells, summary["y"].missing) == (2, 1)


def test_a_cell_of_the_benchmark_takes_under_a_second():
    real, fake = images(16, side=192), images(16, side=192, seed=1)
    score_cell("warm", real[:2, :, :8, :8], {"m": fake[:2, :, :8, :8]})
    start = time.process_time()
    score_cell("a", real, {"m": fake})
    assert time.process_time() - start < 1.0
