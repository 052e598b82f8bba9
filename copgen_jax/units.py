"""Physical values to network values and back, one conversion each way per encoding.

Network values n of an image are float32, channel-last, about [-1, 1]. With a min-max scaling of v over [lo, hi],
n = 2 (v - lo) / (hi - lo) - 1:

    reflectance  v = DN / 10000 in the model's own offset convention, over [0, 1]; never clipped or rounded
    power        v = 10 log10(p) of linear gamma0, over [-55.787186, 40.225800] dB
    height       v = log(1 + h) of metres, over [6e-6, 9.088]
    classes      one channel per code, +1 where the pixel has it, else -1
    colour       v in 0..255

Way in nothing is clipped, so values outside the scale stay outside [-1, 1]; way out power and height are clipped to it.
A place is a point of the unit sphere, a date a point of the year's circle and a year scaled over 1950-2050.

These conversions are as lenient as the original's: non-positive power and height become the smallest positive value, a
code that is no class becomes class 0 (no data; clear), and NaN stays NaN. Whoever reads a user's values refuses them
before (`copgen_jax.rasters`). Images may be NumPy or JAX arrays (and traced); what comes back is of the same kind.
Places and dates are computed by NumPy in float64.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped
from numpy.typing import ArrayLike

from copgen_jax.modalities import Modality

REFLECTANCE_SCALE = 10000.0
"""Sentinel-2 DN per unit of reflectance."""
MINIMUM_POWER = 2.6380407689430285e-06
"""What non-positive backscatter becomes, and the least that comes back."""
DECIBEL_RANGE = (-55.787186, 40.225800)
"""Backscatter in dB at network values -1 and 1."""
MINIMUM_HEIGHT = 5.899129519093549e-06
"""What heights at and below sea level become, in metres, and the least that comes back."""
LOG_HEIGHT_RANGE = (6e-06, 9.088)
"""log(1 + metres) at network values -1 and 1."""

Image = Shaped[Array | np.ndarray, "*batch H W bands"]
"""Physical values of one modality on its own grid: one channel per band; classes as codes, so H W 1."""
NetworkImage = Float[Array | np.ndarray, "*batch H W C"]
"""Network values of one modality: one channel per band, or per class."""


def to_network(modality: Modality, physical: Any) -> Any:
    """Network values of physical ones.

    Args:
        modality: says the encoding, bands and codes.
        physical: (..., H, W, bands) of DN, linear power, metres, class codes (..., H, W, 1) or colour 0..255, any real
            type; for a place (..., 2) of latitude and longitude in degrees; for a date (...) of datetime64 or dates.

    Returns:
        float32 (..., H, W, channels), or (..., 3) for a place or a date.
    """
    if modality.encoding == "position":
        return position_to_network(physical)
    if modality.encoding == "date":
        return date_to_network(physical)
    return image_to_network(modality, physical)


def to_physical(modality: Modality, network: Any) -> Any:
    """Physical values of network values: the inverse of `to_network`.

    Returns:
        float32 (..., H, W, bands); int32 codes (..., H, W, 1) for classes; float64 (..., 2) latitude and longitude in
        degrees for a place; datetime64[D] (...) for a date.
    """
    if modality.encoding == "position":
        return position_to_physical(network)
    if modality.encoding == "date":
        return date_to_physical(network)
    return image_to_physical(modality, network)


def image_to_network(modality: Modality, physical: Image) -> NetworkImage:
    """Network values float32 (..., H, W, channels) of an image modality's physical values (..., H, W, bands).

    Raises:
        ValueError: the last axis does not hold the modality's bands.
    """
    _require_last_axis(modality, physical, len(modality.bands), "bands")
    xp = _namespace(physical)
    if modality.encoding == "classes":
        return _one_hot(modality, physical)
    values = physical.astype(xp.float32)
    match modality.encoding:
        case "reflectance":
            return values / REFLECTANCE_SCALE * 2.0 - 1.0
        case "power":
            return _scaled(power_to_decibel(values), *DECIBEL_RANGE)
        case "height":
            return _scaled(xp.log1p(xp.where(values <= 0, MINIMUM_HEIGHT, values)), *LOG_HEIGHT_RANGE)
        case "colour":
            return _scaled(values, 0.0, 255.0)
        case _:
            raise ValueError(f"{modality.name}: an image cannot have the encoding {modality.encoding}")


def image_to_physical(modality: Modality, network: NetworkImage) -> Image:
    """Physical values (..., H, W, bands) of an image modality's network values (..., H, W, channels).

    Classes: the code of the highest channel, the first of equals.

    Raises:
        ValueError: the last axis does not hold the modality's channels.
    """
    _require_last_axis(modality, network, modality.channels, "channels")
    xp = _namespace(network)
    if modality.encoding == "classes":
        return indices_to_codes(modality, xp.argmax(network, axis=-1, keepdims=True))
    unit = (network.astype(xp.float32) + 1.0) / 2.0
    match modality.encoding:
        case "reflectance":
            return unit * REFLECTANCE_SCALE
        case "power":
            power = decibel_to_power(_unscaled(unit, *DECIBEL_RANGE))
            return xp.maximum(power, xp.float32(MINIMUM_POWER))
        case "height":
            return xp.maximum(xp.expm1(_unscaled(unit, *LOG_HEIGHT_RANGE)), xp.float32(MINIMUM_HEIGHT))
        case "colour":
            return _unscaled(unit, 0.0, 255.0)
        case _:
            raise ValueError(f"{modality.name}: an image cannot have the encoding {modality.encoding}")


def indices_to_codes(modality: Modality, indices: Shaped[Array | np.ndarray, "*shape"]) -> Any:
    """Class codes int32 of class indices 0..C-1 (their channel), same shape. Checked by the caller."""
    xp = _namespace(indices)
    return xp.take(xp.asarray(modality.codes, dtype=xp.int32), indices.astype(xp.int32), axis=0)


def power_to_decibel(power: Shaped[Array | np.ndarray, "*shape"]) -> Any:
    """10 log10(power) as float32; non-positive power counts as `MINIMUM_POWER`."""
    xp = _namespace(power)
    power = power.astype(xp.float32)
    return 10.0 * xp.log10(xp.where(power <= 0, MINIMUM_POWER, power))


def decibel_to_power(decibel: Shaped[Array | np.ndarray, "*shape"]) -> Any:
    """10**(decibel / 10) as float32."""
    xp = _namespace(decibel)
    return xp.power(xp.float32(10.0), decibel.astype(xp.float32) / 10.0)


def dn_to_reflectance(
    dn: Shaped[Array | np.ndarray, "*shape"], *, offset: float | int, nodata: float | int | None = 0
) -> Any:
    """Sentinel-2 reflectance (DN - offset) / 10000 as float32; may be negative.

    Args:
        dn: digital numbers, measured or generated.
        offset: the DN of zero reflectance: 1000 since processing baseline 04.00, 0 before or where it was removed.
        nodata: the DN that means no value and becomes NaN; None where every DN is a value, as in generated images.
    """
    xp = _namespace(dn)
    dn = dn.astype(xp.float32)
    reflectance = (dn - offset) / REFLECTANCE_SCALE
    return reflectance if nodata is None else xp.where(dn == nodata, xp.float32(xp.nan), reflectance)


def reflectance_to_dn(reflectance: Shaped[Array | np.ndarray, "*shape"], *, offset: float | int) -> Any:
    """Sentinel-2 DN 10000 reflectance + offset as float32, neither rounded nor clipped; NaN stays NaN."""
    xp = _namespace(reflectance)
    return reflectance.astype(xp.float32) * REFLECTANCE_SCALE + offset


def shift_dn(dn: Shaped[Array | np.ndarray, "*shape"], *, offset: float | int, to_offset: float | int) -> Any:
    """DN of one offset convention in another, as float32; DN 0 is no data and stays 0.

    A DN equal to `offset` (zero reflectance) also comes out as 0 where `to_offset` is 0: find no data before shifting.
    """
    xp = _namespace(dn)
    dn = dn.astype(xp.float32)
    return xp.where(dn == 0, dn, dn + (to_offset - offset))


def position_to_network(degrees: ArrayLike) -> Float[np.ndarray, "*batch 3"]:
    """Unit vectors (..., 3) of latitude and longitude (..., 2) in degrees.

    (cos lat cos lon, cos lat sin lon, sin lat), computed in float64.
    """
    latitude, longitude = np.moveaxis(np.radians(np.asarray(degrees, np.float64)), -1, 0)
    x, y = np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude)
    return np.stack([x, y, np.sin(latitude)], axis=-1).astype(np.float32)


def position_to_physical(network: ArrayLike) -> Float[np.ndarray, "*batch 2"]:
    """Latitude and longitude (..., 2) in degrees of vectors (..., 3), as the original reads them.

    lat = asin(clip(z, -1, 1)), lon = atan2(y, x): the vector's length does not matter to the longitude, and the
    latitude takes z as it is.
    """
    x, y, z = np.moveaxis(np.asarray(network, np.float64), -1, 0)
    latitude, longitude = np.arcsin(np.clip(z, -1.0, 1.0)), np.arctan2(y, x)
    return np.degrees(np.stack([latitude, longitude], axis=-1))


def date_to_network(dates: Any) -> Float[np.ndarray, "*batch 3"]:
    """(sin, cos, year) (..., 3) of calendar dates (...): datetime64, `datetime.date` or ISO text; NaT becomes NaN.

    With the day of the year d = 1..D, D = 365 or 366: (sin 2 pi d/D, cos 2 pi d/D, 2 (year - 1950) / 100 - 1). The 31st
    of December is the angle 2 pi. A time of day is cut off.
    """
    days = np.asarray(dates, "datetime64[D]")
    years = days.astype("datetime64[Y]")
    length = _days_in_year(years)
    known = ~np.isnat(days)
    day_of_year = np.where(known, (days - years.astype("datetime64[D]")).astype(np.float64) + 1.0, np.nan)
    year = np.where(known, years.astype(np.int64) + 1970.0, np.nan)
    angle = 2.0 * np.pi * day_of_year / length
    return np.stack([np.sin(angle), np.cos(angle), 2.0 * (year - 1950.0) / 100.0 - 1.0], axis=-1).astype(np.float32)


def date_to_physical(network: ArrayLike) -> Shaped[np.ndarray, "*batch"]:
    """Calendar dates datetime64[D] (...) of (sin, cos, year) vectors (..., 3); NaN becomes NaT.

    The year is rounded first, then the day by that year's length, so a vector a little past New Year is read as the
    31st of December of the same year, as in the original.
    """
    sine, cosine, scaled_year = np.moveaxis(np.asarray(network, np.float64), -1, 0)
    known = np.isfinite(sine) & np.isfinite(cosine) & np.isfinite(scaled_year)
    year = np.round(50.0 * (np.where(known, scaled_year, 0.0) + 1.0) + 1950.0).astype(np.int64)
    years = (year - 1970).astype("datetime64[Y]")
    length = _days_in_year(years)
    angle = np.where(known, np.arctan2(sine, cosine), 0.0) % (2.0 * np.pi)
    day_of_year = np.round(angle * length / (2.0 * np.pi)).astype(np.int64) % length
    day_of_year = np.where(day_of_year == 0, length, day_of_year)
    days = years.astype("datetime64[D]") + (day_of_year - 1).astype("timedelta64[D]")
    return np.where(known, days, np.datetime64("NaT", "D"))


def _days_in_year(years: Any) -> Any:
    following = (years + np.timedelta64(1, "Y")).astype("datetime64[D]")
    return (following - years.astype("datetime64[D]")).astype(np.int64)


def _one_hot(modality: Modality, codes: Any) -> Any:
    xp = _namespace(codes)
    table = xp.asarray(modality.codes, dtype=codes.dtype).reshape((1,) * (codes.ndim - 1) + (-1,))
    hot = codes == table
    unknown = ~xp.any(hot, axis=-1, keepdims=True)
    hot = xp.concatenate([hot[..., :1] | unknown, hot[..., 1:]], axis=-1)
    return hot.astype(xp.float32) * 2.0 - 1.0


def _scaled(values: Any, low: float, high: float) -> Any:
    return (values - low) / (high - low) * 2.0 - 1.0


def _unscaled(unit: Any, low: float, high: float) -> Any:
    return _namespace(unit).clip(unit, 0.0, 1.0) * (high - low) + low


def _namespace(array: Any) -> Any:
    return jnp if isinstance(array, jax.Array) else np


def _require_last_axis(modality: Modality, array: Any, expected: int, what: str) -> None:
    if array.shape[-1] != expected:
        raise ValueError(f"{modality.name} has {expected} {what} on the last axis, got an array {tuple(array.shape)}")
