"""Errors of single samples where no golden vector speaks: corrected variants, bad input, sums that add up."""

import datetime

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics import places_dates, profiles, regression, runs, segmentation, stacked, tables
from copgen_jax.evaluation.metrics.catalogue import CATALOGUE, explanation_of
from copgen_jax.evaluation.metrics.similarity import gaussian_ssim, uniform_ssim


def image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, shape)


def test_similarity_agrees_with_scikit_image():
    x, y = image(40, 36), 0.7 * image(40, 36) + 0.3 * image(40, 36, seed=1)
    assert uniform_ssim(x, y, 1.0) == pytest.approx(structural_similarity(x, y, data_range=1.0))
    _, full = structural_similarity(
        x, y, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    padded = [np.pad(a, 5, mode="reflect") for a in (x, y)]
    _, full = structural_similarity(
        *padded, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert gaussian_ssim(x[None, None], y[None, None])[0] == pytest.approx(full[5:-5, 5:-5].mean())


def test_image_errors_add_up_in_any_grouping():
    ours, true = image(4, 2, 16, 16), image(4, 2, 16, 16, seed=1)
    whole = regression.image_errors(ours, true, ["B02", "B03"]).scores()
    parts = regression.Pooled()
    for i in range(4):
        parts += regression.image_errors(ours[i : i + 1], true[i : i + 1], ["B02", "B03"])
    for metric in ("mae", "rmse", "ssim", "psnr"):
        assert parts.scores()[metric] == pytest.approx(whole[metric])


def test_images_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="differ in shape"):
        regression.image_errors(image(1, 1, 16, 16), image(1, 1, 16, 12))
    with pytest.raises(InputError, match="2 band names"):
        regression.image_errors(image(1, 1, 16, 16), image(1, 1, 16, 16), ["B02", "B03"])
    with pytest.raises(InputError, match="truth must not be smaller"):
        stacked.centre_crop(image(8, 8), 9, 8)
    with pytest.raises(InputError, match="same bands"):
        stacked.stacked_errors(image(2, 9, 9), image(3, 9, 9))


def test_a_band_in_one_side_only_is_stated():
    scored = runs.score_tile("t", "S2L2A", {"B02": image(8, 8)}, {"B02": image(8, 8), "B03": image(8, 8)})
    assert scored.faults == ("t S2L2A B03: only in one of prediction and truth, not scored",)
    with pytest.raises(InputError, match="none is in both"):
        runs.score_tile("t", "S2L2A", {"B02": image(8, 8)}, {"B03": image(8, 8)})
    codes = np.full((8, 8), 7.0)
    odd = codes.copy()
    odd[0, 0] = 3
    scored = runs.score_tile("t", "LULC", {"LULC": odd}, {"LULC": codes})
    assert scored.faults == ("t LULC: 1 pixels with unknown codes count as class 0",)
    assert scored.scores()["overall_top1"] == 63 / 64


def test_the_published_row_names_merge_land_cover_by_column():
    assert runs.published_tile_id("LULC", "618U_30L") == "30L"
    assert runs.published_tile_id("DEM", "618U_30L") == "618U_30L"
    codes = np.full((8, 8), 7)
    scored = [(t, "LULC", runs.score_tile(t, "LULC", {"LULC": codes}, {"LULC": codes})) for t in ("1U_3L", "2U_3L")]
    assert len(runs.per_tile_rows(scored)) == 2
    assert len(runs.per_tile_rows(scored, published=True)) == 1


def test_labels_that_are_no_classes_are_refused():
    scores = image(1, 3, 4, 4)
    with pytest.raises(InputError, match="expected class indices 0 to 2"):
        segmentation.confusion(scores, np.full((1, 4, 4), 3))
    with pytest.raises(InputError, match="do not match"):
        segmentation.confusion(scores, np.zeros((1, 4, 5), int))
    scores[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="1 pixels have NaN"):
        segmentation.confusion(scores, np.zeros((1, 4, 4), int))


def test_places_average_on_the_sphere():
    date_line = np.array([[10.0, 179.0], [10.0, -179.0]])
    assert abs(places_dates.mean_place(date_line)[1]) == pytest.approx(180)
    assert places_dates.published_mean_place(date_line)[1] == 0
    assert np.isnan(places_dates.mean_place(np.array([[90.0, 0.0], [-90.0, 0.0]]))).all()
    pole = places_dates.great_circle_km(np.array([0.0, 0.0]), np.array([90.0, 0.0]))
    assert pole == pytest.approx(np.pi / 2 * places_dates.EARTH_RADIUS)


def test_dates_average_to_dates():
    some = [datetime.date(2020, 2, 28), datetime.date(2020, 3, 2)]
    assert places_dates.mean_date(some) == datetime.date(2020, 2, 29)
    assert places_dates.published_mean_date([(31, 1, 2020), (29, 3, 2020)]) == (30, 2, 2020), "not a date"
    assert places_dates.season_days(datetime.date(2019, 12, 31), datetime.date(2021, 1, 2)) < 3
    with pytest.raises(InputError, match="2 generated dates for 1"):
        places_dates.date_scores([(1, 1, 2020), (1, 1, 2020)], [(1, 1, 2020)])


def test_best_run_takes_all_metrics_from_one_sample():
    def run(seed: int, mae: float, ssim: float) -> tables.Run:
        return tables.run_from_files(
            model="m",
            directory=f"input_LULC_S1RTC_S2L1C_S2L2A_lat_lon_output_DEM_timestamps_seed_{seed}",
            report=[],
            rows=[{"tile_id": "t", "modality": "DEM", "mae": mae, "ssim": ssim, "band:DEM:mae": 9.0}],
        )

    both = [run(1, 0.1, 0.2), run(2, 0.4, 0.9)]
    oracle = tables.best_per_tile(both, tables.best_of_n)[0]
    honest = tables.best_run_per_tile(both, tables.best_of_n, by="mae")[0]
    assert (oracle["mae"], oracle["ssim"]) == (0.1, 0.9)
    assert (honest["mae"], honest["ssim"]) == (0.1, 0.2)
    assert oracle["n_runs"] == honest["n_runs"] == 2


def test_names_of_run_directories():
    run = tables.run_from_files(
        model="m",
        directory="input_DEM_S2L1C_cloud_mask_coords_timestamps_output_LULC_S2L2A_seed_12",
        report=[],
        rows=[],
    )
    assert run.given == {"DEM", "S2L1C", "cloud_mask", "lat_lon", "timestamps"}
    assert run.generated == {"LULC", "S2L2A"}
    assert run.seed == 12
    assert run.missing("LULC") == ("S1RTC", "S2L2A")
    for name in ("outputs", "input_DEM_output_XYZ_seed_1"):
        with pytest.raises(InputError):
            tables.run_from_files(model="m", directory=name, report=[], rows=[])


def test_profiles_of_absent_classes_and_nan():
    classes = np.ones((20, 20), int)
    with pytest.raises(InputError, match="class 2 does not occur"):
        profiles.candidates(classes, 2)
    spectra = image(3, 20, 20)
    broken = spectra.copy()
    broken[0, 3, 3] = np.nan
    with pytest.raises(InputError, match="NaN under the mask"):
        profiles.best_pixel(broken, spectra, classes == 1)


def test_best_pixels_are_drawn_as_published():
    """Candidates class after class from one legacy generator of seed 42, then the first of the least errors."""
    truth, ours = image(12, 96, 96), image(12, 96, 96, seed=1)
    classes = np.full((96, 96), 2)
    classes[:, 48:], classes[:2, :2], classes[90:, 90:] = 11, 0, 10
    got = profiles.best_pixels(truth, ours, classes)
    assert list(got) == [2, 10, 11]
    np.random.seed(42)  # noqa: NPY002
    error = np.abs(truth - ours).mean(axis=0)
    for code in (2, 10, 11):
        rows, columns = np.nonzero(profiles.candidates(classes, code))
        if len(rows) > 1000:
            few = np.random.choice(len(rows), 1000, replace=False)  # noqa: NPY002
            rows, columns = rows[few], columns[few]
        best = error[rows, columns].argmin()
        assert got[code] == (rows[best], columns[best])


def test_every_explanation_says_what_ideal_and_how_it_misleads():
    assert len(CATALOGUE) > 20
    for name, explanation in CATALOGUE.items():
        assert explanation.name == name
        text = explanation.paragraph(16, 16)
        assert text.count(".") >= 3
        assert "  " not in text
        if explanation.ideal_value is not None:
            assert np.isfinite(explanation.ideal_value(16, 16))
        assert "Here" not in explanation.paragraph()
    assert "(n = 16 real, 16 generated): 0.484." in CATALOGUE["nn_accuracy"].paragraph(16)
    assert "Here" not in CATALOGUE["mmd"].paragraph(16), "0 at any n"
    assert explanation_of("copgen_rgb_intra_set_dist") is CATALOGUE["intra_set_dist"]
    assert explanation_of("copgen_wasserstein_b04") is CATALOGUE["wasserstein"]
    assert explanation_of("copgen_lpips_intra_set") is CATALOGUE["lpips_intra_set"]
    assert explanation_of("copgen_n") is None
