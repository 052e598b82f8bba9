import pytest
from hypothesis import given
from hypothesis import strategies as st

from copgen_jax.data.latents import Layout, patches_per_cell
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, DEMO

LAYOUTS = st.builds(Layout, cells=st.integers(1, 200), patches_per_cell=st.integers(1, 1000))


def test_published_patches_are_36_per_cell_and_16_cells_per_shard():
    layout = Layout(cells=100, patches_per_cell=patches_per_cell(COPGEN))
    assert (layout.patches_per_cell, layout.cells_per_shard, layout.patches_per_shard) == (36, 16, 576)
    layout = Layout(cells=100, patches_per_cell=patches_per_cell(DEMO))
    assert (layout.patches_per_cell, layout.cells_per_shard, layout.patches_per_shard) == (144, 4, 576)


@given(LAYOUTS)
def test_shards_partition_the_rows_into_whole_cells(layout):
    rows = [row for shard in range(layout.shards) for row in layout.rows_of(shard)]
    assert rows == list(range(layout.cells * layout.patches_per_cell))
    cells = [cell for shard in range(layout.shards) for cell in layout.cells_of(shard)]
    assert cells == list(range(layout.cells))
    largest = max(len(layout.rows_of(shard)) for shard in range(layout.shards))
    assert largest <= max(576, layout.patches_per_cell)


@given(LAYOUTS)
def test_shards_are_as_large_as_allowed(layout):
    assert (layout.cells_per_shard + 1) * layout.patches_per_cell > 576


@given(LAYOUTS, st.data())
def test_a_row_lies_in_its_cells_shard(layout, data):
    cell = data.draw(st.integers(0, layout.cells - 1))
    patch = data.draw(st.integers(0, layout.patches_per_cell - 1))
    row = layout.row(cell, patch)
    assert divmod(row, layout.patches_per_cell) == (cell, patch)
    shard = layout.shard_of(row)
    assert row in layout.rows_of(shard)
    assert cell in layout.cells_of(shard)


def test_rows_and_shards_outside_are_refused():
    layout = Layout(cells=2, patches_per_cell=36)
    with pytest.raises(IndexError):
        layout.row(2, 0)
    with pytest.raises(IndexError):
        layout.row(0, 36)
    with pytest.raises(IndexError):
        layout.shard_of(72)
    with pytest.raises(InputError, match="no shard 1"):
        layout.rows_of(1)
    with pytest.raises(InputError, match="0 cells"):
        Layout(cells=0, patches_per_cell=36)
