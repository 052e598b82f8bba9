"""Calibration per band and class: sums against direct scores; ideal, narrow, wide and biased models told apart."""

import time

import numpy as np
import pytest

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics import ensemble
from copgen_jax.evaluation.metrics.calibration import ALL, Scores, calibrate_cell
from copgen_jax.evaluation.metrics.ranks import rank_histogram

BANDS = ("B02", "B08")


def draws(n: int, rng: np.random.Generator, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return 0.3 + shift + scale * 0.05 * rng.standard_normal((n, 2, 12, 12))


def test_parts_are_the_scores_of_their_pixels():
    rng = np.random.default_rng(0)
    members, truths = draws(5, rng), draws(3, rng)
    classes = np.repeat([1, 2], [5, 7])[:, None].repeat(12, axis=1)
    cell = calibrate_cell(members, truths, BANDS, rng, classes=classes)
    assert set(cell.scores) == {(band, code) for band in BANDS for code in (ALL, 1, 2)}
    for c, band in enumerate(BANDS):
        part = cell.scores[band, 2].means()
        wanted = np.mean([ensemble.fair_crps(members, truth)[c, 5:].mean() for truth in truths])
        assert part["fair_crps"] == pytest.approx(wanted)
        assert part["fair_crps_ideal"] == pytest.approx(ensemble.ideal_crps(truths)[c, 5:].mean())
        assert part["bias"] == pytest.approx(members[:, c, 5:].mean() - truths[:, c, 5:].mean())
        one = ensemble.spread_skill(np.tile(members[:, c, 5:], (1, 3, 1)), truths[:, c, 5:].reshape(-1, 12))
        assert part["spread_skill"] == pytest.approx(one.ratio)
        together = cell.scores[band, 1] + cell.scores[band, 2]
        assert together.means() == pytest.approx(cell.scores[band, ALL].means())
        assert cell.ranks[band].shape == (3, 9)


def test_models_are_told_apart():
    rng = np.random.default_rng(1)
    found = {}
    for name, how in {"ideal": {}, "narrow": {"scale": 0.5}, "wide": {"scale": 3}, "biased": {"shift": 0.1}}.items():
        total, energies, ideals, positions = Scores(), [], [], []
        for _ in range(40):
            cell = calibrate_cell(draws(8, rng, **how), draws(4, rng), BANDS, rng)
            total += cell.scores["B08", ALL]
            energies.append(cell.energy)
            ideals.append(cell.energy_ideal)
            positions.append(cell.ranks["B08"])
        found[name] = total.means() | {"energy": np.mean(energies) / np.mean(ideals)}
        found[name] |= {"width": rank_histogram(positions, 8).width}
    ideal = found["ideal"]
    assert ideal["spread_skill"] == pytest.approx(1, abs=0.02)
    assert ideal["fair_crps"] == pytest.approx(ideal["fair_crps_ideal"], rel=0.02)
    assert ideal["energy"] == pytest.approx(1, abs=0.05)
    assert abs(ideal["bias"]) < 0.001
    assert ideal["width"] == pytest.approx(1, abs=0.1)
    assert found["narrow"]["spread_skill"] < 0.6 < 1.3 < found["narrow"]["width"]
    assert found["wide"]["spread_skill"] > 2.0
    assert found["wide"]["width"] < 0.6
    assert found["biased"]["bias"] == pytest.approx(0.1, abs=0.002)
    for name in ("narrow", "wide", "biased"):
        assert found[name]["fair_crps"] > 1.05 * ideal["fair_crps_ideal"]
        assert found[name]["energy"] > 1.05


def test_pixels_with_nan_are_counted_and_single_truths_have_no_ideal():
    rng = np.random.default_rng(2)
    members, truths = draws(4, rng), draws(1, rng)
    members[1, 0, 0, :3] = np.nan
    cell = calibrate_cell(members, truths, BANDS, np.random.default_rng(10), per_side=1)
    scores = cell.scores["B02", ALL]
    assert (scores.ignored, scores.pixels) == (3, 141)
    assert np.isfinite(scores.means()["fair_crps"])
    assert np.isnan(scores.means()["fair_crps_ideal"])
    assert np.isnan(cell.energy_ideal)
    assert all(np.isnan(value) for value in Scores().means().values())


def test_what_does_not_match_is_refused():
    rng = np.random.default_rng(3)
    members, truths = draws(4, rng), draws(2, rng)
    with pytest.raises(InputError, match="do not match 3 bands"):
        calibrate_cell(members, truths, ("B02", "B03", "B04"), rng)
    with pytest.raises(InputError, match="got 1 and 2"):
        calibrate_cell(members[:1], truths, BANDS, rng)
    with pytest.raises(InputError, match="one grid"):
        calibrate_cell(members, truths, BANDS, rng, classes=np.zeros((6, 6), int))


@pytest.mark.slow
def test_a_full_cell_takes_seconds():
    rng = np.random.default_rng(4)
    members, truths = rng.standard_normal((2, 16, 12, 192, 192)).astype(np.float32)
    start = time.process_time()
    calibrate_cell(members, truths, [str(i) for i in range(12)], rng, classes=np.zeros((192, 192), int))
    assert time.process_time() - start < 20
