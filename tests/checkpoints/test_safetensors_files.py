"""safetensors: against the format's own library, and against headers that lie."""

import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from copgen_jax.checkpoints import read_torch
from copgen_jax.checkpoints import safetensors as ours
from copgen_jax.errors import InputError

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.ones((3,), np.float16),
    "flags": np.array([True, False]),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), np.float32),
    "ints": np.arange(5),
}


def _file(header, data: bytes, size: int | None = None) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(encoded) if size is None else size).to_bytes(8, "little") + encoded + data


def _entry(**changes):
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def test_reads_what_the_library_writes(tmp_path):
    safetensors.numpy.save_file(ARRAYS, tmp_path / "a.safetensors", metadata={"format": "pt"})
    found = read_torch(tmp_path / "a.safetensors")
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_the_library_reads_what_we_write(tmp_path):
    views = {**ARRAYS, "transposed": ARRAYS["a.weight"].T}
    ours.write(tmp_path / "a.safetensors", views, metadata={"format": "pt"})
    found = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    for name, array in views.items():
        np.testing.assert_array_equal(found[name], array)


def test_bfloat16_round_trip(tmp_path):
    array = np.linspace(-3, 3, 7).astype(ml_dtypes.bfloat16)
    ours.write(tmp_path / "a.safetensors", {"w": array})
    found = read_torch(tmp_path / "a.safetensors")["w"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found.view(np.uint16), array.view(np.uint16))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_file(_entry(), b"12345678", size=2**63), "claims"),
        (_file(_entry(), b"12345678", size=10**8), "claims"),
        (_file(b"{" + b"[" * 100_000, b""), "not JSON"),
        (_file(b"{nonsense", b""), "not JSON"),
        (_file(b'{"w": 1e999}', b""), "does not have"),
        (_file(b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{}}', b"12345678"), "twice"),
        (_file(_entry(shape=[3]), b"12345678"), "needs 12 bytes"),
        (_file(_entry(shape=[-2]), b"12345678"), "not a list of sizes"),
        (_file(_entry(shape=[2.0]), b"12345678"), "not a list of sizes"),
        (_file(_entry(shape=[True, 2]), b"12345678"), "not a list of sizes"),
        (_file(_entry(shape=[0, 2**62], data_offsets=[0, 0]), b""), "absurd"),
        (_file(_entry(dtype="F4"), b"12345678"), "unknown type"),
        (_file(_entry(dtype=["F32"]), b"12345678"), "unknown type"),
        (_file(_entry(data_offsets=[4, 12]), b"123456789012"), "gap"),
        (_file(_entry(data_offsets=[8, 0]), b"12345678"), "in order"),
        (_file(_entry(data_offsets=[0, 2**40], shape=[2**38]), b"12345678"), "in a file of"),
        (_file(_entry(), b"1234567"), "in a file of"),
        (_file(_entry(), b"123456789"), "describes"),
        (_file(_entry() | {"v": _entry()["w"]}, b"12345678"), "overlap"),
        (_file(_entry() | {"v": []}, b"12345678"), "does not have"),
    ],
)
def test_lying_headers_are_refused(tmp_path, data, words):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_torch(path)


@given(noise=st.binary(max_size=200), place=st.integers(0, 200))
def test_noise_never_crashes(tmp_path_factory, noise, place):
    good = _file(_entry(), b"12345678")
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    path.write_bytes(good[:place] + noise + good[place + len(noise) :])
    try:
        found = read_torch(path)
    except InputError:
        return
    assert sum(array.nbytes for array in found.values()) <= path.stat().st_size
