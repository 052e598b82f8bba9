import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_scenes import scene, write_tif

from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN
from copgen_jax.rasters.given.places import read_places
from copgen_jax.rasters.given.reading import read_given

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_of_places_is_read_and_its_rasters_found_beside_it(tmp_path):
    (tmp_path / "dem").mkdir()
    heights = scene()["DEM"]
    write_tif(tmp_path / "dem" / "a b.tif", heights, pixel=30)
    csv = table(
        tmp_path / "places.csv",
        '\ufeffname, DEM ,location,timestamp\nalps,dem/a b.tif,"46.5,8.0",2023-06-10\n\nsea,,auto,\n',
    )
    alps, sea = read_places(csv, COPGEN)
    assert (alps.name, sea.name) == ("alps", "sea")
    assert alps.given == {"DEM": str(tmp_path / "dem" / "a b.tif"), "location": "46.5,8.0", "timestamp": "2023-06-10"}
    assert sea.given == {"location": "auto"}
    (place,) = read_given(alps.given, COPGEN, name=alps.name)
    np.testing.assert_array_equal(place.values["DEM"][..., 0], heights[0])
    np.testing.assert_array_equal(place.values["location"], [46.5, 8.0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column"),
        ("name\nalps\n", "no column"),
        ("DEM\n", "no rows"),
        ("DEM,DEM\na,b\n", "twice"),
        ("dem\na.tif\n", "unknown column 'dem'"),
        ("name,DEM\na,1.tif\na,2.tif\n", "two places named 'a'"),
        ("name,DEM\na,1.tif\n,2.tif\n", "some places and not others"),
        ("name,DEM\na\n", "line 2 has 1 cells, expected 2"),
        ('DEM\n"a', "cannot be read as CSV"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_places(table(tmp_path / "places.csv", text), COPGEN)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected \.csv"):
        read_places(table(tmp_path / "places.txt", "DEM\na\n"), COPGEN)
    (tmp_path / "latin.csv").write_bytes(b"name,DEM\n\xff,a\n")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_places(tmp_path / "latin.csv", COPGEN)
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_places(table(tmp_path / "a.parquet", "PAR1 no"), COPGEN)
    with pytest.raises(InputError, match="plain local path"):
        read_places("s3://bucket/places.csv", COPGEN)


def test_network_paths_in_a_table_are_refused_when_read(tmp_path):
    (place,) = read_places(table(tmp_path / "places.csv", "DEM\nhttps://example.org/a.tif\n"), COPGEN)
    with pytest.raises(InputError, match="plain local path"):
        read_given(place.given, COPGEN)


def point(x, y):
    return struct.pack("<BIdd", 1, 1, x, y)


def polygon(corners, code=3, extra=0):
    flat = b"".join(struct.pack(f">{2 + extra}d", *corner, *([0.0] * extra)) for corner in corners)
    return struct.pack(">BIII", 0, code, 1, len(corners)) + flat


SQUARE = [(8.0, 46.0), (9.0, 46.0), (9.0, 47.0), (8.0, 47.0), (8.0, 46.0)]


@pytest.mark.parametrize(
    ("wkb", "location"),
    [
        (point(8.0, 46.5), (46.5, 8.0)),
        (polygon(SQUARE), (46.5, 8.5)),
        (polygon(SQUARE, code=1003, extra=1), (46.5, 8.5)),
        (polygon(SQUARE, code=3 | 0x80000000, extra=1), (46.5, 8.5)),
        (struct.pack("<BII", 1, 6, 2) + polygon(SQUARE) + polygon([(x + 1, y) for x, y in SQUARE]), (46.5, 9.0)),
        (struct.pack("<BII", 1, 2, 2) + struct.pack("<4d", 0, 0, 2, 4), (2.0, 1.0)),
    ],
)
def test_a_geoparquet_geometry_is_the_location(tmp_path, wkb, location):
    columns = pa.table({"name": ["a"], "DEM": ["a.tif"], "shape": pa.array([wkb], pa.binary())})
    geo = b'{"primary_column": "shape", "version": "1.0.0"}'
    parquet.write_table(columns.replace_schema_metadata({b"geo": geo}), tmp_path / "places.parquet")
    (place,) = read_places(tmp_path / "places.parquet", COPGEN)
    assert place.given == {"DEM": str(tmp_path / "a.tif"), "location": location}


def test_a_location_column_goes_before_the_geometry(tmp_path):
    columns = pa.table({"location": ["1,2"], "geometry": pa.array([point(0, 0)], pa.binary())})
    parquet.write_table(columns, tmp_path / "places.geoparquet")
    (place,) = read_places(tmp_path / "places.geoparquet", COPGEN)
    assert place.given == {"location": "1,2"}
    assert place.name is None


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_damaged_geometries_are_refused_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("wkb") / "a.parquet"
    parquet.write_table(pa.table({"geometry": pa.array([data], pa.binary())}), path)
    try:
        (place,) = read_places(path, COPGEN)
    except InputError as error:
        text = str(error)
        assert "geometry" in text
    else:
        assert len(place.given["location"]) == 2
