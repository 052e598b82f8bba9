"""Which patches of a store are exported."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from copgen_jax.data.latents import Coordinates, LatentStore, read_coordinates, read_grounds
from copgen_jax.data.majortom.cutting import patch_key
from copgen_jax.errors import InputError, suggestion
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.footprint import outline

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; west > east across the date line."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """Some patches of one split, in the order of their rows."""

    store: LatentStore
    split: str
    rows: np.ndarray
    """int64, ascending."""
    names: tuple[str, ...]
    """Image modalities that are exported."""
    coordinates: Coordinates
    """Of the whole split; presence of modalities that are not exported is False."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def cells(self) -> list[str]:
        """Names of all cells of the split."""
        return list(self.store.cells(self.split))

    @cached_property
    def grounds(self) -> list[Ground | None]:
        """Where the pixels of each chosen patch are."""
        return read_grounds(self.store, self.split, self.rows)

    @cached_property
    def patches(self) -> tuple[str, ...]:
        """Names of the chosen patches, `<cell>_patch_<index>`."""
        return tuple(patch_key(cell, index) for cell, index in self.places)

    @cached_property
    def geometries(self) -> list[dict[str, Any] | None]:
        """GeoJSON geometry of each chosen patch: the outline of its pixels where that is known, else the point that the
        network was told, else None."""
        longitudes, latitudes = self.coordinates.longitude[self.rows], self.coordinates.latitude[self.rows]
        return [
            outline(ground) if ground else _point(longitude, latitude)
            for ground, longitude, latitude in zip(self.grounds, longitudes.tolist(), latitudes.tolist(), strict=True)
        ]

    @property
    def places(self) -> Iterator[tuple[str, int]]:
        """Cell and index in it of each chosen patch."""
        per_cell = self.store.description.patches_per_cell
        for row in map(int, self.rows):
            yield self.cells[row // per_cell], row % per_cell

    def presence(self, name: str) -> np.ndarray:
        """Which of the chosen patches have a modality: bool (n,)."""
        column = self.store.description.modalities.names.index(name)
        return self.coordinates.presence[self.rows, column]


def choose(
    store: LatentStore,
    *,
    splits: Collection[str] | None = None,
    cells: Collection[str] | None = None,
    box: Box | None = None,
    complete: bool = False,
    want: Sequence[str] | None = None,
    patches: int | None = None,
) -> list[Chosen]:
    """The patches of a store that fulfil every condition, by split.

    Args:
        store: complete or not; what is missing is absent.
        splits: all by default.
        cells: names of cells or tiles.
        box: that the places told to the network lie in.
        complete: only patches that have every one of the wanted modalities.
        want: products or modalities; all by default. A patch counts that has one of them.
        patches: at most so many in all, evenly spread.

    Raises:
        InputError: unknown names, or nothing fulfils the conditions.
    """
    modalities = store.description.modalities
    wanted = modalities.subset(want or modalities.names)
    names = tuple(m.name for m in wanted.images)
    if not names:
        raise InputError(f"{', '.join(want or ())} is no image; a store holds moments of images")
    unwanted = [i for i, m in enumerate(modalities) if m.is_image and m.name not in names]
    found = []
    for split in splits or tuple(store.layouts):
        coordinates = read_coordinates(store, split)
        coordinates.presence[:, unwanted] = False
        rows = _rows(store, split, coordinates, cells, box, [modalities.names.index(n) for n in names], complete)
        found.append(Chosen(store=store, split=split, rows=rows, names=names, coordinates=coordinates))
    if cells is not None:
        known = {cell for chosen in found for cell in chosen.cells}
        for cell in cells:
            if cell not in known:
                raise InputError(
                    f"{store.path} has no cell {cell!r} in these splits: {suggestion(cell, sorted(known))}"
                )
    found = [chosen for chosen in _thinned(found, patches) if len(chosen)]
    if not found:
        raise InputError(f"no patch of {store.path} fulfils these conditions")
    return found


def _rows(store, split, coordinates: Coordinates, cells, box: Box | None, columns: list[int], complete: bool):
    presence = coordinates.presence[:, columns]
    there = presence.all(axis=1) if complete else presence.any(axis=1)
    if cells is not None:
        wanted = np.isin(np.asarray(store.cells(split), object), list(cells))
        there &= np.repeat(wanted, store.description.patches_per_cell)
    if box is not None:
        west, south, east, north = box
        if not (-90 <= south <= north <= 90 and -180 <= west <= 180 and -180 <= east <= 180):
            raise InputError(f"{box} is no box of degrees; expected west, south, east, north")
        longitude, latitude = coordinates.longitude, coordinates.latitude
        after, before = longitude >= west, longitude <= east
        there &= (after & before if west <= east else after | before) & (latitude >= south) & (latitude <= north)
    return np.flatnonzero(there)


def _thinned(found: list[Chosen], patches: int | None) -> list[Chosen]:
    """At most `patches` of all, spread evenly over splits and rows."""
    total = sum(map(len, found))
    if patches is None or total <= patches:
        return found
    if patches < 1:
        raise InputError(f"{patches} patches are asked for; expected 1 or more")
    kept = np.zeros(total, bool)
    kept[np.linspace(0, total - 1, patches).round().astype(int)] = True
    starts = np.cumsum([0, *map(len, found)])
    return [
        dataclasses.replace(chosen, rows=chosen.rows[kept[start : start + len(chosen)]])
        for chosen, start in zip(found, starts, strict=False)
    ]


def _point(longitude: float, latitude: float) -> dict[str, Any] | None:
    known = np.isfinite(longitude) and np.isfinite(latitude)
    return {"type": "Point", "coordinates": [longitude, latitude]} if known else None
