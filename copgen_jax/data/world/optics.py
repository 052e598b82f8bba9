"""Sentinel-2 from the scene: one linear mixture on every grid, then the atmosphere, then digital numbers.

Spectra are mixed by the shares of pure surfaces at 10 m, under a band's diffuse light d everywhere and its direct light
(1 - d) cos(incidence)/cos(zenith) on slopes, less what clouds take and plus what they add. The result is blurred by the
instrument at 10 m and averaged to 20 m and 60 m, so all bands see one scene.
"""

import dataclasses

import numpy as np

from copgen_jax.data.world import atmosphere
from copgen_jax.data.world.atmosphere import Air
from copgen_jax.data.world.clouds import Light
from copgen_jax.data.world.noise import Stream, block_mean, enlarge, soften
from copgen_jax.data.world.spectra import spectra_of
from copgen_jax.data.world.surface import Surface
from copgen_jax.data.world.terrain import gradient
from copgen_jax.modalities import Modality

OFFSET = 1000
"""Digital number of reflectance 0, as in Sentinel-2 baselines 04.00 and later and in Major TOM (N0500)."""

SCALE = 10000

_RELIEF = 0.75
"""Share of the topographic shading that is seen: slopes also get light from each other, and products correct some."""

_BLUR = 0.13
"""Outer weight of the point spread at 10 m, per direction; at 20 and 60 m averaging dominates it."""

_NOISE = 0.0012
"""Standard deviation of a band's radiometric noise, in reflectance."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """What covers the ground and the light on it, per 10 m pixel (H, W)."""

    shares: np.ndarray
    """Shares of pure surfaces (material, H, W)."""
    sky: np.ndarray
    """Gain of the light that comes from the whole sky: 1, or less under a cloud."""
    sun: np.ndarray
    """Gain of direct sunlight relative to flat ground: slope, cloud and shadow."""
    cloud: np.ndarray
    """Light that clouds add, as reflectance in the visible."""
    cirrus: np.ndarray
    """Share (h, w) of thin high cloud at 60 m, for B10."""
    opacity: np.ndarray
    """Cloud opacity (h, w) at 60 m."""
    height: float
    """Mean height of the ground in metres."""


Reflectance = dict[str, np.ndarray]
"""(h, w) at the ground, clouds included, per band on its own grid."""


def illumination(height: np.ndarray, zenith: float, azimuth: float, pixels: int) -> np.ndarray:
    """Direct light on the slopes of a 30 m height grid relative to flat ground, (pixels, pixels) at 10 m."""
    east, north = gradient(height, 30.0)
    z, a = np.radians(min(zenith, 80.0)), np.radians(azimuth)
    facing = np.cos(z) - np.sin(z) * (east * np.sin(a) + north * np.cos(a))
    ratio = np.maximum(facing, 0) / np.sqrt(1 + east**2 + north**2) / np.cos(z)
    shaded = (1 + _RELIEF * (np.minimum(ratio, 2.2) - 1)).astype(np.float32)
    return enlarge(np.pad(shaded, 1, mode="edge"), 3, pixels)


def compose_scene(surface: Surface, light: Light, height: np.ndarray, zenith: float, azimuth: float) -> Scene:
    """The scene under the day's light. `height` is the surface model at 30 m."""
    through = 1 - light.opacity
    opacity = block_mean(light.opacity, 6)
    return Scene(
        shares=surface.shares,
        sky=through,
        sun=through * light.direct * illumination(height, zenith, azimuth, len(through)),
        cloud=light.opacity * light.brightness,
        opacity=opacity,
        cirrus=opacity * np.float32(light.cirrus**2),
        height=float(np.mean(height)),
    )


def surface_reflectance(scene: Scene, air: Air, zenith: float, bands: tuple[str, ...], resolution: int) -> np.ndarray:
    """(band, h, w) reflectance at the ground, clouds included, as a perfect atmospheric correction would show it."""
    # line by line, so that BLAS starts no threads (see noise.product)
    lines = np.matmul(spectra_of(bands).T, np.moveaxis(scene.shares, 1, 0))
    fine = np.ascontiguousarray(np.moveaxis(lines, 0, 1))
    for rho, band in zip(fine, bands, strict=True):
        diffuse = atmosphere.optics(band, air, zenith, scene.height).diffuse
        rho *= np.float32(diffuse) * scene.sky + np.float32(1 - diffuse) * scene.sun
        rho += np.float32(_cloud_spectrum(band)) * scene.cloud
    return soften(fine, _BLUR) if resolution == 10 else block_mean(fine, resolution // 10)


def observe(stream: Stream, scene: Scene, air: Air, zenith: float, modalities: tuple[Modality, ...]) -> Reflectance:
    """Reflectance at the ground of every band of the modalities, with radiometric noise."""
    grids: dict[int, list[str]] = {}
    for modality in modalities:
        bands = grids.setdefault(round(modality.resolution or 0), [])
        bands += [band for band in modality.bands if band not in bands and band != "B10"]
    noise = stream.pixels("radiometry")
    result: Reflectance = {}
    for resolution, bands in grids.items():
        rho = surface_reflectance(scene, air, zenith, tuple(bands), resolution)
        rho += np.float32(_NOISE) * noise.standard_normal(rho.shape, np.float32)
        result.update(zip(bands, rho, strict=True))
    return result


def surface_product(
    reflectance: Reflectance, scene: Scene, air: Air, zenith: float, modalities: tuple[Modality, ...]
) -> dict[str, np.ndarray]:
    """L2A digital numbers (h, w, band) uint16, with the haze left by an imperfect aerosol estimate."""

    def corrected(band: str) -> np.ndarray:
        return reflectance[band] + np.float32(air.mistake * atmosphere.optics(band, air, zenith, scene.height).haze)

    return {m.name: to_numbers([corrected(band) for band in m.bands]) for m in modalities}


def top_product(
    stream: Stream,
    reflectance: Reflectance,
    scene: Scene,
    air: Air,
    zenith: float,
    modalities: tuple[Modality, ...],
) -> dict[str, np.ndarray]:
    """L1C digital numbers (h, w, band) uint16."""

    def top(band: str) -> np.ndarray:
        if band == "B10":
            return _cirrus(stream, scene, air)
        o = atmosphere.optics(band, air, zenith, scene.height)
        rho = atmosphere.to_top(reflectance[band], o)
        # vapour lies below most clouds: they shine through what is left above them
        return rho * np.float32(o.gas) ** (-0.55 * scene.opacity) if band == "B09" else rho

    return {m.name: to_numbers([top(band) for band in m.bands]) for m in modalities}


def to_numbers(bands: list[np.ndarray]) -> np.ndarray:
    """(h, w, band) uint16 digital numbers of reflectances; 1 is the lowest valid number."""
    numbers = np.rint(np.stack(bands, axis=-1) * np.float32(SCALE)) + np.float32(OFFSET)
    return np.clip(numbers, 1, 65535).astype(np.uint16)


def _cirrus(stream: Stream, scene: Scene, air: Air) -> np.ndarray:
    floor = atmosphere.cirrus_floor(air, scene.height)
    noise = stream.pixels("cirrus").standard_normal(scene.cirrus.shape, np.float32)
    return np.float32(floor) + np.float32(0.0003) * noise + np.float32(0.14) * scene.cirrus + 0.004 * scene.opacity


def _cloud_spectrum(band: str) -> float:
    """Reflectance relative to the visible: droplets absorb a little in the short-wave infrared."""
    return {"B11": 0.72, "B12": 0.55}.get(band, 1.0)
