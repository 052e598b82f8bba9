"""Errors against the truth: vectors of the original's evaluators."""

import json
import math

import numpy as np
import pytest
from golden_vectors import ROOT, load_json, present

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics import (
    places_dates,
    profiles,
    regression,
    runs,
    segmentation,
    stacked,
    tables,
)

FOLDER = "metrics/evaluation"
PUBLISHED_K = "_implementation_dependent"


def expected(name: str) -> dict:
    return load_json(f"{FOLDER}/{name}.json") if present(f"{FOLDER}/{name}.json") else {}


def arrays(name: str, case: str) -> dict[str, np.ndarray]:
    with np.load(ROOT / FOLDER / f"{name}.npz") as stored:
        return {key.split("|", 1)[1]: stored[key] for key in stored.files if key.startswith(f"{case}|")}


def number(value) -> float:
    return float(value) if isinstance(value, str) else value


def close(got: float, wanted, *, rel: float = 1e-4, absolute: float = 0.0) -> None:
    assert got == pytest.approx(number(wanted), rel=rel, abs=absolute, nan_ok=True)


def check_regression(got: dict, wanted: dict, *, flat_truth: bool = False) -> None:
    loose = 1e-2 if flat_truth else 0.0
    tolerance = {"mae": 0.0, "rmse": 0.0, "ssim": max(2e-4, loose), "psnr": max(2e-3, loose)}
    for metric, absolute in tolerance.items():
        close(got[metric], wanted[metric], absolute=absolute)
    assert set(got["per_band"]) == set(wanted["per_band"])
    for band, metrics in wanted["per_band"].items():
        for metric, absolute in tolerance.items():
            close(got["per_band"][band][metric], metrics[metric], absolute=absolute)


@pytest.mark.parametrize("case", expected("image_regression"))
def test_image_regression(case):
    wanted, images = expected("image_regression")[case], arrays("image_regression", case)

    def score():
        pooled = regression.Pooled()
        count = sum(name.startswith("pred") for name in images)
        names = [None] * count if isinstance(wanted, str) else wanted["band_names"] or [None] * count
        for i in range(count):
            pooled += regression.image_errors(images[f"pred{i}"], images[f"target{i}"], names[i])
        return pooled

    if isinstance(wanted, str):
        with pytest.raises(InputError, match="too small for SSIM"):
            score()
        return
    flat = any(image.min() == image.max() for name, image in images.items() if name.startswith("target"))
    pooled = score()
    check_regression(pooled.scores(), wanted["result"], flat_truth=flat)
    broken = any(np.isnan(image).any() for image in images.values())
    assert any("NaN" in fault for fault in pooled.faults) == broken
    assert any("constant" in fault for fault in pooled.faults) == flat


def check_segmentation(got: dict, wanted: dict) -> None:
    for metric, value in wanted.items():
        if not metric.endswith(PUBLISHED_K):
            np.testing.assert_allclose(got[metric], value, atol=1e-5, err_msg=metric)


@pytest.mark.parametrize("case", expected("segmentation"))
def test_segmentation(case):
    wanted, images = expected("segmentation")[case], arrays("segmentation", case)
    total = segmentation.empty(wanted["num_classes"], wanted["topk"])
    for i in range(wanted["n_updates"]):
        total += segmentation.confusion(
            images[f"logits{i}"], images[f"labels{i}"], k=wanted["topk"], ignore=wanted["ignore_index"]
        )
    np.testing.assert_array_equal(total.matrix, wanted["confusion"])
    check_segmentation(total.scores(published=True), wanted["result"])
    assert total.scores()["overall_top1"] == pytest.approx(np.trace(total.matrix) / max(total.matrix.sum(), 1))


SCALARS = expected("scalars")


@pytest.mark.parametrize("case", [c for c in SCALARS if "pred_lat_lon_true_lat_lon" in SCALARS[c]])
def test_places(case):
    wanted = SCALARS[case]
    pairs = np.asarray(wanted["pred_lat_lon_true_lat_lon"], np.float64).reshape(-1, 4)
    km = places_dates.great_circle_km(pairs[:, :2], pairs[:, 2:])
    np.testing.assert_allclose(km, wanted["km"], rtol=1e-4, atol=0.05)
    for metric, value in places_dates.place_scores(km).items():
        close(value, wanted["result"][metric], absolute=0.05 if metric.endswith("_km") else 0)
    assert set(wanted["result"]) == set(places_dates.place_scores(km))


@pytest.mark.parametrize("case", [c for c in SCALARS if "pred_dmy_true_dmy" in SCALARS[c]])
def test_dates(case):
    wanted = SCALARS[case]
    pairs = wanted["pred_dmy_true_dmy"]
    predicted, truth = [tuple(p[:3]) for p in pairs], [tuple(p[3:]) for p in pairs]
    if isinstance(wanted["result"], str):
        with pytest.raises(InputError, match="not a date"):
            places_dates.date_scores(predicted, truth)
        return
    got = places_dates.date_scores(predicted, truth)
    assert set(got) == set(wanted["result"])
    for metric, value in got.items():
        close(value, wanted["result"][metric])


RUN = expected("run")


def scored_run() -> list[tuple[str, str, runs.Scored]]:
    with np.load(ROOT / FOLDER / "run.npz") as stored:
        rasters = {tuple(name.split("|")): stored[name] for name in stored.files}
    parts = sorted({(base, tile) for tile, base, _, _ in rasters})
    out = []
    for base, tile in parts:
        ours, true = (
            {band: raster for (t, b, band, who), raster in rasters.items() if (t, b, who) == (tile, base, which)}
            for which in ("pred", "truth")
        )
        out.append((tile, base, runs.score_tile(tile, base, ours, true)))
    return out


def summary_of(scored) -> dict[str, dict]:
    total: dict[str, runs.Scored] = {}
    for _, modality, one in scored:
        total[modality] = total[modality] + one if modality in total else one
    return {modality: one.scores() for modality, one in total.items()}


@pytest.mark.parametrize("run", [RUN] if RUN else [])
def test_summary_of_a_run(run):
    summary = summary_of(scored_run())
    places = places_dates.great_circle_km(np.array(run["pred_lat_lon"]), np.array(run["truth_lat_lon"]))
    truth = [tuple(int(part) for part in reversed(text.split("-"))) for text in run["truth_ymd"]]
    summary["lat_lon"] = places_dates.place_scores(places)
    summary["timestamps"] = places_dates.date_scores([tuple(d) for d in run["pred_dmy"]], truth)
    assert set(summary) == set(run["summary"])
    for modality, wanted in run["summary"].items():
        if "psnr" in wanted:
            check_regression(summary[modality], wanted)
        elif "mean_iou" in wanted:
            check_segmentation(summary[modality], wanted)
        else:
            for metric, value in wanted.items():
                close(summary[modality][metric], value, absolute=0.05 if metric.endswith("_km") else 0)
    check_lines(runs.report_lines({m: summary[m] for m in run["summary"]}), run["text_lines"])


def check_lines(ours: list[str], published: list[str]) -> None:
    """Equal but for the last decimals and the arbitrary top-3 of hard labels."""
    parsed = tables.parse_report(published)
    assert ours[0] == published[0]
    for ours_line, line in zip(ours[1:], published[1:], strict=True):
        names = [word.split("=")[0] for word in line.split() if "=" in word and "overall_top3" not in word]
        assert [word.split("=")[0] for word in ours_line.split() if "=" in word] == names
    for modality, metrics in tables.parse_report(ours).items():
        for metric, value in metrics.items():
            assert value == pytest.approx(parsed[modality][metric], rel=1e-4, abs=1.1e-2 if "psnr" in metric else 3e-4)


@pytest.mark.parametrize("run", [RUN] if RUN else [])
def test_rows_of_a_run(run):
    wanted = {(row["tile_id"], row["modality"]): row for row in run["per_tile_rows"]}
    scored = scored_run()
    rows = runs.per_tile_rows(scored, published=True)
    images = {key for key, row in wanted.items() if "psnr" in row or "mean_iou" in row}
    assert {(row["tile_id"], row["modality"]) for row in rows} == images
    for row in rows:
        for metric, text in wanted[row["tile_id"], row["modality"]].items():
            if metric in ("tile_id", "modality", "overall_top3"):
                continue
            value = json.loads(text)
            loose = {"ssim": 2e-4, "psnr": 2e-3}.get(metric.split(":")[-1], 1e-5)
            np.testing.assert_allclose(row[metric], value, rtol=1e-4, atol=loose, err_msg=f"{row}")
    assert len(runs.per_tile_rows(scored)) == len(scored), "by whole cell names nothing merges"


@pytest.mark.parametrize("case", expected("stacked"))
def test_stacked(case):
    wanted, images = expected("stacked")[case], arrays("stacked", case)
    got = stacked.stacked_errors(images["pred"], images["gt"])
    assert set(got) == set(wanted)
    for metric, value in got.items():
        close(value, wanted[metric])


@pytest.mark.parametrize("path", present(f"{FOLDER}/stacked.npz"))
def test_merged_samples(path):
    with np.load(ROOT / path) as stored:
        merged = stacked.merged_mean(stored["samples_continuous"])
        np.testing.assert_allclose(merged, stored["samples_continuous_mean"], rtol=1e-4)
        merged = stacked.merged_mode(stored["samples_categorical"])
        np.testing.assert_array_equal(merged, stored["samples_categorical_mode"])


TABLES = expected("tables")
SELECTIONS = {"leave_one_out": tables.leave_one_out, "best_of_n": tables.best_of_n}
STATISTICS = {
    "over_seeds": tables.over_seeds,
    "tile_mean_std": tables.tile_mean_std,
    "best_per_tile": tables.best_per_tile,
}


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("table", TABLES.get("expected", ()))
def test_tables(table, statistic):
    made = [
        tables.run_from_files(model=r["model"], directory=r["dir"], report=r["text"], rows=r["per_tile"])
        for r in TABLES["runs"]
    ]
    wanted = TABLES["expected"][table][statistic]
    got = STATISTICS[statistic](made, SELECTIONS[table])

    def key(record: dict):
        return tuple(record.get(k) for k in ("model", "target", "leave_out", "condition_key")) + tuple(
            record[f"input_{m}"] for m in tables.TARGETS
        )

    by_key = {key(record): record for record in got}
    assert len(by_key) == len(got) == len(wanted)
    for record in wanted:
        ours = by_key[key(record)]
        assert set(ours) == set(record)
        for column, value in record.items():
            if isinstance(value, str):
                assert ours[column] == value
            else:
                assert ours[column] == pytest.approx(value, rel=1e-9, abs=1e-15), column


SPECTRAL = expected("spectral")
PREDICTIONS = [name for name in SPECTRAL if name.startswith("best_")]


def spectral_arrays() -> dict[str, np.ndarray]:
    with np.load(ROOT / FOLDER / "spectral.npz") as stored:
        return {name: stored[name] for name in stored.files}


def central_classes(images: dict[str, np.ndarray]) -> np.ndarray:
    return stacked.centre_crop(images["lulc"], *images["truth"].shape[1:])


@pytest.mark.parametrize("code", SPECTRAL.get("interior_counts", ()))
def test_interior_and_central_pixel(code):
    images = spectral_arrays()
    classes = central_classes(images)
    inside = profiles.interior(classes, int(code))
    assert inside.sum() == SPECTRAL["interior_counts"][code]
    np.testing.assert_array_equal(np.packbits(inside), images[f"interior_{code}"])
    at = profiles.central_pixel(profiles.candidates(classes, int(code)))
    assert list(at) == SPECTRAL["central_pixel"][code]


@pytest.mark.parametrize("name", PREDICTIONS)
def test_best_pixel(name):
    images = spectral_arrays()
    classes = central_classes(images)
    _, prediction, by = name.split("_")
    for code, place in SPECTRAL[name].items():
        mask = profiles.candidates(classes, int(code))
        assert list(profiles.best_pixel(images["truth"], images[prediction], mask, by)) == place


@pytest.mark.parametrize("errors", [SPECTRAL["errors"]] if "errors" in SPECTRAL else [])
def test_agreement_of_spectra(errors):
    images = spectral_arrays()
    truth, prediction = (np.moveaxis(images[n].astype(np.float64), 0, -1) for n in ("truth", "pred"))
    maps = {by: profiles.agreement(truth, prediction, by) for by in errors}
    found = np.logical_and.reduce([np.isclose(maps[by], value, rtol=1e-5, atol=0) for by, value in errors.items()])
    assert found.sum() == 1, "one pixel has exactly these errors"
    nothing = np.zeros_like(truth[0, 0])
    assert profiles.agreement(nothing, prediction[0, 0], "cosine") == SPECTRAL["error_zero_cosine"]


@pytest.mark.parametrize("path", present(f"{FOLDER}/spectral.npz"))
def test_zoom(path):
    images = spectral_arrays()
    for name, wanted in images.items():
        if not name.startswith("zoom_") or "_to_" not in name:
            continue
        source = {v.dtype: v for k, v in images.items() if k.startswith("zoom_in")}[wanted.dtype]
        got = profiles.zoom(source, *wanted.shape)
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(
            got.astype(float), wanted.astype(float), atol=1 if wanted.dtype.kind == "u" else 1e-5
        )


def test_nan_is_not_a_number_of_the_tables():
    assert math.isnan(regression.Sums().scores()["mae"])
