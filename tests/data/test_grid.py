"""The Major TOM grid against the original's places, and against itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copgen_jax.data.majortom.grid import LAST_ROW, Cell, cell_at, cell_named, is_cell_name
from copgen_jax.errors import InputError

cells = st.integers(-LAST_ROW, LAST_ROW).flatmap(
    lambda row: st.builds(
        Cell, st.just(row), st.integers(-(Cell(row, 0).columns // 2), (Cell(row, 0).columns - 1) // 2)
    )
)


@given(cells)
def test_names_and_places_lead_back_to_the_cell(cell):
    assert cell_named(cell.name) == cell
    assert cell_at(*cell.centre) == cell


@given(st.floats(-84.9, 84.9), st.floats(-180, 540))
def test_a_cell_holds_its_place(latitude, longitude):
    cell = cell_at(latitude, longitude)
    assert cell.south - 1e-9 <= latitude <= cell.south + 180 / 2004 + 1e-9
    assert min((longitude - cell.west) % 360, (cell.west - longitude) % 360 + cell.width) <= cell.width + 1e-9


def test_the_grid_is_as_large_as_published():
    assert 2 * LAST_ROW + 1 == 1893
    assert Cell(0, 0).columns == 4008


@given(cells, st.integers(1, 12))
def test_patches_lie_in_their_cell(cell, side):
    places = cell.patch_places(side)
    assert (places[:, :, 0] > cell.south).all()
    assert (np.diff(places[:, 0, 0]) < 0).all()
    assert all(cell_at(*place) == cell for place in places.reshape(-1, 2))


@pytest.mark.parametrize("name", ["", "433D", "433X_629L", "433D_629L_3_1", "../433D_629L", "433D_629L\n"])
def test_what_is_no_cell(name):
    assert not is_cell_name(name)
    with pytest.raises(InputError, match="not the name of a Major TOM cell"):
        cell_named(name)


@pytest.mark.parametrize("name", ["947U_0R", "947D_0R", "946U_177L", "0U_2004R", "0D_0R", "0U_0L", "0433D_629L"])
def test_what_does_not_exist(name):
    with pytest.raises(InputError, match="there is no Major TOM"):
        cell_named(name)


def test_the_poles_have_no_cells():
    with pytest.raises(InputError, match="outside the Major TOM grid"):
        cell_at(89.0, 0.0)
