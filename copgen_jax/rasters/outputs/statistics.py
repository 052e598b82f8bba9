"""Statistics over members, read one after the other: memory does not grow with their number.

Mean and variance by Welford's recurrence in float64,

    mean_n = mean_{n-1} + (x_n - mean_{n-1}) / n,   m2_n = m2_{n-1} + (x_n - mean_{n-1}) (x_n - mean_n),

the variance being m2_n / (n - 1). Quantiles are exact (linear between order statistics): they are computed from as many
image rows at a time as fit, read again from where the members are kept; what is kept rounded (reflectance in COGs, to
1e-4) has statistics of the rounded values. Class codes have relative frequencies and the most frequent code, the first
of equals. A missing value (NaN) makes a pixel's statistics missing. Places are averaged on the sphere and days of the
year on the circle, so that neither the date line nor New Year is an edge.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from copgen_jax.modalities import Modality

WORKING_BYTES = 256 << 20
"""Memory for the values from which quantiles are computed at a time."""
DEFAULT_QUANTILES = (0.05, 0.5, 0.95)
EARTH_RADIUS = 6371.0088
"""Mean radius in kilometres."""


class Members(Protocol):
    """Members that can be read one after the other, in memory (`Samples`) or from files (`Outputs`)."""

    @property
    def members(self) -> tuple[int, ...]:
        """Their numbers."""
        ...

    def read(self, name: str, member: int, rows: slice = slice(None)) -> np.ndarray:
        """Physical values (band, y, x) of one member's modality, or only the image rows `rows`."""
        ...


class RunningMoments:
    """Mean and variance of arrays of one shape that arrive one by one."""

    def __init__(self):
        """No array yet."""
        self.count = 0
        self.mean = np.zeros(())
        self._m2 = np.zeros(())

    def update(self, values: np.ndarray) -> None:
        """Take in one more array."""
        values = values.astype(np.float64)
        if not self.count:
            self.mean, self._m2 = np.zeros_like(values), np.zeros_like(values)
        self.count += 1
        before = values - self.mean
        self.mean = self.mean + before / self.count
        self._m2 = self._m2 + before * (values - self.mean)

    @property
    def standard_deviation(self) -> np.ndarray:
        """Square root of the unbiased variance; NaN for fewer than two arrays."""
        return np.sqrt(self._m2 / (self.count - 1)) if self.count > 1 else np.full_like(self.mean, np.nan)


def image_statistics(
    source: Members, modality: Modality, *, quantiles: Sequence[float] = DEFAULT_QUANTILES
) -> dict[str, np.ndarray]:
    """Statistics over the members of one image modality.

    Returns:
        float32 arrays (band, y, x) by name: `mean`, `standard_deviation` and `quantile_05`, ... (hundredths), in the
        modality's unit; for class codes `probability` (class, y, x) in channel order and `mode` uint8 (1, y, x).
    """
    if modality.encoding == "classes":
        return _class_statistics(source, modality)
    moments = RunningMoments()
    for member in source.members:
        moments.update(source.read(modality.name, member))
    found = {"mean": moments.mean, "standard_deviation": moments.standard_deviation}
    if quantiles:
        for quantile, values in zip(quantiles, _quantiles(source, modality, quantiles), strict=True):
            found[quantile_name(quantile)] = values
    return {name: values.astype(np.float32) for name, values in found.items()}


def quantile_name(quantile: float) -> str:
    """`quantile_05` for 0.05, `quantile_97.5` for 0.975."""
    whole, _, rest = f"{quantile * 100:.6f}".rstrip("0").partition(".")
    return f"quantile_{int(whole):02d}" + (f".{rest}" if rest else "")


def place_statistics(degrees: np.ndarray) -> dict[str, float]:
    """Mean place of (member, 2) latitudes and longitudes in degrees, and how far members lie from it.

    The mean is the direction of the mean unit vector; the spread is the root mean square great-circle distance to it,
    in kilometres. Both are NaN where places cancel each other.
    """
    latitude, longitude = np.radians(np.asarray(degrees, np.float64)).T
    points = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
    )
    centre = points.mean(axis=0)
    length = np.linalg.norm(centre)
    if length < 1e-9:
        return dict.fromkeys(("latitude", "longitude", "spread_km"), float("nan"))
    centre = centre / length
    angles = np.arctan2(np.linalg.norm(np.cross(points, centre), axis=-1), points @ centre)
    return {
        "latitude": float(np.degrees(np.arctan2(centre[2], np.hypot(centre[0], centre[1])))),
        "longitude": float(np.degrees(np.arctan2(centre[1], centre[0]))),
        "spread_km": float(EARTH_RADIUS * np.sqrt(np.mean(angles**2))),
    }


def date_statistics(dates: np.ndarray) -> dict[str, float | str]:
    """Mean day of the year and its spread on the circle, mean year and its spread, first and last of (member,) dates.

    With R the length of the mean unit vector of the days' angles, the spread is the circular standard deviation
    sqrt(-2 log R), in days; the mean day is NaN where days cancel each other.
    """
    days = np.asarray(dates).astype("datetime64[D]")
    years = days.astype("datetime64[Y]")
    day_of_year = (days - years.astype("datetime64[D]")).astype(np.int64) + 1
    lengths = ((years + 1).astype("datetime64[D]") - years.astype("datetime64[D]")).astype(np.int64)
    vector = np.exp(2j * np.pi * day_of_year / lengths).mean()
    resultant = min(abs(vector), 1.0)
    cancelled = resultant < 1e-9
    numbers = years.astype(np.int64) + 1970
    return {
        "day_of_year": float("nan") if cancelled else float(np.angle(vector) / (2 * np.pi) % 1.0 * 365.25),
        "day_spread": float("inf") if cancelled else float(np.sqrt(-2 * np.log(resultant)) / (2 * np.pi) * 365.25),
        "year": float(numbers.mean()),
        "year_spread": float(numbers.std(ddof=1)) if len(numbers) > 1 else float("nan"),
        "first": str(days.min()),
        "last": str(days.max()),
    }


def _class_statistics(source: Members, modality: Modality) -> dict[str, np.ndarray]:
    codes = np.asarray(modality.codes, np.uint8)
    counts = np.zeros(())
    for member in source.members:
        counts = counts + (source.read(modality.name, member) == codes[:, None, None])
    return {
        "probability": (counts / len(source.members)).astype(np.float32),
        "mode": codes[counts.argmax(axis=0)][None],
    }


def _quantiles(source: Members, modality: Modality, quantiles: Sequence[float]) -> np.ndarray:
    """(quantile, band, y, x), a block of rows at a time."""
    height, width, bands = modality.image_shape
    rows = max(1, WORKING_BYTES // (8 * len(source.members) * bands * width))
    blocks = []
    for start in range(0, height, rows):
        block = slice(start, min(start + rows, height))
        values = np.empty((len(source.members), bands, block.stop - start, width))
        for place, member in zip(values, source.members, strict=True):
            place[:] = source.read(modality.name, member, block)
        blocks.append(np.quantile(values, quantiles, axis=0, overwrite_input=True))
    return np.concatenate(blocks, axis=2)
