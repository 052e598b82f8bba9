"""What was observed at one place, and the patches cut from it.

An `Observation` is a Major TOM cell or an aligned tile, read into memory: one raster per modality on its own grid, in
the physical units of `copgen_jax.units`. What is missing or broken is left out and told as an `Issue`; nothing is
guessed or filled in. A `Patch` is one square of it, ready for the network.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from copgen_jax import units
from copgen_jax.data.majortom import cutting
from copgen_jax.data.majortom.grid import Cell
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.rasters.ground import Ground

Kind = Literal[
    "missing",
    "broken",
    "wrong size",
    "other ground",
    "several products",
    "unknown cell",
    "no offset",
    "no date",
    "no georeference",
    "no data",
    "beyond limits",
]
"""What can be wrong with data: files that are not there or cannot be read, rasters of another size or place, a cell
listed more than once or not on the grid, Sentinel-2 numbers of unknown offset, no time, no coordinates, no values,
metadata beyond the limits asked for."""

MOST_UNKNOWN_LAND_COVER = 0.05
"""Share of land cover "no data" (code 0) from which on a patch's land cover is left out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Issue:
    """Something that was left out, and why."""

    place: str
    """Name of the cell, tile or patch; empty for a whole data set."""
    kind: Kind
    where: str
    """Modality, product or file."""
    reason: str

    def __str__(self) -> str:
        return f"{self.place or 'all'}, {self.where}: {self.reason}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observation:
    """One place's rasters."""

    name: str
    """Of the cell or tile."""
    cell: Cell | None
    """None for a tile, whose place follows from its georeference."""
    ground: Ground | None
    """All of it; None where no raster has a georeference."""
    rasters: Mapping[str, np.ndarray]
    """Per image modality (H, W, bands), physical values: Sentinel-2 DN, linear power, metres, class codes."""
    date: np.datetime64
    """The date the network is given, datetime64[D]; NaT if unknown."""
    s2_offsets: Mapping[str, int]
    """Per product with Sentinel-2 DNs: the DN of zero reflectance."""
    issues: tuple[Issue, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patch:
    """One square of an observation, cut from every modality that has it."""

    name: str
    """`<cell>_patch_<index>`; the observation's name for the central window."""
    index: int
    """Row by row from the north-west; -1 for the central window."""
    place: tuple[float, float] | None
    """(latitude, longitude) in degrees that the network is given; None if unknown."""
    ground: Ground | None
    """Where the pixels are."""
    date: np.datetime64
    images: Mapping[str, np.ndarray]
    """Per image modality (H, W, bands), physical values; views into the observation's rasters."""
    s2_offsets: Mapping[str, int]
    issues: tuple[Issue, ...] = ()

    def network_values(self, modalities: ModalitySet, *, s2_offset: int) -> dict[str, np.ndarray]:
        """Network values of the modalities this patch has: float32 (H, W, C), or (3,) for place and date.

        `s2_offset` is the model's own convention, to which Sentinel-2 numbers are brought.
        """
        return {m.name: self._network(m, s2_offset) for m in modalities if self.physical(m) is not None}

    def physical(self, modality: Modality) -> Any:
        """Physical values of one modality, place and date included; None where the patch lacks it."""
        if modality.encoding == "position":
            return self.place
        if modality.encoding == "date":
            return None if np.isnat(self.date) else self.date
        return self.images.get(modality.name)

    def _network(self, modality: Modality, s2_offset: int) -> np.ndarray:
        values = self.physical(modality)
        if modality.encoding == "reflectance":
            values = units.shift_dn(values, offset=self.s2_offsets[modality.product], to_offset=s2_offset)
        return units.to_network(modality, values)


def patches_along(observation: Observation, modalities: ModalitySet) -> int:
    """Patches along a side of the observation: 6 of a cell at 192 px; of a tile those that fit without overlap."""
    pixels, patch = _sides(observation, modalities)
    return cutting.patches_per_side(pixels, patch) if observation.cell else pixels // patch


def cut(observation: Observation, modalities: ModalitySet) -> Iterator[Patch]:
    """The patches of an observation, row by row from the north-west.

    Those of a cell are told the places of the grid's equal parts, as published; those of a tile the centre of their
    pixels. A patch whose land cover is unknown in 5 % of its pixels or more lacks the land cover, and one without any
    value, or with values that are not numbers, lacks their modality.
    """
    side = patches_along(observation, modalities)
    places = observation.cell.patch_places(side) if observation.cell else None
    for index in range(side * side):
        row, column = divmod(index, side)

        def corner(pixels: int, patch: int, row=row, column=column) -> tuple[int, int]:
            offsets = (cutting.patch_offsets if observation.cell else cutting.whole_offsets)(pixels, patch)
            return offsets[row], offsets[column]

        place = None if places is None else (float(places[row, column, 0]), float(places[row, column, 1]))
        name = cutting.patch_key(observation.name, index)
        yield _patch(observation, modalities, name=name, index=index, place=place, corner=corner)


def central_patch(observation: Observation, modalities: ModalitySet) -> Patch:
    """The middle of a cell, with the place of its centre: what the published protocols generate from.

    Of a tile, whose centre lies between the pixels of the coarser grids, the window at its upper left corner.
    """

    def corner(pixels: int, patch: int) -> tuple[int, int]:
        offset = cutting.central_offset(pixels, patch) if observation.cell else 0
        return offset, offset

    place = observation.cell.centre if observation.cell else None
    return _patch(observation, modalities, name=observation.name, index=-1, place=place, corner=corner)


def tally(issues: Iterable[Issue]) -> dict[str, int]:
    """How many issues of each kind, the most frequent first."""
    return dict(Counter(issue.kind for issue in issues).most_common())


def report(issues: Iterable[Issue]) -> list[str]:
    """A line per kind of issue, the most frequent first: how many, and the first of them."""
    kinds: dict[str, list[Issue]] = {}
    for issue in issues:
        kinds.setdefault(issue.kind, []).append(issue)
    ordered = sorted(kinds.items(), key=lambda item: -len(item[1]))
    return [f"{kind}: {len(found)}, first {found[0]}" for kind, found in ordered]


def _patch(observation: Observation, modalities: ModalitySet, *, name, index, place, corner) -> Patch:
    images, issues = {}, []
    for modality in modalities.images:
        raster = observation.rasters.get(modality.name)
        if raster is None:
            continue
        patch = modality.image_shape[0]
        top, left = corner(raster.shape[0], patch)[0], corner(raster.shape[1], patch)[1]
        image = raster[top : top + patch, left : left + patch]
        if reason := _unusable(modality, image):
            issues.append(Issue(place=name, kind="no data", where=modality.name, reason=reason))
        else:
            images[modality.name] = image
    ground = _ground(observation, modalities, corner)
    return Patch(
        name=name,
        index=index,
        place=place or (ground.centre if ground else None),
        ground=ground,
        date=observation.date,
        images=images,
        s2_offsets=observation.s2_offsets,
        issues=tuple(issues),
    )


def _ground(observation: Observation, modalities: ModalitySet, corner) -> Ground | None:
    if observation.ground is None:
        return None
    pixels, patch = _sides(observation, modalities)
    resolution = observation.ground.extent / pixels
    top, left = corner(pixels, patch)
    whole = observation.ground
    return Ground(whole.crs, whole.left + left * resolution, whole.top - top * resolution, patch * resolution)


def _sides(observation: Observation, modalities: ModalitySet) -> tuple[int, int]:
    """Pixels of the observation and of a patch along a side, on the finest grid of the modalities."""
    finest = min(modalities.images, key=lambda m: m.extent / m.image_shape[0])
    resolution = finest.extent / finest.image_shape[0]
    extent = cutting.CELL_EXTENT if observation.ground is None else observation.ground.extent
    return round(extent / resolution), finest.image_shape[0]


def _unusable(modality: Modality, image: np.ndarray) -> str:
    if modality.product == "LULC" and np.mean(image == 0) >= MOST_UNKNOWN_LAND_COVER:
        return f"the land cover of {np.mean(image == 0):.0%} of the pixels is unknown"
    if modality.encoding in ("reflectance", "power") and not (image > 0).any():
        return "no pixel has a value"
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        return f"{np.mean(~np.isfinite(image)):.1%} of the values are not numbers"
    return ""
