import json

import numpy as np
import pytest
import rasterio
from drawn_samples import PROVENANCE, draw_samples
from PIL import Image

from copgen_jax.errors import InputError
from copgen_jax.modalities import DEMO
from copgen_jax.rasters.outputs.layout import layout
from copgen_jax.rasters.outputs.write import OutputOptions, open_outputs

WANTED = DEMO.subset(["location", "LULC", "S2L2A_20m", "timestamp"])
CELL = "433D_629L_patch_7"


def write(out, members=(0, 1, 2), **more):
    samples = draw_samples(WANTED, members=members)
    arguments = {
        "place": CELL,
        "modalities": WANTED,
        "ground": samples.ground,
        "provenance": PROVENANCE,
        "given": draw_samples(DEMO.subset(["DEM"]), members=[0], synthetic=False),
        **more,
    }
    with open_outputs(out, **arguments) as outputs:
        outputs.write(samples)
    return samples, layout(out, CELL)


def test_statistics_are_files_on_the_same_ground(tmp_path):
    samples, paths = write(tmp_path)
    values = samples["S2L2A_20m"].values
    with rasterio.open(paths.statistic("S2L2A_20m", "mean")) as dataset:
        np.testing.assert_allclose(dataset.read(), values.mean(0), atol=1e-4)
        assert dataset.bounds.left == samples.ground.left
        assert dataset.res == (20.0, 20.0)
        assert dataset.descriptions == DEMO["S2L2A_20m"].bands
        assert dataset.tags()["statistic"] == "mean"
        assert dataset.tags()["members"] == "3"
        assert dataset.tags()["synthetic"] == "true"
        assert dataset.dtypes[0] == "float32"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with rasterio.open(paths.statistic("S2L2A_20m", "standard_deviation")) as dataset:
        np.testing.assert_allclose(dataset.read(), values.std(0, ddof=1), atol=1e-4)
    with rasterio.open(paths.statistic("S2L2A_20m", "quantile_50")) as dataset:
        np.testing.assert_allclose(dataset.read(), np.median(values, 0), atol=1e-4)
    with rasterio.open(paths.statistic("LULC", "probability")) as dataset:
        assert dataset.descriptions == DEMO["LULC"].classes
        np.testing.assert_allclose(dataset.read().sum(0), 1, atol=1e-6)
        np.testing.assert_allclose(dataset.read(2), (samples["LULC"].values[:, 0] == 1).mean(0), atol=1e-6)
    with rasterio.open(paths.statistic("LULC", "mode")) as dataset:
        assert dataset.dtypes == ("uint8",)
        assert dataset.colormap(1)[2] == (57, 125, 73, 255)
    summary = json.loads(paths.summary.read_text())
    assert summary["members"] == 3
    assert -90 <= summary["location"]["latitude"] <= 90
    assert summary["timestamp"]["first"] <= summary["timestamp"]["last"]


def test_zarr_alone_has_statistics_of_unrounded_values(tmp_path):
    samples, paths = write(tmp_path, options=OutputOptions(cog=False, zarr=True, pictures=False))
    with rasterio.open(paths.statistic("S2L2A_20m", "mean")) as dataset:
        np.testing.assert_allclose(
            dataset.read(), samples["S2L2A_20m"].values.mean(0, np.float64), rtol=1e-6, atol=1e-7
        )
    assert not list(paths.directory.rglob("*_member_*"))


def test_pictures_are_drawn_and_say_that_they_are_synthetic(tmp_path):
    _, paths = write(tmp_path)
    names = {path.name for path in paths.quicklooks.iterdir()}
    assert {
        "contact_sheet.png",
        "S2L2A_20m_member_000.png",
        "S2L2A_20m_mean.png",
        "S2L2A_20m_spread.png",
        "LULC_mode.png",
    } <= names
    for path in paths.quicklooks.iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.text["synthetic"] == "true"
            assert image.text["model_hash"] == PROVENANCE["model_hash"]


def test_item_lists_every_file(tmp_path):
    _, paths = write(tmp_path)
    item = json.loads(paths.item.read_text())
    listed = {asset["href"] for asset in item["assets"].values()}
    there = {path.relative_to(paths.directory).as_posix() for path in paths.directory.rglob("*.tif")}
    assert there <= listed
    assert all((paths.directory / name).exists() for name in listed)
    assert item["properties"]["grid:code"] == "MAJORTOM-433D_629L"
    assert item["properties"]["copgen:dates"] == "drawn"


def test_a_given_date_is_the_date_of_the_item(tmp_path):
    modalities = DEMO.subset(["LULC"])
    given = draw_samples(DEMO.subset(["location", "timestamp"]), members=[0])
    with open_outputs(tmp_path, place=CELL, modalities=modalities, ground=None, provenance={}, given=given) as outputs:
        outputs.write(draw_samples(modalities, members=[0], ground=None))
    item = json.loads(layout(tmp_path, CELL).item.read_text())
    day = str(given["timestamp"].values[0].astype("datetime64[D]"))
    assert item["properties"]["datetime"] == f"{day}T00:00:00Z"
    assert item["properties"]["copgen:dates"] == "given"


def test_one_member_has_no_statistics(tmp_path):
    _, paths = write(tmp_path, members=[4])
    assert not list(paths.directory.rglob("*_mean.*"))
    assert (paths.quicklooks / "contact_sheet.png").exists()


def test_resuming_with_more_members_renews_the_statistics_and_without_leaves_them(tmp_path):
    _, paths = write(tmp_path, members=[0, 1])
    mean = paths.statistic("S2L2A_20m", "mean")
    before, time = mean.read_bytes(), paths.item.stat().st_mtime_ns
    write(tmp_path, members=[0, 1], resume=True)
    assert paths.item.stat().st_mtime_ns == time
    write(tmp_path, members=[0, 1, 2], resume=True)
    assert mean.read_bytes() != before
    _, fresh = write(tmp_path / "fresh", members=[0, 1, 2])
    assert mean.read_bytes() == fresh.statistic("S2L2A_20m", "mean").read_bytes()


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="neither"):
        OutputOptions(cog=False)
    with pytest.raises(InputError, match="between 0 and 1"):
        OutputOptions(quantiles=(5.0,))
