"""Which cells train and which test: by a hash of the name, so that adding cells moves none, or from a list."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Literal

from copgen_jax.data.majortom.grid import is_cell_name
from copgen_jax.errors import InputError
from copgen_jax.rasters.read import local_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """A rule that puts every cell, with all that lies in it, on one side."""

    test_share: float = 0.1
    """Share of the cells that test, where there is no list."""
    test_cells: frozenset[str] | None = None
    """The cells that test; None: by hash."""

    def __post_init__(self):
        if not 0.0 <= self.test_share <= 1.0:
            raise InputError(f"the share of test cells is {self.test_share}; expected 0 to 1")

    def of(self, name: str) -> Literal["train", "test"]:
        """The side of a cell, a patch of it, or a tile cut from it (`433D_629L`, `433D_629L_3_1`)."""
        cell = "_".join(name.split("_")[:2])
        if self.test_cells is not None:
            return "test" if cell in self.test_cells else "train"
        drawn = int.from_bytes(hashlib.sha256(cell.encode()).digest()[:8]) / 2**64
        return "test" if drawn < self.test_share else "train"


def split_from_list(path: str | Path) -> Split:
    """The split whose test cells a text file names, one per line; empty lines and lines from # on are skipped.

    Raises:
        InputError: no such file, no cell in it, or a line that is no Major TOM cell.
    """
    try:
        lines = local_file(path).read_text().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; expected the name of a cell per line") from error
    names = [name for line in lines if (name := line.partition("#")[0].strip())]
    for name in names:
        if not is_cell_name(name):
            raise InputError(f"{path} names {name[:40]!r}, which is not a Major TOM cell such as 433D_629L")
    if not names:
        raise InputError(f"{path} names no cell; expected one per line, such as 433D_629L")
    return Split(test_cells=frozenset(names))
