"""Where patches come from: directories of real or simulated data, or the synthetic world itself."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from copgen_jax.data.majortom import Cell, Issue, Limits, Observation, Source, cell_named, open_data
from copgen_jax.data.world import OFFSET, World
from copgen_jax.data.world import Patch as DrawnPatch
from copgen_jax.errors import InputError
from copgen_jax.modalities import ModalitySet

_WORLD = re.compile(r"world:(\d+):(\d+)(:patches)?")
_WORLD_RECORD = "world.json"
"""What `copgen simulate` leaves beside its cells."""


def open_source(
    data: str | Path,
    modalities: ModalitySet,
    *,
    s2_offset: int | Mapping[str, int] | None = None,
    limits: Limits | None = None,
) -> Source:
    """The observations in a directory (`copgen_jax.data.majortom.open_data`), or of a synthetic world.

    `world:SEED:CELLS` are whole cells, whose patches share their date and weather; `world:SEED:PATCHES:patches` are
    single patches of as many cells, each with its own.

    Raises:
        InputError: see `open_data`; a world of no cells, or with limits.
    """
    match = _WORLD.fullmatch(str(data))
    if not match:
        return open_data(data, modalities=modalities, s2_offset=s2_offset, limits=limits)
    if limits and limits.columns:
        raise InputError(f"{data} has no metadata that state {limits.columns[0]}, so cells cannot be chosen by it")
    seed, count = int(match[1]), int(match[2])
    if not count:
        raise InputError(f"{data} is a world of no cells; expected world:SEED:CELLS, such as world:0:100")
    return (WorldPatches if match[3] else WorldCells)(seed, count, modalities)


def is_synthetic(data: str | Path) -> bool:
    """Whether the data are the synthetic world, drawn now or written by `copgen simulate`."""
    if _WORLD.fullmatch(str(data)):
        return True
    record = Path(data) / _WORLD_RECORD
    try:
        return record.is_file() and bool(json.loads(record.read_text()).get("synthetic"))
    except (ValueError, AttributeError) as error:
        raise InputError(f"{record} is damaged: it is not the record of a synthetic world") from error


class WorldCells:
    """Cells of the synthetic world, drawn when they are read: the values that `copgen simulate` writes to files."""

    def __init__(self, seed: int, count: int, modalities: ModalitySet):
        """The first `count` cells of a world; costs little."""
        self.modalities = modalities
        self.issues: list[Issue] = []
        self._world = World(seed, modalities)
        self.names = tuple(sorted(self._world.cells(count)))

    def read(self, name: str) -> Observation:
        """One cell."""
        return _observation(name, self._world.cell(name), self.modalities, cell_named(name))


class WorldPatches:
    """Single patches of the synthetic world, each of another cell: tiles of one patch, drawn when they are read."""

    def __init__(self, seed: int, count: int, modalities: ModalitySet):
        """The first `count` patches of a world whose cells differ; costs little."""
        self.modalities = modalities
        self.issues: list[Issue] = []
        self._world = World(seed, modalities)
        places: dict[str, int] = {}
        number = 0
        while len(places) < count:
            cell, patch = self._world.address(number)
            places.setdefault(cell, patch)
            number += 1
        self._places = {f"{cell}_{patch}": (cell, patch) for cell, patch in sorted(places.items())}
        self.names = tuple(self._places)

    def read(self, name: str) -> Observation:
        """One patch, as a tile that is no larger."""
        return _observation(name, self._world.at(*self._places[name]), self.modalities, None)


def _observation(name: str, drawn: DrawnPatch, modalities: ModalitySet, cell: Cell | None) -> Observation:
    """What the world drew, as if it had been read from files."""
    images = modalities.images
    return Observation(
        name=name,
        cell=cell,
        ground=drawn.ground,
        rasters={m.name: drawn[m.name] for m in images},
        date=np.datetime64(drawn.values.get("timestamp", "NaT"), "D"),
        s2_offsets={m.product: OFFSET for m in images if m.encoding == "reflectance"},
    )
