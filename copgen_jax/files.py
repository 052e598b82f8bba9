"""Writing so that a final name never holds half a file: write aside, flush to the disk, rename."""

import contextlib
import errno
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from copgen_jax.errors import InputError

ASIDE = ".partial-"
"""How names of unfinished files and directories begin."""


@contextlib.contextmanager
def file_aside(final: str | Path) -> Iterator[Path]:
    """A path beside `final` to write to; renamed onto `final` (replacing it) if the block ends well, else removed.

    Raises:
        InputError: the disk is full, or the place cannot be written to.
    """
    final = Path(final)
    with explained(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=ASIDE, suffix=final.suffix, dir=final.parent)
        os.close(handle)
        aside = Path(name)
        try:
            yield aside
            aside.chmod(0o666 & ~_umask())
            _flush(aside)
            aside.replace(final)
        finally:
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def directory_aside(final: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """An empty directory beside `final` to fill; renamed onto `final` if the block ends well, else removed.

    Raises:
        InputError: `final` exists and `overwrite` is not set, the disk is full, or the place cannot be written to.
    """
    final = Path(final)
    if final.exists() and not overwrite:
        raise InputError(f"{final} exists already; choose another place or pass --overwrite")
    with explained(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f"{ASIDE}{final.name}-", dir=final.parent))
        replaced = aside.with_name(aside.name + "-replaced")
        try:
            yield aside
            aside.chmod(0o777 & ~_umask())
            if final.exists():
                final.rename(replaced)
            aside.rename(final)
        finally:
            if not final.exists() and replaced.exists():
                replaced.rename(final)
            for leftover in (aside, replaced):
                shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def explained(final: Path) -> Iterator[None]:
    """Say in one sentence that `final` could not be written, where the disk or its permissions are the reason.

    Raises:
        InputError: the disk is full, or the place cannot be written to.
    """
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EACCES: "permission is denied",
            errno.EROFS: "the disk is read-only",
        }
        if error.errno not in reasons:
            raise
        raise InputError(f"cannot write {final}: {reasons[error.errno]}; nothing was left under that name") from error


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@functools.cache
def _umask() -> int:
    """Read by setting it, for which there must be no two threads: once, at the first file."""
    current = os.umask(0)
    os.umask(current)
    return current
