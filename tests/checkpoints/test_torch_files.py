"""The reader against files that lie, break off, or want to be executed."""

import zipfile
import zlib

import numpy as np
import pytest
from checkpoints import handmade
from checkpoints.handmade import archive, dictionary, flat, named, number, tensor, text
from golden_vectors import ROOT, present

from copgen_jax.checkpoints import read_torch
from copgen_jax.checkpoints.torch_files import forget_pages
from copgen_jax.errors import InputError

SIX = np.arange(6, dtype=np.float32)


@pytest.fixture
def read(tmp_path):
    """Read bytes as a checkpoint file."""

    def read_bytes(data: bytes):
        path = tmp_path / "weights.pth"
        path.write_bytes(data)
        return read_torch(path)

    return read_bytes


def refused(read, data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"),
    [
        ([2, 3], [3, 1], 0, [[0, 1, 2], [3, 4, 5]]),
        ([3, 2], [1, 3], 0, [[0, 3], [1, 4], [2, 5]]),
        ([2], [2], 1, [1, 3]),
        ([2, 2], [0, 1], 4, [[4, 5], [4, 5]]),
        ([], [], 5, 5),
        ([0, 7], [7, 1], 6, np.zeros((0, 7))),
    ],
)
def test_strided_windows(read, shape, strides, offset, expected):
    array = read(archive(dictionary({"w": tensor("0", 6, shape, strides, offset=offset)}), {"0": SIX}))["w"]
    np.testing.assert_array_equal(array, expected)
    assert array.shape == np.shape(expected)


@pytest.mark.parametrize(
    ("count", "shape", "strides", "offset"),
    [
        (6, [7], [1], 0),
        (6, [6], [1], 1),
        (6, [2], [6], 0),
        (6, [2], [1], -1),
        (6, [2], [-1], 1),
        (6, [-1], [1], 0),
        (6, [2**40, 2**40], [0, 0], 0),
        (6, [2**62], [2**62], 0),
        (6, [0, 2**62], [1, 1], 0),
        (6, [1] * 40, [1] * 40, 0),
        (6, [6], [2**63], 0),
        (12, [12], [1], 0),
        (3, [3], [1], 0),
        (2**40, [2**40], [1], 0),
    ],
)
def test_claims_beyond_the_storage_are_refused(read, count, shape, strides, offset):
    data = archive(dictionary({"w": tensor("0", count, shape, strides, offset=offset)}), {"0": SIX})
    refused(read, data, "does not fit|its list says")


def test_two_names_share_a_storage(read):
    arrays = read(archive(dictionary({"a": tensor("0", 6, [6], [1]), "b": tensor("0", 6, [3], [2])}), {"0": SIX}))
    assert np.shares_memory(arrays["a"], arrays["b"])
    np.testing.assert_array_equal(arrays["b"], SIX[::2])


def test_values_survive_giving_pages_back(read):
    array = read(flat({"w": np.arange(100_000, dtype=np.float32)}))["w"]
    first = array.copy()
    forget_pages(array[10:])
    np.testing.assert_array_equal(array, first)


WEIGHT = tensor("0", 6, [6], [1])
MODULE_METADATA = named("collections", "OrderedDict") + b")R}" + text("_metadata") + b"}sb"


@pytest.mark.parametrize(
    "body",
    [
        dictionary({"w": WEIGHT}),
        dictionary({"ema_model.w": WEIGHT, "ema_model.loss.v": WEIGHT, "online_model.w": WEIGHT, "step": number(3)}),
        dictionary({"ema": dictionary({"ema_model.w": WEIGHT, "initted": WEIGHT}), "model": dictionary({"w": b"N"})}),
        dictionary({"model": dictionary({"w": WEIGHT, "loss.logvar": WEIGHT}), "step": number(1)}),
        dictionary({"state_dict": dictionary({"module.w": WEIGHT}), "epoch": number(1)}),
        dictionary({"module.w": WEIGHT}),
    ],
)
def test_wrappers(read, body):
    arrays = read(archive(body, {"0": SIX}))
    assert list(arrays) == ["w"]
    np.testing.assert_array_equal(arrays["w"], SIX)


def test_module_metadata_is_ignored(read):
    body = MODULE_METADATA + b"(" + text("w") + WEIGHT + b"u"
    assert list(read(archive(body, {"0": SIX}))) == ["w"]


ATTACKS = {
    "os": lambda command: named("os", "system") + b"(" + text(command) + b"tR",
    "posix": lambda command: named("posix", "system") + b"(" + text(command) + b"tR",
    "eval": lambda command: named("builtins", "eval") + b"(" + text(f"__import__('os').system({command!r})") + b"tR",
    "stack": lambda command: text("os") + text("system") + b"\x93(" + text(command) + b"tR",
    "instance": lambda command: b"(" + text(command) + b"ios\nsystem\n",
    "new": lambda command: named("subprocess", "Popen") + b"(" + text(command) + b"t\x81",
    "object": lambda command: b"(" + named("os", "system") + text(command) + b"o",
    "build": lambda command: named("collections", "OrderedDict") + named("os", "system") + text(command) + b"\x85Rb",
    "load": lambda command: named("torch", "load") + b"(" + text(command) + b"tR",
    "attribute": lambda command: named("collections", "OrderedDict.fromkeys") + b"(" + text(command) + b"tR",
    "extension": lambda command: b"\x82\x01" + text(command),
    "persistent": lambda command: b"P" + command.encode() + b"\n",
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", ["weight", "beside"])
def test_nothing_is_executed(read, tmp_path, attack, place):
    trace = tmp_path / "trace"
    poison = ATTACKS[attack](f"touch {trace}")
    body = {"w": poison} if place == "weight" else {"ema_model.w": WEIGHT, "optimiser": poison}
    refused(read, archive(dictionary(body), {"0": SIX}), "refused|damaged")
    assert not trace.exists()


def test_the_class_is_named(read):
    refused(read, archive(dictionary({"w": named("os", "system") + b")R"}), {}), "'os.system'")


@pytest.mark.parametrize(
    "body",
    [
        dictionary({"w": number(3)}),
        dictionary({}),
        b"]",
        WEIGHT,
        b"N",
        b"}(" + b"K\x01" + WEIGHT + b"u" + b"0",
        b"}(" + handmade.numbers([1]) + WEIGHT + b"u",
        b"",
        b"u",
        b"R",
        b"h\x07",
        b"r\xff\xff\xff\x7f",
        b"(" * 1000,
        b"X\xff\xff\xff\x7f",
        b"\x8d" + b"\xff" * 8,
        named("torch", "FloatStorage") + b")R",
        text("storage") + b"Q",
        b"("
        + text("storage")
        + named("torch._utils", "_rebuild_parameter")
        + text("0")
        + text("cpu")
        + number(1)
        + b"tQ",
    ],
)
def test_other_objects_and_nonsense_are_refused(read, body):
    refused(read, archive(body, {"0": SIX}), "holds|damaged|refused")


def test_a_pickle_nested_beyond_the_stack_is_refused_not_crashed(read):
    refused(read, archive(b"}(" + b"]" + b"\x85" * 1_000_000 + text("w") + b"u", {}), "damaged")


@pytest.mark.parametrize("key", ["../data.pkl", "/etc/passwd", "7", "0/../1", ""])
def test_a_key_is_no_path(read, key):
    refused(read, archive(dictionary({"w": tensor(key, 6, [6], [1])}), {"0": SIX}), "are not in it")


def test_zip_entries_that_lie(read):
    good = flat({"w": SIX})
    pickled = handmade.pickle(dictionary({"w": WEIGHT}))
    entries = [("m/data.pkl", pickled), ("m/data/0", SIX.tobytes())]
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = handmade.zipped([*entries, ("m/data/0", SIX.tobytes())])
    refused(read, twice, "two of its entries")
    refused(read, handmade.zipped(entries, zipfile.ZIP_DEFLATED), "compressed")
    bomb = handmade.zipped([entries[0], ("m/data/0", b"\0" * (1 << 22))], zipfile.ZIP_DEFLATED)
    refused(read, bomb, "compressed")
    refused(read, handmade.zipped([*entries, ("n/data.pkl", pickled)]), "needs one data.pkl, has 2")
    refused(read, handmade.zipped([("readme.txt", b"")]), "no PyTorch checkpoint")
    refused(read, handmade.zipped([*entries, ("m/byteorder", b"big")]), "big-endian")
    refused(read, handmade.zipped([*entries, ("m/constants.pkl", b"")]), "TorchScript")
    directory = good.rindex(b"PK\x01\x02", 0, good.rindex(b"m/data/0"))
    for claim in (7 * 4, 2**31):
        size = claim.to_bytes(4, "little")
        refused(read, good[: directory + 20] + size + size + good[directory + 28 :], "claims|overlap|says")
    first = good.index(b"PK\x01\x02")
    # Both entries at the place of the first: an overlap.
    offset = good[first + 42 : first + 46]
    refused(read, good[: directory + 42] + offset + good[directory + 46 :], "overlap|damaged|says")


def test_checksums(read):
    good = bytearray(flat({"w": SIX}))
    place = bytes(good).index(SIX.tobytes())
    good[place + 5] ^= 4
    refused(read, bytes(good), "checksum")
    # torch can be told not to compute checksums and then writes 0.
    crc = zlib.crc32(SIX.tobytes()).to_bytes(4, "little")
    assert bytes(good).count(crc) == 2
    assert read(bytes(good).replace(crc, bytes(4)))["w"].shape == (6,)


def test_every_truncation_is_one_sentence(read):
    good = flat({"encoder.weight": np.ones((4, 5), np.float32), "encoder.bias": np.ones(4, np.float32)})
    for length in range(len(good)):
        refused(read, good[:length], "truncated|damaged|empty|neither")


def test_every_flipped_byte_is_noticed_or_harmless(read):
    arrays = {"encoder.weight": np.arange(20, dtype=np.float32).reshape(4, 5), "bias": np.ones(4, np.float32)}
    good = flat(arrays)
    rng = np.random.default_rng(0)
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << rng.integers(8)
        try:
            found = read(bytes(bad))
        except InputError:
            continue
        for name, array in found.items():
            np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "neither"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "breaks off"),
        (b"PK\x03\x04", "truncated"),
    ],
)
def test_foreign_files(read, data, words):
    refused(read, data, words)


def test_not_a_file(tmp_path):
    for path in (tmp_path, tmp_path / "absent.pth"):
        with pytest.raises(InputError, match="is not a file"):
            read_torch(path)


def old_file(body: bytes, storages: dict[str, np.ndarray], *, version=1001, keys=None) -> bytes:
    """The layout before PyTorch 1.6: pickles in a row, then count and numbers of each storage."""
    machine = b"}" + text("little_endian") + b"\x88s"
    listed = b"](" + b"".join(text(key) for key in keys or storages) + b"e"
    pickles = [number(0x1950A86A20F9469CFC6C), number(version), machine, body, listed]
    numbers = [len(values).to_bytes(8, "little") + values.tobytes() for values in storages.values()]
    return b"".join(map(handmade.pickle, pickles)) + b"".join(numbers)


def test_the_format_before_zip_files(read):
    """As torch 2.13 writes it with _use_new_zipfile_serialization=False, and with the older function that rebuilds."""
    weights = {
        "a": tensor("7", 6, [3, 2], [1, 3]),
        "b": tensor("3", 2, [2], [1], storage="DoubleStorage").replace(b"_tensor_v2", b"_tensor"),
    }
    data = old_file(dictionary(weights), {"7": SIX, "3": np.array([0.5, -2.0])})
    found = read(data)
    np.testing.assert_array_equal(found["a"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["b"], [0.5, -2.0])
    assert found["b"].dtype == np.float64
    for length in range(len(data)):
        refused(read, data[:length], "truncated|damaged|empty|neither")
    refused(read, data + b"0", "1 bytes follow")


def test_old_files_that_lie(read):
    one = dictionary({"a": tensor("7", 6, [6], [1])})
    refused(read, old_file(one, {"7": SIX[:5]}), "truncated|damaged")
    refused(read, old_file(one, {"7": SIX}, version=1002), "version 1002")
    refused(read, old_file(one, {"8": SIX}), "not those of its tensors")
    refused(read, old_file(one, {"7": SIX}, keys=["7", "7"]), "not those of its tensors")
    refused(read, old_file(dictionary({"a": tensor("7", 6, [7], [1])}), {"7": SIX}), "does not fit")
    refused(read, old_file(named("os", "system") + b"(" + text("true") + b"tR", {}), r"class 'os\.system'")


@pytest.mark.parametrize("file", present("checkpoints/legacy_format.pth"))
def test_an_old_file_of_torch_itself_holds_what_the_new_one_does(file):
    old, new = read_torch(ROOT / file), read_torch(ROOT / "checkpoints" / "backbone.pth")
    assert old
    for name, array in old.items():
        np.testing.assert_array_equal(array, new[name])
