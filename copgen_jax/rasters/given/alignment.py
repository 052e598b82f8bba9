"""Patches that lie on every grid at once.

All grids of a model meet every 60 m (the least common multiple of 10, 20, 30 and 60 m pixels), so patches start at
multiples of 60 m from the upper left corner that all inputs share. Where bands were enlarged by repetition and then cut
off their own grid, patches start where their first whole block does.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.rasters.given.bands import Band
from copgen_jax.rasters.given.shrink import repetition_phase
from copgen_jax.rasters.given.source import Source, Window
from copgen_jax.rasters.ground import Ground

CORNER_TOLERANCE = 0.05
"""Metres by which corners may differ: rounding of file headers, not another place."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lattice:
    """Where patches may start, in pixels of the finest grid (10 m)."""

    base: float
    """Metres per pixel of the finest grid."""
    step: int
    """Pixels between possible starts: 6."""
    patch: int
    """Side of a patch: 192."""
    shape: tuple[int, int]
    """Rows and columns that every input covers."""
    start: tuple[int, int]
    """The first possible start: (0, 0), unless repeated blocks begin later."""
    smallest: str
    """The input that limits `shape`, for messages."""

    def ground_of(self, window: tuple[int, int], corner: Source | None) -> Ground | None:
        """The ground of the patch at (row, column), from a georeferenced source."""
        if corner is None or corner.crs is None:
            return None
        row, column = window
        return Ground(
            crs=corner.crs,
            left=corner.left + column * self.base,
            top=corner.top - row * self.base,
            extent=self.patch * self.base,
        )

    def windows(self) -> list[tuple[int, int]]:
        """Every patch, row-major; the last row and column end at the far edge (on the lattice)."""
        rows, columns = (self._starts(axis) for axis in (0, 1))
        return [(row, column) for row in rows for column in columns]

    def check(self, window: tuple[int, int]) -> tuple[int, int]:
        """The window (row, column) if a patch may start there.

        Raises:
            InputError: off the lattice, or not wholly inside every input.
        """
        names = ("row", "column")
        for name, at, first in zip(names, window, self.start, strict=True):
            if (at - first) % self.step:
                raise InputError(
                    f"window {name} {at} is not where the grids of all bands meet; "
                    f"choose one of {first}, {first + self.step}, {first + 2 * self.step}, ..."
                )
        if any(at < 0 or at + self.patch > size for at, size in zip(window, self.shape, strict=True)):
            raise InputError(
                f"the window of {self.patch} x {self.patch} pixels at row {window[0]}, column {window[1]} is outside "
                f"{self.smallest}, which has {self.shape[0]} x {self.shape[1]} pixels of {self.base:g} m"
            )
        return window

    def _starts(self, axis: int) -> list[int]:
        first = self.start[axis]
        last = first + (self.shape[axis] - self.patch - first) // self.step * self.step
        starts = list(range(first, last + 1, self.patch))
        return starts if starts[-1] == last else [*starts, last]


def ground_steps(modalities: ModalitySet) -> tuple[float, int, int]:
    """(metres per pixel of the finest grid, pixels between patch starts, pixels of a patch) of a modality set.

    Raises:
        InputError: images without a ground resolution.
    """
    images = modalities.images
    if not images or any(m.resolution is None for m in images):
        raise InputError("this model's images have no ground resolution, so rasters cannot be placed on its grids")
    metres = [round(m.resolution or 0) for m in images]
    base = min(metres)
    return float(base), math.lcm(*metres) // base, round(images[0].extent / base)


def settle_pixels(
    bands: Mapping[str, Sequence[Band]], modalities: ModalitySet
) -> tuple[dict[str, list[Band]], list[str]]:
    """The same bands with every source's pixel size known and allowed, and what was assumed.

    An array without coordinates has the pixel size at which it spans what the other inputs span, or else a patch.

    Raises:
        InputError: a pixel size that is neither the modality's own nor the finest grid's, one that cannot be told, or
            an array that spans other ground than the rest.
    """
    base, _, patch = ground_steps(modalities)
    extent = patch * base
    allowed = _allowed_pixels(bands, modalities, base)
    extents = {_span(s.shape, s.pixel) for s in allowed if s.pixel is not None}
    extents |= {
        _span(s.shape, next(iter(sizes))) for s, sizes in allowed.items() if s.pixel is None and len(sizes) == 1
    }
    settled: dict[Source, Source] = {}
    notes = []
    for source, sizes in allowed.items():
        expected = " or ".join(f"{size:g} m" for size in sorted(sizes))
        if source.pixel is not None:
            near = [size for size in sizes if abs(size - source.pixel) <= 1e-5 * size]
            if not near:
                raise InputError(f"expected {expected} pixels, got {source.pixel:g} m in {source.where}")
            settled[source] = dataclasses.replace(source, pixel=near[0])
            continue
        fitting = [size for size in sizes if min(source.shape) * size >= extent]
        exact = [size for size in fitting if _span(source.shape, size) == (extent, extent)]
        shared = [size for size in fitting if _span(source.shape, size) in extents]
        choice = shared if len(shared) == 1 else exact if len(exact) == 1 else fitting
        if len(choice) > 1:
            raise InputError(
                f"{source.where} has {source.shape[0]} x {source.shape[1]} pixels of {expected} and nothing tells "
                "which; give an xarray object with coordinates, or a window's worth of pixels"
            )
        settled[source] = dataclasses.replace(source, pixel=choice[0] if choice else max(sizes))
        if choice:
            notes.append(f"{source.where}: without georeference, taken as {choice[0]:g} m pixels from the same corner")
    _check_bare(list(settled.values()))
    return {name: [Band(settled[b.source], b.index) for b in found] for name, found in bands.items()}, notes


def settle_lattice(
    bands: Mapping[str, Sequence[Band]], modalities: ModalitySet
) -> tuple[Lattice, Source | None, list[str]]:
    """Where patches may start, a georeferenced source (None: there is none), and what is worth noting.

    Raises:
        InputError: sources in different CRS or with different corners, or one smaller than a patch.
    """
    sources = list(dict.fromkeys(b.source for found in bands.values() for b in found))
    corner = _common_corner(sources)
    base, step, patch = ground_steps(modalities)
    rows = min(sources, key=lambda s: s.shape[0] * (s.pixel or base))
    columns = min(sources, key=lambda s: s.shape[1] * (s.pixel or base))
    shape = (_pixels(rows, 0, base), _pixels(columns, 1, base))
    for source in (rows, columns):
        if min(_pixels(source, 0, base), _pixels(source, 1, base)) < patch:
            side = round(patch * base / (source.pixel or base))
            raise InputError(
                f"{source.where} has {source.shape[0]} x {source.shape[1]} pixels of {source.pixel:g} m, "
                f"smaller than a patch of {side} x {side}"
            )
    smallest = rows if shape[0] <= shape[1] else columns
    lattice = Lattice(base=base, step=step, patch=patch, shape=shape, start=(0, 0), smallest=smallest.where)
    start = _first_block(bands, modalities, lattice)
    if start == (0, 0):
        return lattice, corner, []
    note = f"enlarged bands begin at row {start[0]}, column {start[1]}: patches start there"
    return dataclasses.replace(lattice, start=start), corner, [note]


def _allowed_pixels(
    bands: Mapping[str, Sequence[Band]], modalities: ModalitySet, base: float
) -> dict[Source, set[float]]:
    """Pixel sizes that each source may have: the finest grid's, or that of all its bands' product if it divides."""
    allowed: dict[Source, set[float]] = {}
    for name, found in bands.items():
        modality = modalities[name]
        own = _resolution(modality)
        sizes = {base} | {r for r in map(_resolution, modalities.of_product(modality.product)) if own % r == 0}
        for band in found:
            allowed[band.source] = allowed.get(band.source, sizes) & sizes
    return allowed


def _resolution(modality: Modality) -> float:
    return modality.resolution or 0.0


def _span(shape: tuple[int, int], pixel: float) -> tuple[float, float]:
    return shape[0] * pixel, shape[1] * pixel


def _pixels(source: Source, axis: int, base: float) -> int:
    return math.floor(source.shape[axis] * (source.pixel or base) / base + 1e-6)


def _common_corner(sources: Iterable[Source]) -> Source | None:
    placed = [source for source in sources if source.crs is not None]
    for other in placed[1:]:
        first = placed[0]
        if other.crs != first.crs:
            raise InputError(f"{first.where} is in {first.crs} and {other.where} in {other.crs}; give both in one CRS")
        if max(abs(other.left - first.left), abs(other.top - first.top)) > CORNER_TOLERANCE:
            raise InputError(
                f"the inputs lie on different ground: {first.where} starts at {first.left:.2f}, {first.top:.2f} and "
                f"{other.where} at {other.left:.2f}, {other.top:.2f} ({first.crs}); cut them to the same corner"
            )
    return placed[0] if placed else None


def _check_bare(sources: Sequence[Source]) -> None:
    """Refuse an array without georeference that spans other ground than every placed source, or than other arrays."""
    placed = [s for s in sources if s.crs is not None]
    for bare in (s for s in sources if s.crs is None):
        others = placed or [s for s in sources if s is not bare]
        spans = [_span(s.shape, s.pixel or 0.0) for s in others]
        if others and _span(bare.shape, bare.pixel or 0.0) not in spans:
            ours, theirs = (
                " x ".join(f"{metres:g}" for metres in _span(s.shape, s.pixel or 0.0)) for s in (bare, others[0])
            )
            raise InputError(
                f"{bare.where} spans {ours} m and {others[0].where} {theirs} m; without a georeference both must span "
                "the same ground: give it coordinates, or cut it to match"
            )


def _first_block(bands: Mapping[str, Sequence[Band]], modalities: ModalitySet, lattice: Lattice) -> tuple[int, int]:
    """Where the blocks of all enlarged reflectance bands begin; (0, 0) if they do not say so with one voice.

    Only reflectance is noisy enough to tell: heights hardly change on flat land.
    """
    phases: list[tuple[int, tuple[int, int]]] = []
    for name, found in bands.items():
        modality = modalities[name]
        for source, index in found:
            factor = round(_resolution(modality) / (source.pixel or lattice.base))
            if source.pixel != lattice.base:
                return 0, 0
            if factor == 1 or modality.encoding != "reflectance":
                continue
            side = lattice.patch + lattice.step
            window = Window(0, 0, min(side, source.shape[0]), min(side, source.shape[1]))
            numbers, valid = source.read([index], window)
            phase = repetition_phase(np.where(valid, numbers, 0.0)[0], factor)
            if phase is None:
                return 0, 0
            phases.append((factor, phase))
    start = tuple(
        next((p for p in range(lattice.step) if all(p % k == phase[axis] for k, phase in phases)), None)
        for axis in (0, 1)
    )
    row, column = start
    if row is None or column is None:
        return 0, 0
    fits = row + lattice.patch <= lattice.shape[0] and column + lattice.patch <= lattice.shape[1]
    return (row, column) if fits else (0, 0)
