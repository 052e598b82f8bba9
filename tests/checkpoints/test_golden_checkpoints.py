"""Files that PyTorch itself wrote."""

import zlib

import numpy as np
import pytest
from golden_vectors import ROOT, load_json, present

from copgen_jax.checkpoints import read_torch
from copgen_jax.errors import InputError

EXPECTED = load_json("checkpoints/expected.json") if present("checkpoints/expected.json") else {}

OLD = "legacy_format.pth"
"""May be read or refused; it is read, and compared in test_torch_files."""


def _parameters(file: str) -> dict:
    return {name: entry for name, entry in EXPECTED[file].items() if isinstance(entry, dict) and "shape" in entry}


@pytest.mark.parametrize("file", [file for file in EXPECTED if _parameters(file)])
def test_reads_exactly(file):
    expected, arrays = _parameters(file), read_torch(ROOT / "checkpoints" / file)
    assert set(arrays) == set(expected)
    for name, entry in expected.items():
        array = arrays[name]
        assert list(array.shape) == entry["shape"], name
        assert array.dtype.name == entry["dtype"], name
        wide = np.ascontiguousarray(array.astype("<f4"))
        if "crc32" in entry:
            assert zlib.crc32(wide.tobytes()) == entry["crc32"], name
        else:
            assert wide.ravel().tolist() == entry["values"], name


@pytest.mark.parametrize("file", [file for file in EXPECTED if not _parameters(file) and file != OLD])
def test_refuses_in_one_sentence(file):
    with pytest.raises(InputError) as caught:
        read_torch(ROOT / "checkpoints" / file)
    assert "\n" not in str(caught.value)
    assert file in str(caught.value)


@pytest.mark.parametrize("file", present("checkpoints/whole_module.pth"))
def test_names_the_class_of_a_module(file):
    with pytest.raises(InputError, match=r"torch\.nn\.modules\.\w+\.\w+"):
        read_torch(ROOT / file)
