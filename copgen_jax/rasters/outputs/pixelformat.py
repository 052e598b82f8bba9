"""How physical values are kept in a raster file: number type, scale, offset, nodata, unit.

    physical value = scale * number + offset

Sentinel-2 reflectance is kept as int16 numbers of 1e-4, as Sentinel-2 products do, but signed and with the DN offset
already removed: reflectances from -3.2767 to 3.2767 keep their sign, what lies outside is clipped to that range, and
-32768 is nodata. Everything that applies scale and offset tags (QGIS, GDAL's -unscale, rioxarray's mask_and_scale)
sees reflectance. Power, heights and statistics are float32 with NaN as nodata; class codes are bytes.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from copgen_jax.modalities import Modality


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """Number type of a raster file and what its numbers mean."""

    dtype: str
    nodata: float | None
    units: str
    """Unit of the physical value as CF writes it; empty for class codes."""
    stated: str = ""
    """The same unit in this package's words, written as the tag `units` for our own reader."""
    scale: float = 1.0
    offset: float = 0.0

    def to_numbers(self, values: np.ndarray) -> np.ndarray:
        """Numbers of physical `values`, rounded and clipped to the type's range; NaN becomes nodata."""
        if np.issubdtype(self.dtype, np.floating):
            return values.astype(self.dtype)
        if values.dtype == self.dtype:
            return values
        numbers = (values.astype(np.float64) - self.offset) / self.scale
        low, high = np.iinfo(self.dtype).min, np.iinfo(self.dtype).max
        low += self.scale != 1.0 and self.nodata == low
        missing = low if self.nodata is None else self.nodata
        return np.where(np.isnan(numbers), missing, np.clip(np.rint(numbers), low, high)).astype(self.dtype)

    def to_physical(self, numbers: np.ndarray) -> np.ndarray:
        """Physical values of `numbers`: float32 with NaN for nodata, class codes as they are."""
        if np.issubdtype(self.dtype, np.floating) or self.scale == 1.0:
            return numbers
        values = numbers.astype(np.float64) * self.scale + self.offset
        return np.where(numbers == self.nodata, np.nan, values).astype(np.float32)


REFLECTANCE = PixelFormat(dtype="int16", nodata=-32768, units="1", stated="reflectance", scale=1e-4)
POWER = PixelFormat(dtype="float32", nodata=np.nan, units="1", stated="linear")
HEIGHT = PixelFormat(dtype="float32", nodata=np.nan, units="m", stated="m")
COLOUR = PixelFormat(dtype="uint8", nodata=None, units="", stated="colour")
CODES = PixelFormat(dtype="uint8", nodata=255, units="", stated="code")
CODES_WITH_NO_DATA = dataclasses.replace(CODES, nodata=0)
"""For class sets in which code 0 already means that there is no data."""


def pixel_format(modality: Modality) -> PixelFormat:
    """The format in which a modality's samples are kept."""
    if modality.encoding == "classes":
        return (
            CODES_WITH_NO_DATA
            if dict(zip(modality.codes, modality.classes, strict=True)).get(0) == "no data"
            else CODES
        )
    return {"reflectance": REFLECTANCE, "power": POWER, "height": HEIGHT, "colour": COLOUR}[modality.encoding]


def statistic_format(modality: Modality) -> PixelFormat:
    """The format of a mean, spread or quantile of a modality, or of a class probability: float32, same unit."""
    units = pixel_format(modality).units or "1"
    return PixelFormat(dtype="float32", nodata=np.nan, units=units)


LONG_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "DEM": "height of the surface above the geoid",
        "S1RTC": "radar backscatter gamma0, terrain corrected, linear power",
        "S2L1C": "top-of-atmosphere reflectance, DN offset removed",
        "S2L2A": "surface reflectance, DN offset removed",
        "LULC": "land cover class",
        "cloud_mask": "cloud class",
        "location": "place of the patch centre",
        "timestamp": "date of acquisition",
    }
)


def long_name(modality: Modality) -> str:
    """What a modality's values are, for people."""
    return LONG_NAMES.get(modality.product, modality.product)
