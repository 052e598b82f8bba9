"""Which row and which shard of the store a patch has: arithmetic on counts.

Rows run through the cells in the order the store was made with, and within a cell through its patches:
row = cell number x patches per cell + patch index. A shard is a run of whole cells, so that a process that encodes
cells owns whole files. A patch that does not exist keeps its row, with presence 0.
"""

import dataclasses
import math

from copgen_jax.errors import InputError
from copgen_jax.modalities import ModalitySet

LARGEST_SHARD = 576
"""Patches in a shard at most (unless one cell has more): 16 cells of 6 x 6 patches, 4 of 12 x 12."""

CELL_EXTENT = 10680.0
"""Side of a Major TOM cell's rasters in metres: 1068 px at 10 m."""


def patches_per_cell(modalities: ModalitySet) -> int:
    """Patches that a Major TOM cell is cut into: 36 of 1920 m, 144 of 960 m; the last ones overlap to the far edge."""
    extent = next(m.extent for m in modalities.images)
    return math.ceil(CELL_EXTENT / extent) ** 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Rows and shards of one split."""

    cells: int
    patches_per_cell: int

    def __post_init__(self):
        if self.cells < 1 or self.patches_per_cell < 1:
            raise InputError(
                f"a split of {self.cells} cells with {self.patches_per_cell} patches each; it needs one of both"
            )

    @property
    def patches(self) -> int:
        """Rows of the split, absent patches included."""
        return self.cells * self.patches_per_cell

    @property
    def cells_per_shard(self) -> int:
        """The most whole cells with at most `LARGEST_SHARD` patches, at least one."""
        return max(1, LARGEST_SHARD // self.patches_per_cell)

    @property
    def patches_per_shard(self) -> int:
        """Rows of every shard but the last, which may have fewer."""
        return self.cells_per_shard * self.patches_per_cell

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.cells // self.cells_per_shard)

    def cells_of(self, shard: int) -> range:
        """Numbers of the cells in a shard."""
        self._require(shard)
        first = shard * self.cells_per_shard
        return range(first, min(first + self.cells_per_shard, self.cells))

    def rows_of(self, shard: int) -> range:
        """Rows of a shard."""
        cells = self.cells_of(shard)
        return range(cells.start * self.patches_per_cell, cells.stop * self.patches_per_cell)

    def row(self, cell: int, patch_index: int) -> int:
        """Row of a patch, by the number of its cell in the split and its index in the cell."""
        if not (0 <= cell < self.cells and 0 <= patch_index < self.patches_per_cell):
            raise IndexError(f"no patch {patch_index} of cell {cell} in {self}")
        return cell * self.patches_per_cell + patch_index

    def shard_of(self, row: int) -> int:
        """Shard that holds a row."""
        if not 0 <= row < self.patches:
            raise IndexError(f"no row {row} in {self}")
        return row // self.patches_per_shard

    def _require(self, shard: int) -> None:
        if not 0 <= shard < self.shards:
            raise InputError(f"there is no shard {shard}; this split has {self.shards}, counted from 0")
