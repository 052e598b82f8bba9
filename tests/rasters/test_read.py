import contextlib
import io
import os
import socket
import struct
import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from copgen_jax.errors import InputError
from copgen_jax.rasters.read import local_path, open_raster

PIXELS = np.arange(2 * 40 * 50, dtype=np.uint16).reshape(2, 40, 50)


def written(path, *, driver="GTiff", pixels=PIXELS, **profile):
    count, height, width = pixels.shape
    profile = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500000, 0, -10, 5000000), **profile}
    with rasterio.open(
        path, "w", driver=driver, count=count, height=height, width=width, dtype=pixels.dtype, **profile
    ) as file:
        file.write(pixels)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.tif", {}),
        ("big.tif", {"BIGTIFF": "YES"}),
        ("swapped.tif", {"ENDIANNESS": "BIG"}),
        ("cloud.tif", {"driver": "COG"}),
        ("a.jp2", {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}),
    ],
)
def test_the_allowed_formats_are_read(tmp_path, name, options):
    path = written(tmp_path / name, **options)
    for source in (path, str(path), path.read_bytes()):
        with open_raster(source) as dataset:
            np.testing.assert_array_equal(dataset.read(), PIXELS)
            assert dataset.crs.to_epsg() == 32633


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform:rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_georeference_opens_in_silence(tmp_path):
    path = written(tmp_path / "bare.tif", crs=None, transform=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_raster(path) as dataset:
            assert dataset.crs is None
            assert dataset.transform == Affine.identity()


@pytest.mark.parametrize(
    "text",
    [
        "/vsicurl/http://127.0.0.1/a.tif",
        "/vsizip/a.zip/a.tif",
        "//vsimem/../vsimem/a.tif",
        "http://127.0.0.1/a.tif",
        "https://example.org/a.tif",
        "s3://bucket/a.tif",
        "zip://a.zip!a.tif",
        "GTIFF_DIR:1:a.tif",
        "HDF5:a.h5://x",
        "<VRTDataset/>",
        "a\0.tif",
        "nowhere.tif",
        "x" * 5000,
        ".",
        "",
        "/dev/null",
        "/dev/stdin",
    ],
)
def test_what_is_no_plain_file_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError), open_raster(text):
        pass


def test_a_named_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(InputError, match="not a file"), open_raster(tmp_path / "pipe.tif"):
        pass


@pytest.mark.parametrize("driver", ["VRT", "ENVI", "PNG", "HFA", "netCDF"])
def test_other_drivers_are_refused(tmp_path, driver):
    path = tmp_path / "a.tif"
    if driver == "VRT":
        source = written(tmp_path / "source.tif")
        path.write_text(f'<VRTDataset rasterXSize="1" rasterYSize="1"><!-- {source} --></VRTDataset>')
    elif driver == "netCDF":
        path.write_bytes(b"CDF\x01" + bytes(100))
    else:
        written(path, driver=driver, pixels=PIXELS[:1])
    with pytest.raises(InputError, match="is not a GeoTIFF"), open_raster(path):
        pass


def test_neither_sidecars_nor_the_network_are_touched(tmp_path, monkeypatch):
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "2")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    url = f"/vsicurl/http://127.0.0.1:{listener.getsockname()[1]}/overview.tif"
    path = written(tmp_path / "a.tif")
    (tmp_path / "a.tif.aux.xml").write_text(
        f'<PAMDataset><SRS>EPSG:4326</SRS><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{url}</MDI></Metadata>'
        "</PAMDataset>"
    )
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=url)
    with open_raster(path) as dataset:
        dataset.overviews(1)
        dataset.read(out_shape=(2, 5, 5))
        assert dataset.crs.to_epsg() == 32633
        assert [os.path.basename(f) for f in dataset.files] == ["a.tif"]
    with listener, pytest.raises(BlockingIOError):
        listener.accept()


def test_a_truncated_file_is_named_when_its_pixels_are_read(tmp_path):
    path = written(
        tmp_path / "a.tif", compress="deflate", pixels=np.random.default_rng(0).integers(0, 9999, (2, 400, 500))
    )
    path.write_bytes(path.read_bytes()[:-90000])
    with pytest.raises(InputError, match=r"a\.tif cannot be read"), open_raster(path) as dataset:
        dataset.read()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused_or_read_never_a_crash(data):
    with MemoryFile() as memory:
        written(memory.name, compress="deflate")
        original = bytearray(memory.read())
    for _ in range(data.draw(st.integers(1, 8))):
        original[data.draw(st.integers(0, min(600, len(original) - 1)))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError), open_raster(bytes(original)) as dataset:
        dataset.read(1, window=((0, 8), (0, 8)))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\xff\x4f\xff\x51"]))
def test_foreign_bytes_are_refused(rest, start):
    with pytest.raises(InputError), open_raster(start + rest) as dataset:
        dataset.read(1, window=((0, 1), (0, 1)))


def _bare_tiff(width, height, bands=1, rows_per_strip=None):
    """A TIFF header that claims a size and holds no pixels."""
    entries = [
        (256, 4, width), (257, 4, height), (258, 3, 16), (259, 3, 8), (262, 3, 1), (273, 4, 8), (277, 3, bands),
        (278, 4, rows_per_strip or 1), (279, 4, 1),
    ]  # fmt: skip
    out = io.BytesIO()
    out.write(b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)))
    for tag, kind, value in entries:
        out.write(struct.pack("<HHII", tag, kind, 1, value))
    out.write(struct.pack("<I", 0))
    return out.getvalue()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({"width": 2_000_000, "height": 1}, "pixels a side"),
        ({"width": 40_000, "height": 40_000, "rows_per_strip": 40_000}, "blocks of"),
        ({"width": 8, "height": 8, "bands": 5000}, "bands"),
    ],
)
def test_absurd_sizes_are_refused_before_reading(size, words):
    with pytest.raises(InputError, match=words), open_raster(_bare_tiff(**size), where="claim.tif"):
        pytest.fail("was opened")


def test_local_path_expands_and_keeps_plain_names(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a b,c#d.tif").touch()
    assert local_path("~/a b,c#d.tif") == tmp_path / "a b,c#d.tif"
