"""Reflectance of pure surfaces in the twelve bands of Sentinel-2's surface product, and the bands' physics.

The spectra are round numbers read off published libraries (ECOSTRESS, Meerdink et al. 2019; USGS splib07, Kokaly et al.
2017; water after Pope & Fry 1997 absorption) and then moved towards what Sentinel-2 shows of real, never pure surfaces.
They are typical values, not measurements of anything.
"""

import numpy as np

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""Order of the spectra; B10 sees no ground."""

TOP_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Bands of the top-of-atmosphere product."""

WAVELENGTHS = {
    "B01": 0.443, "B02": 0.492, "B03": 0.560, "B04": 0.665, "B05": 0.704, "B06": 0.741, "B07": 0.783, "B08": 0.833,
    "B8A": 0.865, "B09": 0.945, "B10": 1.374, "B11": 1.614, "B12": 2.202,
}  # fmt: skip
"""Band centres in micrometres (Sentinel-2A spectral responses)."""

_TABLE = {
    #               B01    B02    B03    B04    B05    B06    B07    B08    B8A    B09    B11    B12
    "grass":       (0.014, 0.019, 0.050, 0.026, 0.092, 0.285, 0.355, 0.385, 0.395, 0.400, 0.185, 0.085),
    "broadleaf":   (0.012, 0.015, 0.035, 0.019, 0.068, 0.215, 0.275, 0.300, 0.310, 0.312, 0.130, 0.055),
    "conifer":     (0.010, 0.013, 0.024, 0.016, 0.044, 0.118, 0.145, 0.160, 0.170, 0.175, 0.080, 0.036),
    "straw":       (0.055, 0.075, 0.115, 0.150, 0.180, 0.215, 0.235, 0.255, 0.275, 0.280, 0.330, 0.230),
    "bright soil": (0.085, 0.110, 0.160, 0.220, 0.255, 0.280, 0.300, 0.315, 0.335, 0.340, 0.420, 0.355),
    "dark soil":   (0.030, 0.038, 0.055, 0.075, 0.090, 0.102, 0.112, 0.122, 0.132, 0.140, 0.190, 0.165),
    "red soil":    (0.040, 0.052, 0.085, 0.165, 0.200, 0.225, 0.240, 0.250, 0.275, 0.280, 0.360, 0.290),
    "asphalt":     (0.060, 0.068, 0.080, 0.090, 0.098, 0.105, 0.110, 0.115, 0.122, 0.128, 0.145, 0.135),
    "bright roof": (0.270, 0.310, 0.350, 0.380, 0.390, 0.400, 0.405, 0.410, 0.420, 0.420, 0.420, 0.390),
    "red roof":    (0.060, 0.070, 0.095, 0.190, 0.225, 0.245, 0.255, 0.265, 0.285, 0.290, 0.330, 0.300),
    "clear water": (0.030, 0.030, 0.024, 0.012, 0.011, 0.008, 0.007, 0.006, 0.005, 0.005, 0.003, 0.002),
    "muddy water": (0.045, 0.060, 0.095, 0.090, 0.092, 0.062, 0.060, 0.045, 0.036, 0.030, 0.008, 0.005),
    "snow":        (0.880, 0.890, 0.880, 0.870, 0.860, 0.850, 0.835, 0.810, 0.780, 0.700, 0.100, 0.075),
    "shade":       (0.003, 0.003, 0.004, 0.003, 0.006, 0.014, 0.017, 0.018, 0.019, 0.020, 0.010, 0.005),
}  # fmt: skip

MATERIALS = tuple(_TABLE)
"""Names of the pure surfaces."""

SPECTRA = np.asarray(list(_TABLE.values()), np.float32)
"""(material, band) reflectance."""


def spectra_of(bands: tuple[str, ...]) -> np.ndarray:
    """(material, len(bands)) reflectance of some bands."""
    return SPECTRA[:, [BANDS.index(band) for band in bands]]
