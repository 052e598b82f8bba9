"""The one date that the network is told for a place observed at several times."""

import datetime
import re
from collections.abc import Sequence

import numpy as np

NEVER = np.datetime64("NaT", "us")
"""An unknown time."""

_TIME_IN_NAME = re.compile(r"_(\d{8}T\d{6})")


def mean_date(s1: Sequence[np.datetime64], s2: Sequence[np.datetime64]) -> np.datetime64:
    """The calendar date midway between the first listed Sentinel-1 and Sentinel-2 times of a place, datetime64[D].

    The first in the order of the lists, which is not the earliest: so the published model was trained. Where only one
    satellite has a time its date is taken; NaT where none has.
    """
    first, second = _first(s1), _first(s2)
    if np.isnat(first) or np.isnat(second):
        return (second if np.isnat(first) else first).astype("datetime64[D]")
    return (first + (second - first) // 2).astype("datetime64[D]")


def days_between(s1: np.datetime64, s2: np.datetime64) -> int:
    """|whole days from s1 to s2|, fractions rounded towards the past: one hour before counts as one day."""
    return abs(int((s2.astype("datetime64[us]") - s1.astype("datetime64[us]")) // np.timedelta64(1, "D")))


def parse_time(text: str) -> np.datetime64:
    """The time datetime64[us] in UTC of an ISO text such as `2023-04-18 06:38:57`; NaT where it is none."""
    try:
        time = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        return NEVER
    if time.tzinfo:
        time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(time, "us")


def time_in_name(product_id: str) -> np.datetime64:
    """The sensing time datetime64[us] in the name of a Sentinel product; NaT where there is none."""
    match = _TIME_IN_NAME.search(product_id)
    return parse_time(match[1]) if match else NEVER


def _first(times: Sequence[np.datetime64]) -> np.datetime64:
    return times[0].astype("datetime64[us]") if len(times) else NEVER
