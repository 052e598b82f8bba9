"""Sentinel-1 gamma0 (terrain-corrected, linear power): mean backscatter of the scene, then speckle.

Backscatter adds in power: every pure surface has a typical gamma0 at 38 degrees (tables of Ulaby & Dobson 1989, rounded
and moved towards Sentinel-1 RTC scenes), bare ground brightens with roughness and moisture, water with wind, walls that
face the radar are bright points. What is left of relief after terrain correction follows the local incidence angle.

Speckle is gamma distributed with ENL looks and mean 1; neighbours are correlated, as pixels of 10 m are from a
resolution of 20 m: a Gaussian field, smoothed by a 3 x 3 kernel, turns gamma by Wilson & Hilferty's cube (1931)

    g = (1 - 1/(9 ENL) + z / (3 sqrt(ENL)))^3,

whose quantiles from 1 to 99 % are those of the gamma distribution to 1 %.
"""

import numpy as np

from copgen_jax.data.world.noise import Stream, enlarge, soften
from copgen_jax.data.world.spectra import MATERIALS
from copgen_jax.data.world.surface import Surface, Wetness
from copgen_jax.data.world.terrain import gradient

LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 IW GRD."""

_KERNEL = 0.25
"""Outer weight of the kernel (1/4, 1/2, 1/4) in each direction: neighbours correlate by 2/3 before the cube."""

_INCIDENCE = np.radians(38.0)

#               VV     VH  in dB
_TYPICAL = {
    "grass": (-10.5, -16.8),
    "broadleaf": (-9.3, -14.8),
    "conifer": (-9.6, -15.0),
    "straw": (-12.0, -18.8),
    "asphalt": (-11.5, -19.0),
    "bright roof": (-6.5, -14.5),
    "red roof": (-7.5, -14.5),
    "snow": (-12.0, -19.5),
    "shade": (-9.6, -15.0),
}


def mean_backscatter(
    stream: Stream, surface: Surface, wetness: Wetness, height: np.ndarray, ascending: bool
) -> np.ndarray:
    """(H, W, 2) linear gamma0 in VV and VH without speckle. `height` is the surface model at 30 m."""
    pixels = surface.shares.shape[-1]
    share = dict(zip(MATERIALS, surface.shares, strict=True))
    soil = share["bright soil"] + share["dark soil"] + share["red soil"]
    open_water = share["clear water"] + share["muddy water"]
    texture = stream.field("texture", (240, 75, 32), (0.8, 0.8, 0.6))
    rough = surface.roughness
    ground_vv = -17.0 + 6.5 * rough + 6.0 * wetness.soil
    ground = (ground_vv, ground_vv - 9.5 + 3.5 * rough)
    sea = (-24.0 + 1.3 * min(wetness.wind, 10.0), -30.0 + 0.5 * min(wetness.wind, 10.0))
    sparkle = stream.pixels("corners").standard_exponential((pixels, pixels), np.float32)
    corners = surface.corners * np.maximum(sparkle - 0.8, 0)
    slopes = _facing(height, ascending, pixels)
    roughened = _linear(1.0 * texture + surface.structure)
    bands = []
    for band, name in enumerate(("VV", "VH")):
        power = soil * _linear(ground[band]) + open_water * _linear(sea[band])
        for material, typical in _TYPICAL.items():
            power += share[material] * _linear(typical[band])
        power *= roughened * (1 + 0.25 * surface.greenness) if name == "VH" else roughened
        power += corners * (1.6 if name == "VV" else 0.28)
        bands.append(power * slopes)
    return np.stack(bands, axis=-1)


def speckle(stream: Stream, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 2) multiplicative speckle of mean 1, independent between polarisations."""
    white = stream.pixels("speckle").standard_normal((2, shape[0] + 2, shape[1] + 2), np.float32)
    # the kernel's squared weights sum to 0.375 in each direction
    z = np.moveaxis(soften(white, _KERNEL)[:, 1:-1, 1:-1], 0, -1) / np.float32(0.375)
    root = np.float32(1 - 1 / (9 * LOOKS)) + z * np.float32(1 / (3 * np.sqrt(LOOKS)))
    return np.maximum(root, np.float32(0.05)) ** 3


def _facing(height: np.ndarray, ascending: bool, pixels: int) -> np.ndarray:
    """Brightness of slopes that face the radar relative to flat ground."""
    east, north = gradient(height, 30.0)
    towards = np.radians(259.0 if ascending else 101.0)
    tilt = np.sin(_INCIDENCE) * (east * np.sin(towards) + north * np.cos(towards))
    cosine = (np.cos(_INCIDENCE) - tilt) / np.sqrt(1 + east**2 + north**2) / np.cos(_INCIDENCE)
    factor = np.clip(cosine, 0.15, 1.8).astype(np.float32) ** np.float32(0.8)
    return enlarge(np.pad(factor, 1, mode="edge"), 3, pixels)


def _linear(decibel):
    return np.exp(np.float32(np.log(10) / 10) * decibel)
