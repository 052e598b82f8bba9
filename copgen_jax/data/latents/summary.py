"""What is in a store: counts, presence, where on Earth, and how the moments are spread."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.data.latents.store import Coordinates, LatentStore, MomentsReader, read_coordinates
from copgen_jax.files import file_aside
from copgen_jax.progress import Track, silently

SAMPLED = 2048
"""Patches per split whose moments are read, evenly spread over the rows."""

_BATCH = 64
_MEAN_EDGES = np.linspace(-10.0, 10.0, 41)
_LOG_VARIANCE_EDGES = np.linspace(-30.0, 20.0, 51)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts between edges; what lies outside counts in the first and last bin."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float
    standard_deviation: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """One split."""

    cells: int
    patches: int
    """With at least one image modality."""
    shards: int
    missing_shards: tuple[int, ...]
    presence: Mapping[str, int]
    """Patches that have a modality."""
    complete_patches: int
    """Patches that have every modality."""
    bounding_box: tuple[float, float, float, float] | None
    """South, west, north, east in degrees; None where no place is known."""
    dates: tuple[str, str] | None
    """First and last day."""
    means: Mapping[str, Histogram]
    """Posterior means by modality, unscaled."""
    log_variances: Mapping[str, Histogram]


def summarise(store: LatentStore, split: str, *, track: Track = silently) -> SplitSummary:
    """Read the coordinates of a split and the moments of some of its patches."""
    layout, names = store.layout(split), store.description.modalities.names
    coordinates = read_coordinates(store, split)
    images = [names.index(m.name) for m in store.description.modalities.images]
    there = coordinates.presence[:, images].any(axis=1)
    means, log_variances = _histograms(store, split, coordinates, np.flatnonzero(there), track)
    dates = coordinates.time[~np.isnat(coordinates.time)]
    return SplitSummary(
        cells=layout.cells,
        patches=int(there.sum()),
        shards=layout.shards,
        missing_shards=store.missing_shards(split),
        presence={name: int(column.sum()) for name, column in zip(names, coordinates.presence.T, strict=True)},
        complete_patches=int(coordinates.presence.all(axis=1).sum()),
        bounding_box=_bounding_box(coordinates),
        dates=(str(dates.min()), str(dates.max())) if len(dates) else None,
        means=means,
        log_variances=log_variances,
    )


def places(coordinates: Coordinates, *, rows: int, columns: int) -> np.ndarray:
    """Patches counted on a world grid (rows, columns) of equal degrees, the first row in the north."""
    known = np.isfinite(coordinates.latitude) & np.isfinite(coordinates.longitude)
    down = np.clip((90.0 - coordinates.latitude[known]) / 180.0 * rows, 0, rows - 1).astype(int)
    across = ((coordinates.longitude[known] + 180.0) / 360.0 * columns).astype(int) % columns
    counts = np.zeros((rows, columns), np.int64)
    np.add.at(counts, (down, across), 1)
    return counts


def write_map(store: LatentStore, path: str | Path) -> None:
    """Write a PNG world map, half a degree to a pixel: the more patches of any split, the darker."""
    from PIL import Image

    counts = sum(places(read_coordinates(store, split), rows=360, columns=720) for split in store.layouts)
    shade = np.log1p(counts) / np.log1p(max(1, np.max(counts)))
    grey = np.where(np.asarray(counts) > 0, 190 - 190 * shade, 255).astype(np.uint8)
    grey[180, grey[180] == 255] = 225  # the equator
    with file_aside(path) as aside:
        Image.fromarray(grey).save(aside, format="PNG")


def _bounding_box(coordinates: Coordinates) -> tuple[float, float, float, float] | None:
    if not np.isfinite(coordinates.latitude).any():
        return None
    latitude, longitude = coordinates.latitude, coordinates.longitude
    box = (np.nanmin(latitude), np.nanmin(longitude), np.nanmax(latitude), np.nanmax(longitude))
    south, west, north, east = (round(float(degrees), 4) for degrees in box)
    return south, west, north, east


def _histograms(
    store: LatentStore, split: str, coordinates: Coordinates, rows: np.ndarray, track: Track
) -> tuple[dict[str, Histogram], dict[str, Histogram]]:
    images = store.description.modalities.images
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(SAMPLED, len(rows))).astype(int))]
    means = {m.name: _Tally(_MEAN_EDGES) for m in images}
    log_variances = {m.name: _Tally(_LOG_VARIANCE_EDGES) for m in images}
    reader = MomentsReader(store=store, split=split, names=tuple(m.name for m in images))
    starts = range(0, len(chosen), _BATCH)
    for start in track(starts, total=len(starts), what=f"reading moments of {split}"):
        batch = chosen[start : start + _BATCH]
        for name, values in reader.read(batch).items():
            present = coordinates.presence[batch, store.description.modalities.names.index(name)]
            mean, log_variance = np.split(values[present].astype(np.float64), 2, axis=-1)
            means[name].add(mean)
            log_variances[name].add(log_variance)
    return (
        {name: tally.histogram() for name, tally in means.items() if tally.count},
        {name: tally.histogram() for name, tally in log_variances.items() if tally.count},
    )


class _Tally:
    """A histogram that grows."""

    def __init__(self, edges: np.ndarray):
        self._edges = edges
        self._counts = np.zeros(len(edges) - 1, np.int64)
        self.count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, values: Any) -> None:
        inside = np.clip(values, self._edges[0], self._edges[-1])
        self._counts += np.histogram(inside, self._edges)[0]
        self.count += values.size
        self._sum += float(values.sum())
        self._squares += float((values**2).sum())

    def histogram(self) -> Histogram:
        mean = self._sum / self.count
        return Histogram(
            edges=tuple(float(edge) for edge in self._edges),
            counts=tuple(int(count) for count in self._counts),
            mean=mean,
            standard_deviation=max(0.0, self._squares / self.count - mean**2) ** 0.5,
        )
