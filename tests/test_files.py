"""Writing aside: a final name holds the old content or the new, never a part."""

import errno

import pytest

from copgen_jax.errors import InputError
from copgen_jax.files import directory_aside, file_aside


def listing(path):
    return sorted(p.name for p in path.iterdir())


def write_half_and_fail(final, error):
    with file_aside(final) as aside:
        aside.write_text("half")
        raise error


def test_a_file_appears_whole_and_replaces_the_old_one(tmp_path):
    final = tmp_path / "below" / "a.txt"
    for text in ("first", "second"):
        with file_aside(final) as aside:
            aside.write_text(text)
            assert not final.exists() or final.read_text() != text
        assert final.read_text() == text
    assert listing(final.parent) == ["a.txt"]
    assert final.stat().st_mode & 0o444 == 0o444


def test_a_failed_file_leaves_the_old_one(tmp_path):
    final = tmp_path / "a.txt"
    final.write_text("old")
    with pytest.raises(RuntimeError):
        write_half_and_fail(final, RuntimeError())
    assert final.read_text() == "old"
    assert listing(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "permission is denied")])
def test_a_full_disk_is_one_sentence(tmp_path, number, words):
    with pytest.raises(InputError, match=words):
        write_half_and_fail(tmp_path / "a.txt", OSError(number, "simulated"))
    assert listing(tmp_path) == []


def test_a_directory_appears_whole(tmp_path):
    final = tmp_path / "model"
    with directory_aside(final) as aside:
        (aside / "a").write_text("1")
        assert not final.exists()
    assert listing(final) == ["a"]
    assert listing(tmp_path) == ["model"]


def test_an_existing_directory_is_kept_unless_told_otherwise(tmp_path):
    final = tmp_path / "model"
    final.mkdir()
    (final / "precious").write_text("1")
    with pytest.raises(InputError, match="--overwrite"), directory_aside(final):
        pass
    with pytest.raises(RuntimeError), directory_aside(final, overwrite=True):
        raise RuntimeError
    assert listing(final) == ["precious"]
    with directory_aside(final, overwrite=True) as aside:
        (aside / "new").write_text("2")
    assert listing(final) == ["new"]
    assert listing(tmp_path) == ["model"]
