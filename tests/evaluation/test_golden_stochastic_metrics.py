"""The stochastic benchmark's metrics against vectors of the original code."""

import math

import numpy as np
import pytest
from golden_vectors import ROOT, load_json, present

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics import distribution, embeddings, footprint
from copgen_jax.evaluation.metrics.stochastic import summarise

FOLDER = "metrics/stochastic"
EXPECTED = load_json(f"{FOLDER}/expected.json") if present(f"{FOLDER}/expected.json") else {"cells": {}, "edge": {}}
_EDGE_NAMES = {n for n, case in EXPECTED["edge"].items() if "nn_accuracy" in case}
LPIPS = EXPECTED.get("lpips_standin_pairs") or EXPECTED["edge"].get("lpips_standin_pairs", {})
AGGREGATE = EXPECTED.get("aggregate") or EXPECTED["edge"].get("aggregate")
PLACES = load_json(f"{FOLDER}/footprint_seeds.json") if present(f"{FOLDER}/footprint_seeds.json") else {}
PREPROCESS = present(f"{FOLDER}/preprocess.npz")


def arrays(file: str, case: str) -> dict[str, np.ndarray]:
    with np.load(ROOT / FOLDER / file) as stored:
        return {name.split("|")[1]: stored[name] for name in stored.files if name.startswith(f"{case}|")}


def number(value) -> float:
    return math.nan if value is None else value


def check(expected: dict, real: np.ndarray, fake: np.ndarray, stored: dict[str, np.ndarray]) -> None:
    assert distribution.nn_accuracy(real, fake) == pytest.approx(number(expected["nn_accuracy"]), abs=0, nan_ok=True)
    for k, pair in expected["precision_recall"].items():
        np.testing.assert_array_equal(distribution.precision_recall(real, fake, int(k)), [number(v) for v in pair])
    for which, vectors in (("real", real), ("fake", fake)):
        wanted = number(expected[f"intra_set_{which}"])
        assert distribution.intra_set(vectors) == pytest.approx(wanted, rel=1e-6, nan_ok=True)
    for name, wanted in expected.items():
        if name.startswith("mmd2"):
            sigma = float(name.removeprefix("mmd2_sigma_")) if name != "mmd2" else None
            assert distribution.mmd2(real, fake, sigma) == pytest.approx(number(wanted), abs=1e-6, nan_ok=True)
    if "sigma_median_heuristic" in expected:
        sigma = distribution.median_bandwidth(real, fake)
        assert sigma == pytest.approx(expected["sigma_median_heuristic"], rel=1e-6)

    moved = expected.get("wasserstein", stored.get("wasserstein"))
    if isinstance(moved, str):
        with pytest.raises(InputError, match="not empty"):
            distribution.wasserstein(real, fake)
    else:
        np.testing.assert_allclose(distribution.wasserstein(real, fake), moved, rtol=1e-5, atol=1e-6)
    covered = expected.get("coverage", stored.get("coverage"))
    covered = [number(v) for v in covered]
    np.testing.assert_allclose(distribution.coverage(real, fake), covered, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", sorted(_EDGE_NAMES))
def test_edge_cases(case):
    stored = arrays("edge.npz", case)
    check(EXPECTED["edge"][case], stored["real"], stored["fake"], stored)


@pytest.mark.parametrize("case", sorted(EXPECTED["cells"]))
def test_cells(case):
    stored, expected = arrays("cells.npz", case), EXPECTED["cells"][case]
    pooled = {}
    for which in ("real", "fake"):
        images = stored[f"{which}_dn"].astype(np.float32) / 10_000
        pooled[which] = distribution.pool_spectra(images)
        assert pooled[which].dtype == np.float32
        np.testing.assert_allclose(pooled[which], stored[f"pool_{which}"], rtol=1e-5, atol=1e-6)
        assert len(images) == expected[f"n_{which}"]
    real, fake = pooled["real"], pooled["fake"]
    check(expected, real, fake, stored)
    moved = distribution.wasserstein(real, fake)
    for name, value in (("mean", moved.mean()), ("b04", moved[3]), ("b08", moved[7])):
        assert value == pytest.approx(expected[f"wasserstein_{name}"], rel=1e-5)
    assert np.nanmean(distribution.coverage(real, fake)) == pytest.approx(expected["coverage_mean"], rel=1e-5)


@pytest.mark.parametrize("name", sorted(LPIPS))
def test_pairs_of_the_perceptual_distance(name):
    with np.load(ROOT / FOLDER / "lpips_standin.npz") as stored:
        images = stored["imgs"][: int(name.removeprefix("n").split("_")[0])]
    prepared = embeddings.lpips_input(embeddings.rgb(images))
    standin = embeddings.intra_set_pairs(prepared, lambda a, b: np.abs(a - b).mean(axis=(1, 2, 3), dtype=np.float64))
    assert standin == pytest.approx(number(LPIPS[name]), rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("aggregate", [AGGREGATE] if AGGREGATE else [])
def test_summary_over_cells(aggregate):
    cells = [dict(cell) for cell in EXPECTED["cells"].values()]
    cells[0]["coverage_mean"] = math.nan
    columns = aggregate["mean"]
    summary = summarise([{c: cell[c] for c in columns} for cell in cells])
    for column in columns:
        got = summary[column]
        assert got.mean == pytest.approx(aggregate["mean"][column], rel=1e-9)
        assert got.std == pytest.approx(aggregate["std"][column], rel=1e-9)
        assert got.cells == aggregate["n"][column]
        assert got.cells + got.missing == len(cells)


@pytest.mark.parametrize("path", PREPROCESS)
def test_preprocessing(path):
    with np.load(ROOT / path) as stored:
        np.testing.assert_allclose(
            distribution.pool_spectra(stored["pool_in"]), stored["pool_out"], rtol=1e-5, atol=1e-6
        )
        colour = embeddings.rgb(stored["rgb_in"])
        np.testing.assert_allclose(colour, stored["rgb_out"], atol=1e-5)
        prepared = embeddings.resnet_input(colour).transpose(0, 3, 1, 2)
        assert prepared.shape[2:] == (224, 224)
        np.testing.assert_allclose(prepared[..., ::7, ::7], stored["resnet_in_stride7"], atol=1e-5)
        np.testing.assert_allclose(embeddings.lpips_input(colour).transpose(0, 3, 1, 2), stored["lpips_in"], atol=1e-5)


def tile(corner: dict, side: int = 1068) -> footprint.Tile:
    return footprint.Tile(left=corner["ul_x"], top=corner["ul_y"], crs=corner["crs"], side=corner.get("side_px", side))


@pytest.mark.parametrize("case", PLACES.get("footprint", ()), ids=lambda case: case["cell"])
def test_footprint(case):
    window = footprint.window_of(tile(case["grid"]), tile(case["tile"]))
    assert list(window.first_in_tile) == case["first_pixel_row_col_in_tile"]
    assert list(window.first_valid) == case["first_valid_in_window"]
    assert window.valid_pixels == case["valid_pixels"]
    ramp = 1 + np.arange(window.side**2, dtype=np.float64).reshape(1, window.side, window.side)
    cut = window.cut(ramp)[0]
    assert np.count_nonzero(cut) == case["valid_pixels"]
    (y, x), (row, column) = window.first_valid, window.first_in_tile
    assert cut[y, x] == ramp[0, row, column]


@pytest.mark.parametrize("case", PLACES.get("select", ()), ids=lambda case: f"{case['cell']}-{len(case['pool'])}")
def test_seeds(case):
    assert list(footprint.select_seeds(case["cell"], case["pool"], case["n"])) == case["selected"]


@pytest.mark.parametrize("stored", [PLACES["stored"]] if "stored" in PLACES else [])
def test_the_published_selection(stored):
    for cell, seeds in stored.items():
        assert list(footprint.select_seeds(cell, range(33), len(seeds))) == seeds
    assert PLACES["version"] == footprint.RULE
