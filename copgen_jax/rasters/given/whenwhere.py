"""Location and timestamp as users give them: values, text, or "auto" from what the rasters say."""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.rasters.given.source import Source

YEARS = (1950, 2050)
"""Years that the network's encoding of dates spans."""

_TIME_TAGS = ("datetime", "acquisition_time", "sensing_time", "acquisitiondate", "time", "tifftag_datetime")
_IN_NAME = re.compile(r"S[12][A-D]_[A-Z0-9_]*?_?(\d{4})(\d{2})(\d{2})T\d{6}")
_RADAR, _OPTICAL, _LAND_COVER = ("S1RTC",), ("S2L2A", "S2L1C", "cloud_mask"), ("LULC",)


def read_location(value: Any) -> np.ndarray:
    """(latitude, longitude) in degrees, float64 (2,), of a pair of numbers or "LAT,LON".

    Raises:
        InputError: anything else, or degrees that do not exist.
    """
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        degrees = np.asarray([float(part) for part in parts], np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"location is {value!r}; expected latitude and longitude in degrees, or auto") from error
    if degrees.shape != (2,) or not np.isfinite(degrees).all():
        raise InputError(f"location is {value!r}; expected latitude and longitude in degrees, or auto")
    if abs(degrees[0]) > 90 or abs(degrees[1]) > 180:
        raise InputError(
            f"location is {degrees[0]:g}, {degrees[1]:g}; expected latitude -90..90, then longitude -180..180"
        )
    return degrees


def read_date(value: Any) -> np.datetime64:
    """A day, datetime64[D], of a date, a datetime (its UTC day) or ISO text.

    Raises:
        InputError: anything else, or a year that the network cannot express.
    """
    day = None
    if isinstance(value, str):
        day = _time_of_text(value)
    elif isinstance(value, datetime.datetime):
        day = _utc(value)
    elif isinstance(value, datetime.date) or np.asarray(value).dtype.kind == "M":
        days = np.asarray(value).astype("datetime64[D]")
        day = days.reshape(-1)[0] if days.size == 1 else None
    if day is None or np.isnat(day):
        raise InputError(f"timestamp is {value!r}; expected a date such as 2023-06-10, or auto")
    day = day.astype("datetime64[D]")
    year = int(str(day.astype("datetime64[Y]")))
    if not YEARS[0] <= year <= YEARS[1]:
        raise InputError(f"timestamp is {day}; expected a year from {YEARS[0]} to {YEARS[1]}")
    return day


def auto_date(sources: Mapping[str, Sequence[Source]]) -> tuple[np.datetime64, str]:
    """The date of the given rasters, and in words where it comes from.

    Between the radar's and the optical sensor's time where both are known, as the model was trained (midpoint, cut to
    its day); else of the one that is; else of the land cover.

    Args:
        sources: by product.

    Raises:
        InputError: no raster says when it was taken.
    """
    radar, optical, cover = (_first_time(sources, products) for products in (_RADAR, _OPTICAL, _LAND_COVER))
    if radar and optical:
        middle = radar[0] + (optical[0] - radar[0]) / 2
        return read_date(middle), f"midpoint of {radar[1]} and {optical[1]}"
    found = optical or radar or cover
    if found is None:
        raise InputError("timestamp is auto, but no given raster says when it was taken; give a date like 2023-06-10")
    return read_date(found[0]), found[1]


def _first_time(sources: Mapping[str, Sequence[Source]], products: Iterable[str]) -> tuple[np.datetime64, str] | None:
    for product in products:
        for source in sources.get(product, ()):
            for tag in _TIME_TAGS:
                time = _time_of_text(source.tags.get(tag, ""))
                if time is not None:
                    return time, f"tag {tag} of {source.where}"
            match = _IN_NAME.search(" ".join((*source.tags.values(), source.where)))
            if match:
                time = _time_of_text("-".join(match.groups()))
                if time is not None:
                    return time, f"product name in {source.where}"
    return None


def _time_of_text(text: str) -> np.datetime64 | None:
    """Time in UTC of ISO text, or of TIFF's way to write one; None for anything else."""
    text = re.sub(r"^(\d{4}):(\d{2}):(\d{2})", r"\1-\2-\3", text.strip())
    try:
        return _utc(datetime.datetime.fromisoformat(text))
    except ValueError:
        return None


def _utc(time: datetime.datetime) -> np.datetime64:
    if time.tzinfo is not None:
        time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(time, "s")
