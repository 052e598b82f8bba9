"""The synthetic world: patches on the fly, and exact conditional redraws.

world = World(seed=0)
patch = world.patch(7)                              # all twelve modalities of a random place, a pure function of (0, 7)
for again in world.acquisitions(patch, 16): ...     # p(everything else | DEM, LULC, location), exactly
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from copgen_jax.data.majortom.cutting import patch_offsets
from copgen_jax.data.world.causes import Causes
from copgen_jax.data.world.graph import OBSERVED, STATIC, causes_of
from copgen_jax.data.world.noise import CELL_PIXELS, Stream, Window, key_of
from copgen_jax.data.world.optics import OFFSET
from copgen_jax.data.world.places import ground_of, part_of, random_cell
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.rasters.ground import Ground

RULES = 1
"""Number of the rules: raised whenever the same seed gives other values than before."""

MOST_CELLS = 1_000_000
"""Cells that `World.cells` finds: less than a quarter of those there are, so that new ones are found soon."""

WHOLE_CELL = -1
"""Patch number of a whole cell."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patch:
    """Values of one place (`World.place`: location, DEM, LULC) or of an acquisition there (all modalities).

    `values` holds physical values by modality name, channels last in the order of `Modality.bands`: Sentinel-2 digital
    numbers uint16 with `offset`, S1RTC linear gamma0 float32, DEM metres float32, LULC and cloud_mask codes uint8 (one
    channel); location (2,) degrees float64 (latitude, longitude), timestamp datetime64[D].
    """

    cell: str
    """Name of the Major TOM cell: split by it."""
    patch_index: int
    """Number of the patch in its cell, row-major from the north-west."""
    window: Window
    ground: Ground
    values: Mapping[str, Any]

    offset = OFFSET
    """Digital number of reflectance 0 in every Sentinel-2 value."""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclasses.dataclass(frozen=True)
class World:
    """A world of patches with the grids of `modalities` (all twelve, or fewer, or smaller)."""

    seed: int
    modalities: ModalitySet = COPGEN

    def __post_init__(self):
        extents = {m.extent for m in self.modalities.images}
        if len(extents) != 1 or not all(float(e / 60).is_integer() for e in extents):
            raise InputError(f"images of a world cover one square, a multiple of 60 m, not {sorted(extents)} m")

    def __reduce__(self):
        return World, (self.seed, self.modalities)

    @cached_property
    def causes(self) -> Causes:
        """The graph that patches are drawn from."""
        return causes_of(self.modalities)

    @property
    def pixels(self) -> int:
        """Side of a patch in pixels of 10 m."""
        return round(self.modalities.images[0].extent / 10)

    @property
    def patches_per_cell(self) -> int:
        """36 where patches have 192 px."""
        return len(patch_offsets(CELL_PIXELS, self.pixels)) ** 2

    def address(self, index: int) -> tuple[str, int]:
        """(cell, patch_index) of patch number `index`: any cell of the world's land, any patch of it. Costs little."""
        rng = np.random.Generator(np.random.Philox(key=key_of(self.seed, "address", index)))
        return random_cell(rng), int(rng.integers(self.patches_per_cell))

    def place(self, index: int) -> Patch:
        """What does not change at patch number `index`: location, height, land cover."""
        return self.at(*self.address(index), static=True)

    def patch(self, index: int) -> Patch:
        """All modalities of patch number `index`, a pure function of (seed, index)."""
        return self.at(*self.address(index))

    def at(self, cell: str, patch_index: int, *, static: bool = False) -> Patch:
        """The patch of a cell by its name and number; patches of one cell join and share their date and weather."""
        offsets = patch_offsets(CELL_PIXELS, self.pixels)
        if not 0 <= patch_index < len(offsets) ** 2:
            raise InputError(f"patch {patch_index} of {cell}: a cell has {len(offsets) ** 2} patches, from 0")
        row, column = (offsets[i] for i in divmod(patch_index, len(offsets)))
        window = Window(cell, ground_of(cell), row, column, self.pixels)
        return self._drawn(window, patch_index, {}, STATIC if static else (*STATIC, *OBSERVED), "truth")

    def cells(self, count: int) -> tuple[str, ...]:
        """Names of `count` different cells, spread like those of `patch`; more cells begin with the same ones.

        Raises:
            InputError: more than MOST_CELLS.
        """
        if count > MOST_CELLS:
            raise InputError(f"{count:,} cells are too many: a world gives up to {MOST_CELLS:,}")
        rng = np.random.Generator(np.random.Philox(key=key_of(self.seed, "cells")))
        found: dict[str, None] = {}
        while len(found) < count:
            found[random_cell(rng)] = None
        return tuple(found)

    def cell(self, name: str, products: Iterable[str] = (*STATIC, *OBSERVED)) -> Patch:
        """A whole cell of 1068 px at 10 m, or some products of it; its patches are those of `at` up to their edges.

        Pixel noise (speckle, radiometry, crowns) is another than that of the patches.
        """
        window = Window(name, ground_of(name), 0, 0, CELL_PIXELS)
        return self._drawn(window, WHOLE_CELL, {}, tuple(products), "truth")

    def acquisitions(self, place: Patch, n: int, fixed: Iterable[str] = ()) -> Iterator[Patch]:
        """`n` independent draws of everything that is not held: exactly p(. | DEM, LULC, location, fixed).

        Args:
            place: from `place` or `patch`, or made by the caller; its location, DEM and LULC are held. With `fixed` it
                must have those values too.
            n: how many; draw k is the same however many are asked for.
            fixed: modalities to hold besides, `("timestamp",)` or `("timestamp", "cloud_mask")`.

        Raises:
            InputError: `fixed` is not among the place's values, or what remains cannot be drawn exactly.
        """
        fixed = tuple(fixed)
        self._held(place, fixed)
        return (self.acquisition(place, member, fixed) for member in range(n))

    def acquisition(
        self,
        place: Patch,
        member: int,
        fixed: Iterable[str] = (),
        products: Iterable[str] = (*STATIC, *OBSERVED),
    ) -> Patch:
        """Draw number `member` of `acquisitions`, or only some products of it: its cloud mask alone costs little."""
        given = self._held(place, fixed)
        return self._drawn(place.window, place.patch_index, given, tuple(products), f"member {member}")

    def _held(self, place: Patch, fixed: Iterable[str]) -> dict[str, Any]:
        held = tuple(dict.fromkeys((*STATIC, *fixed)))
        missing = [name for name in held if name not in place.values or name not in self.causes.names]
        if missing:
            raise InputError(
                f"cannot hold {missing[0]}: the place has {', '.join(place.values)}, and exact draws are known for "
                f"timestamp alone and for timestamp with cloud_mask"
            )
        given = {name: place.values[name] for name in held}
        self.causes.redrawn(given)
        return given

    def _drawn(
        self, window: Window, patch_index: int, given: Mapping[str, Any], wanted: tuple[str, ...], draw: str
    ) -> Patch:
        names = set(self.modalities.names) | set(self.modalities.products)
        # a member's randomness is its own at every place: hidden variables of two places are independent
        key = key_of(self.seed, window.cell, draw)
        values = self.causes.sample(
            given,
            tuple(name for name in wanted if name in names),
            lambda variable: Stream(key_of(key, variable), window),
        )
        products = {k: v for k, v in values.items() if not isinstance(v, dict)}
        images = {name: array for v in values.values() if isinstance(v, dict) for name, array in v.items()}
        flat = products | images
        if "location" in flat:
            flat["location"] = np.asarray(flat["location"], np.float64)
        return Patch(
            cell=window.cell,
            patch_index=patch_index,
            window=window,
            ground=part_of(window.ground, window.row, window.column, window.pixels),
            values={name: flat[name] for name in self.modalities.names if name in flat},
        )
