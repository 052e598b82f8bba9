"""A made-up place as users hold it: arrays on native grids, and files of them."""

import numpy as np
import rasterio
from affine import Affine

from copgen_jax.modalities import COPGEN, LULC_CLASSES

UTM = "EPSG:32633"
CORNER = (500040.0, 4999980.0)
ALL_BANDS = tuple("B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12".split())  # noqa: SIM905


def scene(side=192, seed=0):
    """Native arrays (bands, H, W) by modality name; `side` pixels at 10 m. DNs carry the offset 1000."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for modality in COPGEN.images:
        h = side * 10 // int(modality.resolution)
        shape = (len(modality.bands), h, h)
        if modality.encoding == "reflectance":
            arrays[modality.name] = rng.integers(900, 6000, shape).astype(np.uint16)
        elif modality.encoding == "power":
            arrays[modality.name] = rng.gamma(2.0, 0.05, shape).astype(np.float32)
        elif modality.encoding == "height":
            arrays[modality.name] = rng.uniform(-5, 2000, shape).astype(np.float32)
        else:
            codes = list(LULC_CLASSES)[1:] if modality.name == "LULC" else range(4)
            arrays[modality.name] = rng.choice(list(codes), shape).astype(np.uint8)
    return arrays


def write_tif(path, array, *, pixel=10.0, crs=UTM, corner=CORNER, names=None, tags=None, scale=None, **profile):
    """A GeoTIFF of (bands, H, W)."""
    array = array if array.ndim == 3 else array[None]
    transform = Affine(pixel, 0, corner[0], 0, -pixel, corner[1])
    profile = {"driver": "GTiff", "dtype": array.dtype, "crs": crs, "transform": transform, **profile}
    with rasterio.open(path, "w", count=len(array), height=array.shape[1], width=array.shape[2], **profile) as file:
        file.write(array)
        if names:
            file.descriptions = tuple(names)
        if scale:
            file.scales, file.offsets = ((value,) * len(array) for value in scale)
        file.update_tags(**(tags or {}))
    return str(path)


def enlarged(array, factor):
    """Every pixel repeated."""
    return array.repeat(factor, axis=-2).repeat(factor, axis=-1)


def product_on_10_m(arrays, product):
    """(bands, H, W) of a whole product in sensor order, coarse bands enlarged by repetition."""
    bands = {}
    for modality in COPGEN.of_product(product):
        for band, values in zip(modality.bands, arrays[modality.name], strict=True):
            bands[band] = enlarged(values, int(modality.resolution) // 10)
    return np.stack([bands[band] for band in ALL_BANDS if band in bands])


def channel_last(array):
    return np.moveaxis(array, 0, -1)
