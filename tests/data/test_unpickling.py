import collections
import contextlib
import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from copgen_jax.data.unpickling import read_pickle
from copgen_jax.errors import InputError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)
NUMBERS = st.sampled_from(["<f4", ">f4", "<f8", "<f2", "i1", "<i4", "u1", ">u2"])


@settings(max_examples=50)
@given(PLAIN, st.integers(0, 5))
def test_plain_data_read_as_python_reads_them(value, protocol):
    assert read_pickle(pickle.dumps(value, protocol), "x") == value


@settings(deadline=None, max_examples=50)
@given(st.data(), st.integers(0, 5), st.booleans())
def test_arrays_read_as_python_reads_them(data, protocol, fortran):
    array = data.draw(hnp.arrays(data.draw(NUMBERS), hnp.array_shapes(max_dims=4, max_side=5)))
    array = np.asfortranarray(array) if fortran else array
    alone = read_pickle(pickle.dumps(array, protocol), "x")
    assert alone.dtype == array.dtype
    np.testing.assert_array_equal(alone, array)
    np.testing.assert_array_equal(read_pickle(pickle.dumps({"a": array}, protocol), "x")["a"], array)


def test_names_of_older_numpy_are_known():
    data = pickle.dumps(np.arange(3.0), 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    np.testing.assert_array_equal(read_pickle(data, "x"), np.arange(3.0))


class Calls:
    def __init__(self, function, *arguments):
        self.recipe = function, arguments

    def __reduce__(self):
        return self.recipe


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Calls(os.system, "touch hacked"), "posix.system"),
        (Calls(eval, "1"), "builtins.eval"),
        (Calls(getattr, "a", "upper"), "builtins.getattr"),
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        (np.float32(1), "multiarray.scalar"),
    ],
)
def test_whatever_else_a_pickle_names_is_refused_by_name(value, name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"DEM_DEM": value}, protocol)
    with pytest.raises(InputError, match="is refused: its pickle names") as refused:
        read_pickle(data, "433D_629L_patch_7")
    assert name in str(refused.value).replace("__builtin__", "builtins")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "array", [np.array([object()], object)[:0], np.array(["text"]), np.zeros(2, [("a", "f4")]), np.zeros(2, "M8[D]")]
)
def test_arrays_of_anything_but_numbers_are_refused(array):
    with pytest.raises(InputError, match="does not read"):
        read_pickle(pickle.dumps(array), "x")


def test_allowed_functions_take_no_state():
    # GLOBAL numpy.dtype, then BUILD with a dict: Python's own reader would set attributes on the function.
    data = b"\x80\x02cnumpy\ndtype\n}U\x01aK\x01sb."
    assert [op.name for op, _, _ in pickletools.genops(data)][-2] == "BUILD"
    with pytest.raises(InputError, match="does not read"):
        read_pickle(data, "x")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60) | st.tuples(st.integers(0, 200), st.integers(0, 255)))
def test_damage_is_an_input_error(damage):
    data = bytearray(pickle.dumps({"a": np.arange(12, dtype=np.float32)}))
    if isinstance(damage, bytes):
        data = damage
    else:
        data[damage[0] % len(data)] = damage[1]
    with contextlib.suppress(InputError):
        read_pickle(bytes(data), "x")
