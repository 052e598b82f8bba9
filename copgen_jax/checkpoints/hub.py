"""The published weights from the Hugging Face hub.

The revision is resolved to a commit first, and everything is fetched from that commit. A file counts as fetched when
its size and its checksum agree with what the hub lists (SHA-256 for large files, git's SHA-1 otherwise); an interrupted
download is continued. Names that the hub lists are confined to the output directory.
"""

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from copgen_jax.errors import InputError
from copgen_jax.files import file_aside
from copgen_jax.progress import Track, silently

REPOSITORIES = ("mespinosami/copgen-base", "mespinosami/copgen-vaes")
"""The published backbone and autoencoders."""
RECORD = "download.json"
_WANTED = (".pth", ".pt", ".safetensors", ".md", ".json", ".yaml")
"""Weights and what describes them; nothing that could be executed."""
_PARTIAL = ".partial"
_PLAIN_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@ -]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fetched:
    """One repository as fetched."""

    repository: str
    commit: str
    """Pass it as `revision` to fetch the same again."""
    directory: Path
    files: tuple[str, ...]
    """Paths below the directory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Listed:
    name: str
    size: int
    sha256: str | None
    git_sha1: str


def download(
    repository: str,
    out: str | Path,
    *,
    revision: str = "main",
    endpoint: str | None = None,
    track: Track = silently,
) -> Fetched:
    """Fetch the weights of a hub repository into `out`, continuing what is there already.

    Args:
        repository: as `owner/name`.
        out: directory; files keep their paths in the repository, `download.json` records the commit and the checksums.
        revision: branch, tag or commit; a commit pins the content.
        endpoint: the hub's address; None for the public one, or what HF_ENDPOINT says.
        track: told about files fetched.

    Raises:
        InputError: no such repository or revision, no network, a name that leaves `out`, or a file that is not what
            the hub lists (it is removed).
    """
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors, utils
    except ImportError as error:
        raise InputError("downloading needs the extra: pip install 'copgen_jax[hub]'") from error
    out = Path(out)
    endpoint = endpoint or os.environ.get("HF_ENDPOINT")
    utils.disable_progress_bars()
    utils.logging.set_verbosity_error()
    try:
        commit, files = _list(hub.HfApi(endpoint=endpoint), repository, revision)
        for file in files:
            _confine(out, file.name)
        for file in track(files, total=len(files), what="downloading"):
            place = out / file.name
            if not _is_complete(place, file):
                _fetch(hub.hf_hub_url(repository, file.name, revision=commit, endpoint=endpoint), place, file)
    except (errors.HfHubHTTPError, errors.HFValidationError, errors.LocalEntryNotFoundError) as error:
        raise InputError(f"cannot fetch {repository} at revision {revision}: {_first_line(error)}") from error
    except (errors.HTTPError, ConnectionError) as error:
        raise InputError(f"lost the hub while fetching {repository}: {_first_line(error)}; run it again") from error
    except OSError as error:
        raise InputError(f"cannot write to {out}: {_first_line(error)}; run it again to continue") from error
    _record(out, repository, commit, files)
    return Fetched(repository=repository, commit=commit, directory=out, files=tuple(file.name for file in files))


def _list(api: Any, repository: str, revision: str) -> tuple[str, list[_Listed]]:
    """The commit that a revision stands for, and the wanted files in it."""
    commit = api.model_info(repository, revision=revision).sha
    files = []
    for entry in api.list_repo_tree(repository, revision=commit, recursive=True):
        if hasattr(entry, "size") and entry.path.endswith(_WANTED):
            sha256 = entry.lfs.sha256 if entry.lfs else None
            files.append(_Listed(name=entry.path, size=entry.size, sha256=sha256, git_sha1=entry.blob_id))
    if not files:
        raise InputError(f"{repository} at revision {revision} has no files that end in {' '.join(_WANTED)}")
    return commit, files


def _confine(out: Path, name: str) -> None:
    """Refuse a name that would leave `out`, by itself or through a link that is there."""
    plain = all(_PLAIN_PART.fullmatch(part) for part in name.split("/"))
    places = (out / name, out / (name + _PARTIAL))
    if not plain or not all(place.resolve().is_relative_to(out.resolve()) for place in places):
        raise InputError(f"refused: the hub lists a file {name[:100]!r}, which is not a plain path below {out}")


def _is_complete(place: Path, file: _Listed) -> bool:
    if not place.is_file() or place.stat().st_size != file.size:
        return False
    with place.open("rb") as stream:
        if file.sha256:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
        # git's name of a blob covers its type and size as well.
        digest = hashlib.sha1(f"blob {file.size}\0".encode() + stream.read(), usedforsecurity=False)
        return digest.hexdigest() == file.git_sha1


def _fetch(url: str, place: Path, file: _Listed) -> None:
    """Fetch into `<place>.partial`, from where an earlier run stopped; give it its name when it is what is listed."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    partial = place.with_name(place.name + _PARTIAL)
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("ab") as stream:
        start = stream.tell()
        if start < file.size:
            http_get(url, stream, resume_size=start, headers=build_hf_headers())  # pyright: ignore[reportArgumentType]
    if not _is_complete(partial, file):
        partial.unlink()
        raise InputError(f"{url} is not what the hub lists (size or checksum); what was fetched is removed")
    partial.replace(place)


def _record(out: Path, repository: str, commit: str, files: list[_Listed]) -> None:
    data = {
        "repository": repository,
        "commit": commit,
        "files": {file.name: {"size": file.size, "sha256": file.sha256, "git_sha1": file.git_sha1} for file in files},
    }
    with file_aside(out / RECORD) as aside:
        aside.write_text(json.dumps(data, indent=1) + "\n")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")[:200]
