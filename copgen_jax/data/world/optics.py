"""Sentinel-2 from the scene: one linear mixture on every grid, then the atmosphere, then digital numbers.

Shares of pure surfaces are weighted by what clouds let through and by the light that falls on a slope, blurred by the
instrument, and averaged to 20 m and 60 m: mixing is linear, so averaging shares is averaging reflectance, and the bands
agree. A surface gets diffuse light d everywhere and direct light (1 - d) cos(incidence)/cos(zenith).
"""

import dataclasses

import numpy as np

from copgen_jax.data.world import atmosphere
from copgen_jax.data.world.atmosphere import Air
from copgen_jax.data.world.clouds import Light
from copgen_jax.data.world.noise import Stream, block_mean, enlarge, soften
from copgen_jax.data.world.spectra import WAVELENGTHS, spectra_of
from copgen_jax.data.world.surface import Surface
from copgen_jax.data.world.terrain import gradient
from copgen_jax.modalities import Modality

OFFSET = 1000
"""Digital number of reflectance 0, as in Sentinel-2 baselines 04.00 and later and in Major TOM (N0500)."""

SCALE = 10000

_RELIEF = 0.75
"""Share of the topographic shading that is seen: slopes also get light from each other, and products correct some."""

_NOISE = 0.0012
"""Standard deviation of a band's radiometric noise, in reflectance."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """Weighted shares per grid resolution (material + cloud, h, w): under all light, and under direct light only."""

    whole: dict[int, np.ndarray]
    direct: dict[int, np.ndarray]
    cirrus: np.ndarray
    """Share (h, w) of thin high cloud at 60 m, for B10."""
    opacity: np.ndarray
    """Cloud opacity (h, w) at 60 m."""
    height: float
    """Mean height of the ground in metres."""


def illumination(height: np.ndarray, zenith: float, azimuth: float, pixels: int) -> np.ndarray:
    """Direct light on the slopes of a 30 m height grid relative to flat ground, (pixels, pixels) at 10 m."""
    east, north = gradient(height, 30.0)
    z, a = np.radians(min(zenith, 80.0)), np.radians(azimuth)
    facing = np.cos(z) - np.sin(z) * (east * np.sin(a) + north * np.cos(a))
    ratio = np.maximum(facing, 0) / np.sqrt(1 + east**2 + north**2) / np.cos(z)
    shaded = (1 + _RELIEF * (np.minimum(ratio, 2.2) - 1)).astype(np.float32)
    return enlarge(np.pad(shaded, 1, mode="edge"), 3, pixels)


def compose_scene(surface: Surface, light: Light, height: np.ndarray, zenith: float, azimuth: float) -> Scene:
    """The scene on the grids of 10, 20 and 60 m. `height` is the surface model at 30 m."""
    pixels = light.opacity.shape[0]
    slopes = illumination(height, zenith, azimuth, pixels)
    through = surface.shares * (1 - light.opacity)
    cloud = (light.opacity * light.brightness)[None]
    whole = np.concatenate([through, cloud])
    direct = np.concatenate([through * (slopes * light.direct), cloud])
    fine = {"whole": soften(whole, 0.13), "direct": soften(direct, 0.13)}
    grids = {name: {10: f, 20: block_mean(f, 2)} for name, f in fine.items()}
    for grid in grids.values():
        grid[60] = block_mean(grid[20], 3)
    opacity = block_mean(light.opacity, 6)
    return Scene(
        **grids, opacity=opacity, cirrus=opacity * np.float32(light.cirrus**2), height=float(np.mean(height))
    )


def surface_reflectance(scene: Scene, air: Air, zenith: float, band: str, resolution: int) -> np.ndarray:
    """(h, w) reflectance at the ground, clouds included, as a perfect atmospheric correction would show it."""
    diffuse = np.float32(atmosphere.optics(band, air, zenith, scene.height).diffuse)
    spectrum = _spectrum(band)
    flat = np.tensordot(spectrum * diffuse, scene.whole[resolution], 1)
    return flat + np.tensordot(spectrum * (1 - diffuse), scene.direct[resolution], 1)


def observe(
    stream: Stream, scene: Scene, air: Air, zenith: float, modalities: tuple[Modality, ...]
) -> dict[str, dict[str, np.ndarray]]:
    """Reflectance at the ground with radiometric noise, per modality and band."""
    noise = stream.pixels("radiometry")
    return {
        m.name: {
            band: (rho := surface_reflectance(scene, air, zenith, band, round(m.resolution)))
            + np.float32(_NOISE) * noise.standard_normal(rho.shape, np.float32)
            for band in m.bands
            if band != "B10"
        }
        for m in modalities
        if m.resolution is not None
    }


def surface_product(
    reflectance: dict[str, dict[str, np.ndarray]], scene: Scene, air: Air, zenith: float, modalities: tuple[Modality, ...]
) -> dict[str, np.ndarray]:
    """L2A digital numbers (h, w, band) uint16, with the haze left by an imperfect aerosol estimate."""
    result = {}
    for m in modalities:
        left = {b: air.mistake * atmosphere.optics(b, air, zenith, scene.height).haze for b in m.bands}
        result[m.name] = to_numbers([_ground(reflectance, b, m) + np.float32(left[b]) for b in m.bands])
    return result


def top_product(
    stream: Stream,
    reflectance: dict[str, dict[str, np.ndarray]],
    scene: Scene,
    air: Air,
    zenith: float,
    modalities: tuple[Modality, ...],
) -> dict[str, np.ndarray]:
    """L1C digital numbers (h, w, band) uint16."""
    result = {}
    for m in modalities:
        bands = []
        for band in m.bands:
            if band == "B10":
                bands.append(_cirrus(stream, scene))
                continue
            o = atmosphere.optics(band, air, zenith, scene.height)
            top = atmosphere.to_top(_ground(reflectance, band, m), o)
            if band == "B09":
                # vapour lies below most clouds: they shine through what is left above them
                top *= np.float32(o.gas) ** (-0.55 * scene.opacity)
            bands.append(top)
        result[m.name] = to_numbers(bands)
    return result


def to_numbers(bands: list[np.ndarray]) -> np.ndarray:
    """(h, w, band) uint16 digital numbers of reflectances; 1 is the lowest valid number."""
    numbers = np.rint(np.stack(bands, axis=-1) * np.float32(SCALE)) + np.float32(OFFSET)
    return np.clip(numbers, 1, 65535).astype(np.uint16)


def _cirrus(stream: Stream, scene: Scene) -> np.ndarray:
    floor = atmosphere.CIRRUS_FLOOR * (1 + scene.height / 1200.0)
    noise = stream.pixels("cirrus").standard_normal(scene.cirrus.shape, np.float32)
    return np.float32(floor) + np.float32(0.0003) * noise + np.float32(0.14) * scene.cirrus + 0.004 * scene.opacity


def _ground(reflectance: dict[str, dict[str, np.ndarray]], band: str, modality: Modality) -> np.ndarray:
    """The band's reflectance from whichever modality of the same resolution holds it."""
    for bands in reflectance.values():
        if band in bands and bands[band].shape[0] == modality.pixels:
            return bands[band]
    raise KeyError(band)


def _spectrum(band: str) -> np.ndarray:
    """(material + cloud) reflectance; cloud droplets absorb a little in the short-wave infrared."""
    cloud = 1.0 if WAVELENGTHS[band] < 1.0 else {"B11": 0.72, "B12": 0.55}[band]
    return np.append(spectra_of((band,))[:, 0], np.float32(cloud)).astype(np.float32)
