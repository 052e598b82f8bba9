"""The metadata of a product: what is stated, in whatever form, and what is not."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copgen_jax.data.majortom.metadata import plain_crs, read_metadata
from copgen_jax.errors import InputError

TIME = datetime.datetime(2020, 2, 23, 14, 37, 19)


def read(tmp_path, columns, keep=lambda cell, file: True):
    pq.write_table(pa.table(columns), tmp_path / "metadata.parquet")
    return read_metadata(tmp_path / "metadata.parquet", keep)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([TIME], pa.timestamp("s")),
        pa.array([TIME], pa.timestamp("us")),
        pa.array([np.datetime64(TIME, "ns") + np.timedelta64(7, "ns")], pa.timestamp("ns")),
        pa.array([TIME.replace(tzinfo=datetime.UTC)], pa.timestamp("ms", tz="Europe/Rome")),
        pa.array([TIME.isoformat(" ")]),
    ],
    ids=lambda array: str(array.type),
)
def test_times_in_any_form(tmp_path, times):
    (row,) = read(tmp_path, {"grid_cell": ["433D_629L"], "timestamp": times}).rows
    assert row.time.astype("datetime64[s]") == np.datetime64(TIME, "s")


def test_what_is_not_stated(tmp_path):
    (row,) = read(tmp_path, {"grid_cell": ["433D_629L"], "timestamp": pa.array([None], pa.string())}).rows
    assert np.isnat(row.time)
    assert (row.product_id, row.file, row.row_group, row.crs) == ("", "", -1, "")


def test_rows_that_do_not_matter_are_only_counted(tmp_path):
    columns = {
        "grid_cell": ["433D_629L", "0U_0R", "433D_629L"],
        "parquet_url": ["https://example.org/x/part_1.parquet?download=true", "part_1.parquet", "part_2.parquet"],
        "parquet_row": [4, 5, 6],
    }
    metadata = read(tmp_path, columns, lambda cell, file: file == "part_1.parquet")
    assert metadata.listed == 3
    assert [(row.cell, row.file, row.row_group) for row in metadata.rows] == [
        ("433D_629L", "part_1.parquet", 4),
        ("0U_0R", "part_1.parquet", 5),
    ]
    assert metadata.first["433D_629L"].row_group == 4


def test_a_table_of_something_else(tmp_path):
    with pytest.raises(InputError, match="has no column grid_cell"):
        read(tmp_path, {"city": ["Edinburgh"]})


@pytest.mark.parametrize("text", ["EPSG:EPSG:32633", "EPSG:32633", " epsg:EPSG:32633"])
def test_doubled_prefixes(text):
    assert plain_crs(text) == "EPSG:32633"
