"""Errors of generated places (great-circle kilometres) and dates (days, months)."""

import datetime
from collections.abc import Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.explanation import Explanation

EARTH_RADIUS = 6371.0
"""Kilometres."""

WITHIN_KM = (1, 10, 50, 100, 500)


def great_circle_km(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Haversine distance in km, float64, of (latitude, longitude) in degrees: [..., 2], [..., 2] -> [...]."""
    (lat_a, lon_a), (lat_b, lon_b) = (np.moveaxis(np.radians(np.asarray(p, np.float64)), -1, 0) for p in (a, b))
    h = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS * np.arctan2(np.sqrt(h), np.sqrt(np.maximum(1 - h, 0)))


def place_scores(km: np.ndarray) -> dict[str, float]:
    """median, mean, std (population), rmse, p90, p95, p99 of distances [n] in km, and the share within some.

    No distances give zeros, as published: look at the count beside them.
    """
    scores = _statistics(km, "km")
    within = {f"acc@{r}km": float(np.mean(np.asarray(km) <= r)) if len(km) else 0.0 for r in WITHIN_KM}
    return scores | within


def mean_place(places: np.ndarray) -> np.ndarray:
    """Mean direction of (latitude, longitude) degrees [n, 2] on the sphere: [2]. NaN where directions cancel."""
    lat, lon = np.radians(np.asarray(places, np.float64)).T
    x, y, z = (np.cos(lat) * np.cos(lon)).mean(), (np.cos(lat) * np.sin(lon)).mean(), np.sin(lat).mean()
    if np.hypot(np.hypot(x, y), z) < 1e-9:
        return np.full(2, np.nan)
    return np.degrees([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)])


def published_mean_place(places: np.ndarray) -> np.ndarray:
    """Plain mean of latitudes and longitudes [n, 2], as the original merges samples; wrong across 180 degrees."""
    return np.asarray(places, np.float64).mean(axis=0)


def mean_date(dates: Sequence[datetime.date]) -> datetime.date:
    """The date in the middle of some: mean of day numbers, rounded half to even."""
    if not dates:
        raise InputError("no dates to average")
    return datetime.date.fromordinal(round(sum(d.toordinal() for d in dates) / len(dates)))


def published_mean_date(dates: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
    """Day, month and year averaged apart, as the original merges samples; may not be a date (30 February)."""
    day, month, year = np.mean(np.asarray(dates, np.float64), axis=0)
    return round(float(day)), round(float(month)), round(float(year))


def date_scores(predicted: Sequence[tuple[int, int, int]], truth: Sequence[tuple[int, int, int]]) -> dict[str, float]:
    """Errors of (day, month, year): absolute days, absolute difference of month numbers, exact month and year.

    The difference of months is |m1 - m2| whatever the year, not circular, as published: December and January are 11
    apart. `season_days` is the circular one. No dates give zeros.

    Raises:
        InputError: a triple is not a date, or the counts differ.
    """
    if len(predicted) != len(truth):
        raise InputError(f"{len(predicted)} generated dates for {len(truth)} true ones")
    ours, theirs = ([_date(d) for d in dates] for dates in (predicted, truth))
    days = np.array([abs((a - b).days) for a, b in zip(ours, theirs, strict=True)], np.float64)
    months = np.array([abs(a.month - b.month) for a, b in zip(ours, theirs, strict=True)], np.float64)
    years = [a.year == b.year for a, b in zip(ours, theirs, strict=True)]
    some = len(days) > 0
    return _statistics(days, "days") | {
        "mean_abs_months": float(months.mean()) if some else 0.0,
        "median_abs_months": float(np.median(months)) if some else 0.0,
        "p90_abs_months": float(np.percentile(months, 90)) if some else 0.0,
        "month_acc": float(np.mean(months == 0)) if some else 0.0,
        "year_acc": float(np.mean(years)) if some else 0.0,
    }


def season_days(a: datetime.date, b: datetime.date) -> float:
    """Days between two days of the year, around the turn of the year: at most 182.6."""
    year = 365.2425
    apart = abs(a.timetuple().tm_yday - b.timetuple().tm_yday)
    return min(apart, year - apart)


def _statistics(values: np.ndarray, unit: str) -> dict[str, float]:
    values = np.asarray(values, np.float64)
    if not len(values):
        return {f"{name}_{unit}": 0.0 for name in ("median", "mean", "std", "rmse", "p90", "p95", "p99")}
    return {
        f"median_{unit}": float(np.median(values)),
        f"mean_{unit}": float(values.mean()),
        f"std_{unit}": float(values.std()),
        f"rmse_{unit}": float(np.sqrt((values**2).mean())),
    } | {f"p{q}_{unit}": float(np.percentile(values, q)) for q in (90, 95, 99)}


def _date(parts: tuple[int, int, int]) -> datetime.date:
    day, month, year = (int(part) for part in parts)
    try:
        return datetime.date(year, month, day)
    except ValueError as error:
        raise InputError(f"day {day}, month {month}, year {year} is not a date") from error


EXPLANATIONS = (
    Explanation(
        name="km",
        title="Great-circle distance of the place",
        question="faithful",
        better="lower",
        unit="km",
        measures="How far generated places lie from the true one.",
        ideal="Far from 0: land cover and terrain do not determine where a place is. Two draws of the truth are "
        "the ideal.",
        misleads="A model that always answers with the middle of the continents has a fair mean; look at the share "
        "within 10 km and at the map.",
    ),
    Explanation(
        name="days",
        title="Days between dates",
        question="faithful",
        better="lower",
        unit="days",
        measures="How far generated dates lie from the true one.",
        ideal="Far from 0: an image says much of the season and little of the year.",
        misleads="An error of exactly one year counts 365 days although the season is right; the published difference "
        "of months calls December and January 11 apart.",
    ),
)
