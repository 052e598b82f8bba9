"""Aligned tiles: one GeoTIFF per product and place, every band enlarged to 10 m pixels.

    <product>/<tile>.tif      S2L2A, S2L1C (bands in the sensor's order), S1RTC, DEM, LULC

Radar is in dB (VV, VH), land cover in class indices 0..9, as TerraMind's data has them; bands of 20, 30 and 60 m are
brought back to their own grid. A tile is a piece of a Major TOM cell on another lattice, named `<cell>_<i>_<j>`: it is
placed by its georeference alone. The files do not say whether Sentinel-2 numbers carry the offset: the user states it.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from copgen_jax import units
from copgen_jax.data.majortom.bands import crs_of
from copgen_jax.data.majortom.dates import mean_date, parse_time
from copgen_jax.data.majortom.observation import Issue, Observation
from copgen_jax.data.majortom.offsets import StatedOffsets, stated_offset, unknown_offset
from copgen_jax.errors import InputError
from copgen_jax.modalities import LULC_CLASSES, Modality, ModalitySet
from copgen_jax.rasters.given.bands import SENSOR_ORDER
from copgen_jax.rasters.given.shrink import shrink
from copgen_jax.rasters.given.source import corner_and_pixel
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.read import open_raster

BANDS: Mapping[str, tuple[str, ...]] = {
    "S2L2A": tuple(band for band in SENSOR_ORDER if band != "B10"),
    "S2L1C": SENSOR_ORDER,
    "S1RTC": ("VV", "VH"),
    "DEM": ("DEM",),
    "LULC": ("LULC",),
}
"""Bands of each product's file, in order. The order of products says whose georeference the tile takes."""
PIXEL = 10.0
"""Side of a pixel in metres."""
COARSEST = 6
"""Pixels of 10 m per pixel of the coarsest band."""
LARGEST_SIDE = 20_000
"""Pixels along a side beyond which a tile is not read at once: cut it first."""
_TOLERANCE = 1.0
"""Metres by which the corners of one tile's files may differ."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _File:
    values: np.ndarray
    crs: str
    left: float
    top: float
    time: np.datetime64


class Tiles:
    """A directory of aligned tiles."""

    def __init__(self, root: Path, modalities: ModalitySet, *, s2_offset: StatedOffsets):
        """List the tiles.

        Raises:
            InputError: no tiles, or the offset of a Sentinel-2 file is not stated.
        """
        self.root = root
        self.modalities = modalities
        self.issues: list[Issue] = []
        self._stated = s2_offset
        self._products = tuple(p for p in BANDS if (root / p).is_dir() and p in modalities.products)
        self._files = {p: {f.stem: f for f in sorted((root / p).glob("*.tif"))} for p in self._products}
        self.names = tuple(sorted({name for files in self._files.values() for name in files}))
        if not self.names:
            raise InputError(f"{root} holds no aligned tiles: expected files such as {root}/S2L2A/<tile>.tif")
        for product in modalities.products:
            if product not in self._products and modalities.of_product(product)[0].is_image:
                self.issues.append(Issue(place="", kind="missing", where=product, reason="no such data"))
        for product in self._products:
            for name in self._files[product] if product.startswith("S2") else ():
                if stated_offset(s2_offset, name, product) is None:
                    raise unknown_offset(product, str(self._files[product][name]))

    def read(self, name: str) -> Observation:
        """One tile; what is missing or broken is in its issues."""
        files, issues = self._read_files(name)
        rasters = {
            modality.name: _native(modality, files[modality.product].values)
            for modality in self.modalities.images
            if modality.product in files
        }
        date = mean_date(*([files[p].time] if p in files else [] for p in ("S1RTC", "LULC")))
        if np.isnat(date):
            issues.append(Issue(place=name, kind="no date", where="tags", reason="no file has a datetime tag"))
        first = next(iter(files.values()), None)
        return Observation(
            name=name,
            cell=None,
            ground=Ground(first.crs, first.left, first.top, first.values.shape[1] * PIXEL) if first else None,
            rasters=rasters,
            date=date,
            s2_offsets=dict(self._offsets(name, files)),
            issues=tuple(issues),
        )

    def _read_files(self, name: str) -> tuple[dict[str, _File], list[Issue]]:
        files: dict[str, _File] = {}
        issues: list[Issue] = []
        for product in self._products:
            path = self._files[product].get(name)
            if path is None:
                issues.append(Issue(place=name, kind="missing", where=product, reason="the tile lacks this product"))
                continue
            try:
                file = _read(product, path)
            except (InputError, OSError) as error:
                issues.append(Issue(place=name, kind="broken", where=product, reason=str(error)))
                continue
            first = next(iter(files.values()), file)
            shift = max(abs(file.left - first.left), abs(file.top - first.top))
            if file.values.shape[1:] != first.values.shape[1:] or file.crs != first.crs or shift > _TOLERANCE:
                reason = f"{path} does not cover the ground of the tile's other files"
                issues.append(Issue(place=name, kind="other ground", where=product, reason=reason))
                continue
            files[product] = file
        return files, issues

    def _offsets(self, name: str, files: Mapping[str, _File]) -> Iterator[tuple[str, int]]:
        for product in files:
            offset = stated_offset(self._stated, name, product)
            if product.startswith("S2") and offset is not None:
                yield product, offset


def is_tiles(root: Path) -> bool:
    """Whether a directory has the layout of aligned tiles."""
    return any((root / product).is_dir() and any((root / product).glob("*.tif")) for product in BANDS)


def _read(product: str, path: Path) -> _File:
    """All bands (band, H, W), cut to whole pixels of the coarsest band."""
    with open_raster(path) as dataset:
        if dataset.count != len(BANDS[product]):
            raise InputError(f"{path} has {dataset.count} bands, expected the {len(BANDS[product])} of {product}")
        if not dataset.crs:
            raise InputError(f"{path} has no coordinate reference system; a tile is placed by it")
        crs = crs_of(dataset)
        left, top, pixel = corner_and_pixel(dataset.transform, crs, str(path))
        side = min(dataset.shape) // COARSEST * COARSEST
        if abs(pixel - PIXEL) > 1e-3 or not COARSEST <= side <= LARGEST_SIDE:
            raise InputError(
                f"{path} has {dataset.height} x {dataset.width} px of {pixel:g} m, expected pixels of {PIXEL:g} m, "
                f"at most {LARGEST_SIDE} a side"
            )
        values = dataset.read(window=((0, side), (0, side)))
        time = parse_time(dataset.tags().get("datetime", ""))
    _check_unit(product, values, str(path))
    return _File(values=values, crs=crs, left=left, top=top, time=time)


def _check_unit(product: str, values: np.ndarray, where: str) -> None:
    """Refuse values that contradict the layout's units."""
    if product == "S1RTC" and not (values < 0).any():
        raise InputError(f"{where} has no negative value; expected dB in an aligned tile, not linear power")
    if product == "LULC" and values.max() >= len(LULC_CLASSES):
        raise InputError(
            f"{where} holds {values.max()}; expected class indices 0 to {len(LULC_CLASSES) - 1} in an aligned tile, "
            "not codes"
        )


def _native(modality: Modality, values: np.ndarray) -> np.ndarray:
    """(H, W, bands) of a modality in physical units on its own grid, of a product's (band, H, W) on 10 m."""
    bands = np.stack([values[BANDS[modality.product].index(band)] for band in modality.bands])
    factor = round(modality.extent / modality.image_shape[0] / PIXEL)
    if modality.encoding == "power":
        bands = units.decibel_to_power(bands)
    if modality.encoding == "classes":
        bands = units.indices_to_codes(modality, bands)
    if factor > 1:
        valid = np.ones(bands.shape[1:], bool)
        bands = np.stack([shrink(band, valid, factor).values for band in bands]).astype(np.float32)
    return np.moveaxis(bands, 0, -1)
