"""Climate as a known, smooth function of place, height and date: what any observer who knows the location knows.

Annual mean temperature falls with latitude (27 C at the equator, 12 C at 50 degrees) and by 6.5 C per kilometre; its
seasonal swing grows with latitude; rain has a wet equator (but for East Africa), dry belts near 25 degrees, wet middle
latitudes, and varies with longitude. The numbers are round on purpose: a caricature of zonal climatology, not a climate
model.
"""

import dataclasses

import numpy as np

LAPSE_RATE = 6.5e-3
"""Kelvin per metre."""


@dataclasses.dataclass(frozen=True)
class Climate:
    """Climate of a place at sea level."""

    latitude: float
    temperature: float
    """Annual mean in degrees Celsius."""
    swing: float
    """Half the difference between the warmest and the coldest month, in Kelvin."""
    rain: float
    """Wetness of the year, 0 (desert) to 1 (rain forest)."""
    wet_season: float
    """Share of the rain's seasonality, 0 (even) to 1 (monsoon)."""


def climate_at(latitude: float, longitude: float) -> Climate:
    """Climate of a place given in degrees."""
    # Python numbers do not widen float32 arrays, NumPy's scalars do
    latitude, longitude = float(latitude), float(longitude)
    distance = abs(latitude)
    east_africa = np.exp(-(((longitude - 42.0) / 14.0) ** 2))
    rain = (
        0.50
        + 0.42 * np.exp(-((latitude / 11.0) ** 2)) * (1 - 1.3 * east_africa)
        - 0.34 * np.exp(-(((distance - 25.0) / 9.0) ** 2))
        + 0.14 * np.exp(-(((distance - 52.0) / 13.0) ** 2))
        + 0.20 * np.sin(np.radians(3 * longitude + 40.0)) * np.sin(np.radians(2 * latitude + 25.0))
    )
    return Climate(
        latitude=latitude,
        temperature=27.0 - 0.0061 * latitude**2,
        swing=1.0 + 0.20 * distance,
        rain=float(np.clip(rain, 0.03, 1.0)),
        wet_season=float(np.exp(-(((distance - 14.0) / 11.0) ** 2))),
    )


def season(latitude: float, date: np.datetime64) -> float:
    """Phase of the year in [0, 1): 0 on the first of January in the north, on the second of July in the south."""
    start = date.astype("datetime64[Y]").astype("datetime64[D]")
    length = (date.astype("datetime64[Y]") + 1).astype("datetime64[D]") - start
    phase = float((date.astype("datetime64[D]") - start) / length)
    return phase if latitude >= 0 else (phase + 0.5) % 1.0


def temperature_on(climate: Climate, phase: float, height: float) -> float:
    """Mean temperature in degrees Celsius at a phase of the year; warmest in late July in the north."""
    return climate.temperature + climate.swing * float(np.cos(2 * np.pi * (phase - 0.56))) - LAPSE_RATE * height


def growth(climate: Climate, phase: float, height: float) -> float:
    """How green unmanaged vegetation is at that time, 0 to 1: warm enough, and wet season or wet climate."""
    warm = 1 / (1 + np.exp(-(temperature_on(climate, phase, height) - 5.0) / 2.0))
    monsoon = 0.5 + 0.5 * np.cos(2 * np.pi * (phase - 0.62))
    wet = (1 - climate.wet_season) * 0.85 + climate.wet_season * (0.2 + 0.8 * monsoon)
    return float(warm * wet * (0.25 + 0.75 * min(1.0, climate.rain / 0.55)))
