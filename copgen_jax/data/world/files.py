"""Cells of the world as files, in the folders and formats of extracted Major TOM cells.

    Core-S2L2A/<row>/<row_col>/<product>/B02.tif ...      DN uint16, offset in the band's tags and in the product's name
    Core-S2L1C/<row>/<row_col>/<product>/B02.tif ... cloud_mask.tif
    Core-S1RTC/<row>/<row_col>/<product>/vv.tif vh.tif    linear gamma0 float32
    Core-DEM/<row>/<row_col>/id/DEM.tif                   metres float32
    Core-LULC/<row>/<col>/<row>_<col>_<year>.tif          ESRI codes uint8
    world.json                                            seed and rules: what the files are a function of

or, all but land cover, as parquet files (`parquet.py`). Every file is tagged `synthetic=true`. A product's directory or
parquet file appears when all of it is written, so an interrupted run leaves whole products and is resumed by writing
the missing ones.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from copgen_jax.data.majortom.grid import cell_named
from copgen_jax.data.world.clouds import THICK, THIN
from copgen_jax.data.world.noise import CELL_PIXELS
from copgen_jax.data.world.optics import OFFSET, SCALE
from copgen_jax.data.world.parquet import pyarrow_parquet, write_metadata, write_part
from copgen_jax.data.world.sun import overpass
from copgen_jax.data.world.world import RULES, Patch, World
from copgen_jax.errors import InputError
from copgen_jax.files import directory_aside, file_aside
from copgen_jax.modalities import Modality
from copgen_jax.rasters.ground import Ground

RECORD = "world.json"

CELL_BYTES = 26_000_000
"""Typical size of a cell on the disk, compressed."""

CELL_SECONDS = 6.0
"""Typical time of a cell on one core, mostly compression."""

Format = Literal["folders", "parquet"]
"""Extracted cells, or parquet files."""

Stack = Mapping[str, tuple[np.ndarray, Modality]]
"""File name without suffix -> one band (H, W) and its modality."""


@dataclasses.dataclass(frozen=True)
class Cells:
    """The cells of a world in a directory."""

    root: Path
    world: World
    names: tuple[str, ...]
    format: Format = "folders"

    def start(self, *, resume: bool, overwrite: bool) -> None:
        """Make the directory and its record.

        Raises:
            InputError: there are files already and neither `resume` nor `overwrite` is set, or they are of another
                world or format; parquet is asked for and pyarrow is not installed.
        """
        if self.format == "parquet":
            pyarrow_parquet()
        known = {"seed": self.world.seed, "rules": RULES, "format": self.format}
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root} is a file; choose a directory to write to")
        if self.root.exists() and any(self.root.iterdir()):
            if not (resume or overwrite):
                raise InputError(f"{self.root} is not empty; choose another place, or pass --resume or --overwrite")
            before = self._record()
            changed = [key for key, value in known.items() if before.get(key) != value]
            if changed and not overwrite:
                raise InputError(
                    f"{self.root} was made with {changed[0]} {before.get(changed[0])}, not {known[changed[0]]}: "
                    f"choose another place, or pass --overwrite"
                )
            for folder in self.root.glob("Core-*") if changed else ():
                shutil.rmtree(folder)
        record = self.root / RECORD
        with file_aside(record) as aside:
            aside.write_text(json.dumps(known | {"synthetic": True, "s2_offset": OFFSET}, indent=1) + "\n")

    def _record(self) -> dict[str, Any]:
        """What the directory was made with.

        Raises:
            InputError: it was not written by `copgen simulate`.
        """
        record = self.root / RECORD
        if not record.is_file():
            raise InputError(
                f"{self.root} has no {RECORD}: it was not written by copgen simulate; choose another place"
            )
        try:
            found = json.loads(record.read_text())
        except ValueError as error:
            raise InputError(f"{record} is damaged: it is not JSON; choose another place") from error
        return {"format": "folders"} | (found if isinstance(found, dict) else {})

    def missing(self, name: str) -> tuple[str, ...]:
        """Products of a cell that are not there yet."""
        paths = self._paths(name, self.world.cell(name, ("location", "timestamp")))
        return tuple(product for product, path in paths.items() if not path.exists())

    def write(self, name: str, *, overwrite: bool = False) -> None:
        """Write what is missing of a cell, or all of it.

        Raises:
            InputError: the disk is full, or the place cannot be written to.
        """
        missing = self.missing(name)
        if not missing and not overwrite:
            return
        cell = self.world.cell(name) if overwrite else self.world.cell(name, _drawn_for(missing))
        paths = self._paths(name, cell)
        for product in paths if overwrite else missing:
            tags = {"synthetic": "true", "seed": str(self.world.seed), "cell": name}
            tags |= {"datetime": str(cell["timestamp"]), "rules": str(RULES)}
            files = {stem: _geotiff(*band, cell.ground, tags) for stem, band in self._bands(product, cell).items()}
            if product == "LULC":
                with file_aside(paths[product]) as aside:
                    aside.write_bytes(files["LULC"])
                continue
            if self.format == "parquet":
                identity = {} if product == "DEM" else {"product_id": self._observed(cell)[product][0]}
                write_part(paths[product], {**identity, "grid_cell": name, **files})
                continue
            with directory_aside(paths[product], overwrite=overwrite) as aside:
                for stem, content in files.items():
                    (aside / f"{stem}.tif").write_bytes(content)

    def finish(self) -> None:
        """Write the lists of observations that parquet files come with, when all cells are there."""
        if self.format == "folders":
            return
        rows: dict[str, list[dict[str, Any]]] = {}
        for name in self.names:
            cell = self.world.cell(name, ("location", "timestamp", "cloud_mask"))
            observed = self._observed(cell)
            for product, path in self._paths(name, cell).items():
                if product != "LULC":
                    row = _listed(name, cell, path.relative_to(self.root), *observed[product])
                    rows.setdefault(product, []).append(row)
        for product, listed in rows.items():
            write_metadata(self.root / f"Core-{product}" / "metadata.parquet", listed)

    def _bands(self, product: str, cell: Patch) -> Stack:
        members = _members(product)
        return {
            band.lower() if product == "S1RTC" else band: (cell[modality.name][..., i], modality)
            for modality in self.world.modalities
            if modality.product in members
            for i, band in enumerate(modality.bands)
        }

    def _paths(self, name: str, cell: Patch) -> dict[str, Path]:
        """Where each product goes: a directory, or the file of the land cover."""
        row, column = name.split("_")
        here = {m.product for m in self.world.modalities}
        paths = {p: self.root / f"Core-{p}" / row / name / folder for p, (folder, _) in self._observed(cell).items()}
        if self.format == "parquet":
            part = f"part_{self.names.index(name) + 1:05d}.parquet"
            paths = {p: self.root / f"Core-{p}" / "images" / part for p in paths}
        year = cell["timestamp"].astype("datetime64[Y]")
        paths["LULC"] = self.root / "Core-LULC" / row / column / f"{name}_{year}.tif"
        return {product: path for product, path in paths.items() if product in here}

    def _observed(self, cell: Patch) -> dict[str, tuple[str, np.datetime64]]:
        """Name and time of each product of a cell but its land cover."""
        date, longitude = cell["timestamp"], float(cell["location"][1])
        optical = overpass(longitude, date)
        # radar passes so that the mean of both times, which is what dates a cell, lies on the date
        noon = date.astype("datetime64[ms]") + np.timedelta64(12, "h")
        radar = noon + (noon - optical)
        return {
            "S2L2A": (f"S2SIM_MSIL2A_{_stamp(optical)}_N0500_R000", optical),
            "S2L1C": (f"S2SIM_MSIL1C_{_stamp(optical)}_N0500_R000", optical),
            "S1RTC": (f"S1SIM_IW_GRDH_1SDV_{_stamp(radar)}_rtc", radar),
            "DEM": ("id", np.datetime64("NaT")),
        }


def _stamp(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]")).replace("-", "").replace(":", "")


def _members(product: str) -> tuple[str, ...]:
    """The products of the model whose bands lie in one of Major TOM."""
    return ("S2L1C", "cloud_mask") if product == "S2L1C" else (product,)


def _drawn_for(products: Iterable[str]) -> tuple[str, ...]:
    """What to draw of a cell to write some products of it."""
    return ("location", "timestamp", *(member for product in products for member in _members(product)))


def _listed(name: str, cell: Patch, path: Path, product_id: str, time: np.datetime64) -> dict[str, Any]:
    """The row of one observation in `metadata.parquet`; terrain has no product and no time."""
    row, column = name.split("_")
    latitude, longitude = cell_named(name).centre
    listed = {
        "grid_cell": name,
        "grid_row_u": _signed(row, "U"),
        "grid_col_r": _signed(column, "R"),
        "centre_lat": latitude,
        "centre_lon": longitude,
        "crs": cell.ground.crs,
        "nodata": 0.0,
        "parquet_url": str(path),
        "parquet_row": 0,
    }
    if np.isnat(time):
        return listed
    listed |= {"product_id": product_id, "timestamp": time.astype("datetime64[ms]").item()}
    if product_id.startswith("S2") and "cloud_mask" in cell.values:
        listed["cloud_cover"] = 100.0 * float(np.isin(cell["cloud_mask"], (THICK, THIN)).mean())
    return listed


def _signed(part: str, positive: str) -> int:
    return int(part[:-1]) * (1 if part[-1] == positive else -1)


def _geotiff(values: np.ndarray, modality: Modality, ground: Ground, tags: Mapping[str, str]) -> bytes:
    """One band (H, W) as the bytes of a compressed GeoTIFF."""
    from rasterio.io import MemoryFile

    side = values.shape[0]
    resolution = CELL_PIXELS * 10.0 / side
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype.name,
        "count": 1,
        "height": side,
        "width": side,
        "crs": ground.crs,
        "transform": ground.transform(resolution),
        "compress": "deflate",
        "zlevel": 4,
        "predictor": 3 if values.dtype.kind == "f" else 2,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(values, 1)
            dataset.update_tags(**tags)
            if modality.encoding == "reflectance":
                dataset.scales, dataset.offsets = (1 / SCALE,), (-OFFSET / SCALE,)
        return memory.read()
