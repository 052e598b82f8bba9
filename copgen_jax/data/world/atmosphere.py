"""The clear atmosphere: surface reflectance to top-of-atmosphere reflectance.

    rho_top = g [rho_path + T rho / (1 - S rho)]

with gas transmittance g, path reflectance of molecules and aerosol in single scattering (Rayleigh optical depth after
Hansen & Travis 1974, Henyey-Greenstein aerosol of asymmetry 0.65 and Angstrom exponent 1.3), two-way scattering
transmittance T and spherical albedo S (the form of Vermote et al. 1997, 6S). The view is vertical.
"""

import dataclasses
import functools

import numpy as np

from copgen_jax.data.world.noise import Stream
from copgen_jax.data.world.spectra import WAVELENGTHS

_GAS = {
    "B01": 0.995, "B02": 0.98, "B03": 0.955, "B04": 0.965, "B05": 0.955, "B06": 0.95, "B07": 0.96, "B08": 0.90,
    "B8A": 0.965, "B11": 0.88, "B12": 0.84,
}  # fmt: skip
"""Two-way transmittance of ozone, oxygen, carbon dioxide, methane and (outside B09) water vapour at an air mass of 2.5;
fitted to the ratio of L1C to L2A in Sentinel-2 scenes."""


@dataclasses.dataclass(frozen=True)
class Air:
    """Hidden state of the atmosphere."""

    aerosol: float
    """Optical depth at 0.55 micrometres."""
    vapour: float
    """Precipitable water in centimetres."""
    mistake: float
    """Error of the aerosol optical depth that the surface product was corrected with."""


@dataclasses.dataclass(frozen=True)
class Optics:
    """Coefficients of one band."""

    gas: float
    path: float
    transmittance: float
    albedo: float
    diffuse: float
    """Share of the light at the ground that comes from the sky."""
    haze: float
    """Path reflectance per unit of aerosol optical depth."""


def draw_air(stream: Stream, temperature: float) -> Air:
    """Aerosol is log-normal around 0.11; vapour grows with temperature."""
    rng = stream.scalars()
    aerosol = float(np.clip(0.11 * np.exp(0.55 * rng.standard_normal()), 0.02, 0.6))
    vapour = float(np.clip(0.9 * np.exp(0.045 * (temperature - 10.0) + 0.3 * rng.standard_normal()), 0.1, 6.5))
    return Air(aerosol, vapour, float(0.05 * rng.standard_normal()))


@functools.lru_cache(maxsize=256)
def optics(band: str, air: Air, zenith: float, height: float) -> Optics:
    """Coefficients for a sun zenith angle (degrees) and a mean height of the ground (m)."""
    wavelength, mu = WAVELENGTHS[band], float(np.cos(np.radians(min(zenith, 80.0))))
    molecules = 0.00864 * wavelength ** -(3.916 + 0.074 * wavelength + 0.05 / wavelength) * np.exp(-height / 8400)
    aerosol = air.aerosol * (wavelength / 0.55) ** -1.3 * np.exp(-height / 3000)
    air_mass = 1 / mu + 1
    rayleigh = 0.75 * (1 + mu**2) * _scattered(molecules, air_mass, mu)
    g = 0.65
    phase = (1 - g**2) / (1 + g**2 + 2 * g * mu) ** 1.5
    unit = 0.92 * phase * _scattered(aerosol, air_mass, mu)
    return Optics(
        gas=vapour_transmittance(air, air_mass) if band == "B09" else _GAS[band] ** (air_mass / 2.5),
        path=float(rayleigh * (1 + 0.8 * molecules) + unit),
        transmittance=float(np.exp(-(0.48 * molecules + 0.15 * aerosol) * air_mass)),
        albedo=float(0.85 * molecules * (1 - molecules) + 0.12 * aerosol),
        diffuse=float(1 - np.exp(-(0.8 * molecules + 0.9 * aerosol) / mu)),
        haze=float(unit / air.aerosol),
    )


def vapour_transmittance(air: Air, air_mass: float) -> float:
    """Of B09, centred on a water vapour band: a square-root law of strong absorption."""
    return float(np.exp(-0.62 * np.sqrt(air.vapour * air_mass)))


def cirrus_floor(air: Air, height: float) -> float:
    """Reflectance of B10 over a clear sky: little, but more over high ground and in dry air."""
    return 0.0011 + 0.007 * float(np.exp(-1.6 * air.vapour * np.exp(-height / 2200.0)))


def to_top(rho: np.ndarray, o: Optics) -> np.ndarray:
    """Top-of-atmosphere reflectance of a surface reflectance."""
    return np.float32(o.gas) * (
        np.float32(o.path) + np.float32(o.transmittance) * rho / (1 - np.float32(o.albedo) * rho)
    )


def _scattered(depth: float, air_mass: float, mu: float) -> float:
    return (1 - float(np.exp(-depth * air_mass))) / (4 * (mu + 1))
