"""The Major TOM grid: names of cells and their places in degrees.

With R = 6378.137 km and cells of D = 10 km there are ceil(pi R / D) = 2004 rows between the poles, and a row whose
south edge is at latitude phi has n = ceil(2 pi R cos(phi) / D) columns of 360/n degrees. Rows are named 0U, 1U, ...
northwards from the equator and 1D, 2D, ... southwards, columns 0R, 1R, ... eastwards from Greenwich and 1L, 2L, ...
westwards. Rows with their south edge within 85 degrees of the equator exist. This is the grid as its code builds it
(its paper's text differs), in plain degrees without any projection.
"""

import dataclasses
import math
import re

import numpy as np
from jaxtyping import Float

from copgen_jax.errors import InputError

SPACING = 10.0
"""Nominal side of a cell in kilometres."""
RADIUS = 6378.137
"""Equatorial radius in kilometres."""
ROWS = math.ceil(math.pi * RADIUS / SPACING)
HEIGHT = 180.0 / ROWS
"""Degrees of latitude of a row."""
LAST_ROW = math.floor(85.0 / HEIGHT)
"""Rows run from minus this to this."""

_NAME = re.compile(r"(\d{1,4})([UD])_(\d{1,4})([RL])")


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """One cell of the grid, by signed numbers: row 0 and column 0 begin at the equator and at Greenwich."""

    row: int
    column: int

    def __post_init__(self):
        if abs(self.row) > LAST_ROW:
            raise InputError(f"there is no Major TOM row {_signed(self.row, 'UD')}: they end at {LAST_ROW}U and D")
        west = -(self.columns // 2)
        if not west <= self.column < west + self.columns:
            raise InputError(
                f"there is no Major TOM cell {self.name}: the row has columns {-west}L to {west + self.columns - 1}R"
            )

    @property
    def name(self) -> str:
        """As in `433D_629L`."""
        return f"{_signed(self.row, 'UD')}_{_signed(self.column, 'RL')}"

    @property
    def columns(self) -> int:
        """Number of cells in this row."""
        return _columns(self.row)

    @property
    def width(self) -> float:
        """Degrees of longitude of the cell."""
        return 360.0 / self.columns

    @property
    def south(self) -> float:
        """Latitude of the south edge."""
        return self.row * HEIGHT

    @property
    def west(self) -> float:
        """Longitude of the west edge."""
        return self.column * self.width

    @property
    def centre(self) -> tuple[float, float]:
        """(latitude, longitude) of the middle, in degrees, longitude in [-180, 180)."""
        latitude, longitude = self.patch_places(1)[0, 0]
        return float(latitude), float(longitude)

    def patch_places(self, side: int) -> Float[np.ndarray, "side side 2"]:
        """(latitude, longitude) in degrees that the network is told for each of `side` x `side` patches.

        The middles of equal parts of the cell in degrees, row 0 in the north. This is not where the pixels are (a cell
        holds 10.68 km of pixels, and the last row and column of patches overlap their neighbours): the published model
        was trained so.
        """
        middles = (np.arange(side) + 0.5) / side
        latitudes = self.south + HEIGHT * (1.0 - middles)
        longitudes = (self.west + self.width * middles + 180.0) % 360.0 - 180.0
        return np.stack(np.meshgrid(latitudes, longitudes, indexing="ij"), axis=-1)


def cell_named(name: str) -> Cell:
    """The cell of a name such as `433D_629L`.

    Raises:
        InputError: not such a name, or no such cell.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise InputError(f"{name!r} is not the name of a Major TOM cell, such as 433D_629L")
    row, vertical, column, horizontal = match.groups()
    cell = Cell(int(row) * (1 if vertical == "U" else -1), int(column) * (1 if horizontal == "R" else -1))
    if cell.name != name:
        raise InputError(f"there is no Major TOM cell {name}; did you mean {cell.name}?")
    return cell


def cell_at(latitude: float, longitude: float) -> Cell:
    """The cell that holds a place in degrees.

    Raises:
        InputError: nearer to a pole than the grid goes.
    """
    row = math.floor(latitude / HEIGHT)
    if abs(row) > LAST_ROW:
        raise InputError(f"latitude {latitude} is outside the Major TOM grid, which ends at 85 degrees")
    columns = _columns(row)
    column = math.floor(((longitude + 180.0) % 360.0 - 180.0) * columns / 360.0)
    west = -(columns // 2)
    return Cell(row, (column - west) % columns + west)


def is_cell_name(name: str) -> bool:
    """Whether this is the name of an existing cell."""
    try:
        cell_named(name)
    except InputError:
        return False
    return True


def _columns(row: int) -> int:
    return math.ceil(2.0 * math.pi * RADIUS * math.cos(math.radians(row * HEIGHT)) / SPACING)


def _signed(number: int, letters: str) -> str:
    return f"{abs(number)}{letters[0] if number >= 0 else letters[1]}"
