"""Where a patch lies: one square of ground, shared by every band at its own resolution."""

import dataclasses
import zlib
from functools import cached_property

import numpy as np
from affine import Affine


@dataclasses.dataclass(frozen=True)
class Ground:
    """A north-up square in a projected CRS."""

    crs: str
    """As rasterio and pyproj read it: "EPSG:32633" where there is a code, else WKT."""
    left: float
    top: float
    """Upper left corner, in the CRS's metres."""
    extent: float
    """Side in metres: 1920 for a published patch."""

    def transform(self, resolution: float) -> Affine:
        """Affine transform of the raster with pixels of `resolution` metres on this ground."""
        return Affine(resolution, 0.0, self.left, 0.0, -resolution, self.top)

    def coordinates(self, resolution: float) -> tuple[np.ndarray, np.ndarray]:
        """Pixel centres (x, y) in metres, float64, of the raster with pixels of `resolution` metres."""
        steps = (np.arange(round(self.extent / resolution)) + 0.5) * resolution
        return self.left + steps, self.top - steps

    @cached_property
    def centre(self) -> tuple[float, float]:
        """(latitude, longitude) of the centre, in degrees (WGS 84), longitude in [-180, 180)."""
        from pyproj import Transformer

        to_degrees = Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        half = self.extent / 2
        longitude, latitude = to_degrees.transform(self.left + half, self.top - half)
        return float(latitude), (float(longitude) + 180.0) % 360.0 - 180.0

    @property
    def place_id(self) -> str:
        """Name of the place, from which random keys are derived: CRS and corner to the millimetre."""
        return f"{self.crs} {self.left:.3f} {self.top:.3f}"

    @property
    def place_code(self) -> int:
        """CRC-32 of the place id."""
        return zlib.crc32(self.place_id.encode())
