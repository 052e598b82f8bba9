import numpy as np
import pytest
import rasterio
from affine import Affine

from copgen_jax.rasters.outputs.cog import Raster, write_cog
from copgen_jax.rasters.outputs.pixelformat import CODES, HEIGHT, REFLECTANCE


def raster(values, format, **more):
    return Raster(
        values=values,
        format=format,
        bands=tuple(f"band {i}" for i in range(len(values))),
        transform=Affine(10.0, 0.0, 600_000.0, 0.0, -10.0, 4_500_000.0),
        crs="EPSG:32633",
        tags={"synthetic": "true"},
        **more,
    )


def test_large_rasters_have_overviews_of_averages(tmp_path):
    random = np.random.default_rng(0)
    values = random.normal(100, 10, (1, 600, 700)).astype(np.float32)
    write_cog(tmp_path / "a.tif", raster(values, HEIGHT))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.overviews(1)
        assert dataset.block_shapes == [(256, 256)]
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(dataset.read(), values)
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as dataset:
        np.testing.assert_allclose(dataset.read(1), values[0].reshape(300, 2, 350, 2).mean((1, 3)), rtol=1e-5)


def test_overviews_of_classes_hold_classes(tmp_path):
    codes = np.random.default_rng(0).choice(np.asarray([1, 11], np.uint8), (1, 600, 600))
    write_cog(
        tmp_path / "a.tif", raster(codes, CODES, classes={1: "a", 11: "b"}, colours={1: (9, 9, 9), 11: (1, 2, 3)})
    )
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as dataset:
        assert set(np.unique(dataset.read())) == {1, 11}


def test_a_patch_is_one_tile_without_overviews(tmp_path):
    write_cog(tmp_path / "a.tif", raster(np.zeros((2, 192, 192), np.float32), REFLECTANCE))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.overviews(1) == []
        assert dataset.block_shapes == [(256, 256)] * 2


@pytest.mark.parametrize("missing", [False, True])
def test_masks_follow_missing_values(tmp_path, missing):
    values = np.full((1, 32, 32), 0.2, np.float32)
    if missing:
        values[0, 3, 4] = np.nan
    write_cog(tmp_path / "a.tif", raster(values, REFLECTANCE))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        masked = dataset.read(1, masked=True)
        assert masked.mask.sum() == missing
        assert masked[0, 0] * dataset.scales[0] + dataset.offsets[0] == pytest.approx(0.2)


def test_the_same_values_are_the_same_bytes(tmp_path):
    values = np.random.default_rng(0).normal(0.1, 0.1, (4, 96, 96)).astype(np.float32)
    for name in ("a.tif", "b.tif"):
        write_cog(tmp_path / name, raster(values, REFLECTANCE))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
