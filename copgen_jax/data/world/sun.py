"""Where the sun stands (low-precision formulas of the Astronomical Almanac, good to 0.02 degrees until 2050)."""

import numpy as np

OVERPASS_HOUR = 10.5
"""Sentinel-2's mean local solar time at the descending node, in hours."""

_J2000 = np.datetime64("2000-01-01T12:00:00", "ms")


def sun_position(latitude: float, longitude: float, time: np.datetime64) -> tuple[float, float]:
    """(zenith, azimuth clockwise from north) of the sun in degrees, without refraction, at a UTC time."""
    days = float((time.astype("datetime64[ms]") - _J2000) / np.timedelta64(1, "ms")) / 86_400_000.0
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude_sun = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 4.0e-7 * days)
    declination = np.arcsin(np.sin(obliquity) * np.sin(longitude_sun))
    ascension = np.arctan2(np.cos(obliquity) * np.sin(longitude_sun), np.cos(longitude_sun))
    sidereal = np.radians((280.46062 + 360.98564737 * days + longitude) % 360.0)
    hour_angle, phi = sidereal - ascension, np.radians(latitude)
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    zenith = np.degrees(np.arccos(np.clip(up, -1, 1)))
    return float(zenith), float(np.degrees(np.arctan2(east, north)) % 360.0)


def overpass(longitude: float, date: np.datetime64) -> np.datetime64:
    """UTC time of Sentinel-2's passage over a longitude on a (local) date."""
    hours = OVERPASS_HOUR - longitude / 15.0
    return date.astype("datetime64[D]").astype("datetime64[ms]") + np.timedelta64(round(hours * 3_600_000), "ms")


def overpass_sun(latitude: float, longitude: float, date: np.datetime64) -> tuple[float, float]:
    """(zenith, azimuth) of the sun in degrees when Sentinel-2 passes."""
    return sun_position(latitude, longitude, overpass(longitude, date))
