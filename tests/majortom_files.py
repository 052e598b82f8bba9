"""Small data sets in the layouts of the real ones, whose pixels say where they are."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from affine import Affine

from copgen_jax.data.majortom.grid import cell_named
from copgen_jax.data.world.places import cell_ground
from copgen_jax.modalities import COPGEN

CELL, OTHER = "433D_629L", "618U_30L"
S2L2A_ID = "S2B_MSIL2A_20200223T143719_N0500_R096_T18HYB_20230924T154855"
S2L1C_ID = S2L2A_ID.replace("MSIL2A", "MSIL1C")
S1_ID = "S1A_IW_GRDH_1SDV_20200227T234309_20200227T234334_031442_039EE5_rtc"
PRODUCT_IDS = {"Core-S2L2A": S2L2A_ID, "Core-S2L1C": S2L1C_ID, "Core-S1RTC": S1_ID, "Core-DEM": "id"}
FOLDERS = {"S2L2A": "Core-S2L2A", "S2L1C": "Core-S2L1C", "cloud_mask": "Core-S2L1C", "S1RTC": "Core-S1RTC"}
DTYPES = {"reflectance": np.uint16, "power": np.float32, "height": np.float32, "classes": np.uint8}


def pixels(modality, band, side):
    """(side, side): rows in the first band, columns in the others; class codes and radar as they must be."""
    if modality.encoding == "classes":
        return np.full((side, side), modality.codes[1], np.uint8)
    lines = np.arange(side) + 1
    values = lines[:, None] if band == modality.bands[0] else lines[None, :]
    values = np.broadcast_to(values, (side, side))
    return (values * (1e-4 if modality.encoding == "power" else 1)).astype(DTYPES[modality.encoding])


def geotiff(values, *, crs, left, top, resolution, **profile):
    """The bytes of a GeoTIFF of (H, W) or (band, H, W)."""
    stack = np.atleast_3d(values.T).T if values.ndim == 2 else values
    buffer = io.BytesIO()
    settings = {
        "driver": "GTiff",
        "count": len(stack),
        "height": stack.shape[1],
        "width": stack.shape[2],
        "dtype": stack.dtype,
        "crs": crs,
        "transform": Affine(resolution, 0, left, 0, -resolution, top),
        "compress": "deflate",
    }
    with rasterio.open(buffer, "w", **{**settings, **profile}) as dataset:
        dataset.write(stack)
    return buffer.getvalue()


def cell_files(cell, modality, *, side=None, values=pixels, shift=0.0, crs=None):
    """{file name: bytes} of one modality of a cell."""
    ground = cell_ground(*cell_named(cell).centre)
    side = side or round(10680 / modality.resolution)
    return {
        band.lower() if modality.product == "S1RTC" else band: geotiff(
            values(modality, band, side),
            crs=crs or ground.crs,
            left=ground.left + shift,
            top=ground.top,
            resolution=modality.resolution,
        )
        for band in modality.bands
    }


def cell_directory(root, cell, product, year=2021):
    """Where the files of a product of a cell lie."""
    row, column = cell.split("_")
    if product == "LULC":
        return Path(root) / "Core-LULC" / row / column
    folder = FOLDERS.get(product, f"Core-{product}")
    return Path(root) / folder / row / cell / PRODUCT_IDS[folder]


def write_cell(root, cell=CELL, modalities=COPGEN, *, year=2021, **options):
    """Extract a cell's files below `root`."""
    for modality in modalities.images:
        directory = cell_directory(root, cell, modality.product)
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in cell_files(cell, modality, **options).items():
            name = f"{cell}_{year}" if modality.product == "LULC" else name
            (directory / f"{name}.tif").write_bytes(data)


def write_metadata(root, folder, rows):
    """A product's metadata.parquet of a list of dicts."""
    directory = Path(root) / folder
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), directory / "metadata.parquet")


def write_parquet(root, cells, modalities=COPGEN, *, metadata=True):
    """The products of cells (but land cover) in parquet files of one row group per cell."""
    for folder in dict.fromkeys(FOLDERS.get(m.product, f"Core-{m.product}") for m in modalities.images):
        if folder not in PRODUCT_IDS:
            continue
        own = [m for m in modalities.images if FOLDERS.get(m.product, f"Core-{m.product}") == folder]
        path = Path(root) / folder / "images" / "part_00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = None
        for cell in cells:
            row = {"product_id": PRODUCT_IDS[folder], "grid_cell": cell, "thumbnail": b"png"}
            for modality in own:
                row.update(cell_files(cell, modality))
            if folder == "Core-DEM":
                del row["product_id"]
            table = pa.Table.from_pylist([row])
            writer = writer or pq.ParquetWriter(path, table.schema, compression="none")
            writer.write_table(table)
        assert writer is not None
        writer.close()
        if metadata:
            url = f"https://example.org/datasets/{folder}/resolve/main/images/part_00001.parquet?download=true"
            rows = [
                {
                    "grid_cell": cell,
                    "timestamp": "2020-02-23 14:37:19" if folder != "Core-S1RTC" else "2020-02-27 23:43:09",
                    "product_id": PRODUCT_IDS[folder],
                    "parquet_url": url,
                    "parquet_row": i,
                    "crs": "EPSG:EPSG:32718",
                }
                for i, cell in enumerate(cells)
            ]
            write_metadata(root, folder, rows)
