"""The run directory: what a run is, where it stands, and whether it may go on.

    config.json          what was asked for, the model, the data, the versions; and the run's own number
    metrics.jsonl        a row per log step
    events.jsonl         starts, checkpoints begun and finished, stops
    checkpoints/<step>/  Orbax: the training state, and whose it is
    digests/<step>.json  hashes of a checkpoint's files, to tell damage
    tensorboard/         the rows again
    sheets/<step>.png    what the network made of some held-out patches

A run is continued only as what it was: another configuration, other data or another run's checkpoints are refused in a
sentence. Of many processes the first one decides and writes; the others wait and read.
"""

import dataclasses
import json
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from copgen_jax.config import ModelConfig, from_json, to_json
from copgen_jax.errors import InputError
from copgen_jax.files import explained, file_aside
from copgen_jax.version import program_version

CONFIG, METRICS, EVENTS, CHECKPOINTS, DIGESTS, SHEETS = (
    "config.json",
    "metrics.jsonl",
    "events.jsonl",
    "checkpoints",
    "digests",
    "sheets",
)

MAY_CHANGE = ("habits.", "accumulation", "remat")
"""What a continued run may do otherwise: these leave the sequence of updates as it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """`config.json` of a run."""

    network: str
    """What is trained: "backbone", or "vae"."""
    run_id: str
    """Random; every checkpoint carries it."""
    model: ModelConfig
    training: Mapping[str, Any]
    """The training configuration as plain data."""
    data: Mapping[str, Any]
    """What the run is trained on: place, split, latent space."""
    versions: Mapping[str, str]
    """Of the programs that began the run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunDirectory:
    """An open run directory."""

    path: Path
    config: RunConfig

    @property
    def checkpoints(self) -> Path:
        """Where Orbax writes."""
        return self.path / CHECKPOINTS

    def sheet(self, step: int) -> Path:
        """Where the sheet of pictures of a step is written."""
        return self.path / SHEETS / f"{step:07d}.png"

    @property
    def is_writer(self) -> bool:
        """Whether this process writes what only one must."""
        return jax.process_index() == 0

    def log_event(self, event: str, **details: Any) -> None:
        """Append a line to `events.jsonl`, on the disk at once."""
        if self.is_writer:
            with explained(self.path), (self.path / EVENTS).open("a") as file:
                file.write(json.dumps({"event": event, "time": round(time.time(), 3), **details}) + "\n")

    def events(self) -> list[dict[str, Any]]:
        """The lines of `events.jsonl`; a last half line is left out."""
        return read_rows(self.path / EVENTS)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`; a last half line is left out."""
        return read_rows(self.path / METRICS)

    def forget_rows_after(self, step: int) -> None:
        """Remove the rows after a step from `metrics.jsonl`: they will be written again."""
        rows = [row for row in self.rows() if row["step"] <= step]
        with file_aside(self.path / METRICS) as aside:
            aside.write_text("".join(json.dumps(row) + "\n" for row in rows))


def open_run(
    path: str | Path,
    *,
    network: str,
    model: ModelConfig,
    training: Any,
    data: Mapping[str, Any],
    resume: bool = False,
    overwrite: bool = False,
) -> RunDirectory:
    """Begin a run directory, or continue one.

    Args:
        path: the directory.
        network: what is trained.
        model: what comes out.
        training: dataclass of the training configuration.
        data: what it is trained on, as plain data.
        resume: continue what is there, or begin where nothing is.
        overwrite: remove a run that is there, and begin.

    Raises:
        InputError: something else is at `path`, a run without `resume` or `overwrite`, a run of something else.
    """
    path = Path(path).absolute()
    wanted = RunConfig(
        network=network,
        run_id=uuid.uuid4().hex,
        model=model,
        training=json.loads(json.dumps(dataclasses.asdict(training))),
        data=data,
        versions=versions(),
    )
    if jax.process_index() == 0:
        _settle(path, wanted, resume=resume, overwrite=overwrite)
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("the run directory is there")
    return RunDirectory(path=path, config=load_run_config(path))


def load_run(path: str | Path) -> RunDirectory:
    """A run that is there.

    Raises:
        InputError: no run directory, or its configuration does not read.
    """
    return RunDirectory(path=Path(path).absolute(), config=load_run_config(Path(path)))


def load_run_config(path: Path) -> RunConfig:
    """`config.json` of a run directory.

    Raises:
        InputError: no run directory, or damaged.
    """
    if not is_run(path):
        raise InputError(f"{path} is no run directory: it has no {CONFIG} of a training run")
    return from_json((path / CONFIG).read_text(), RunConfig, source=path / CONFIG)


def is_run(path: Path) -> bool:
    """Whether a run was begun here (a model directory has a `config.json` too, with no `run_id`)."""
    try:
        return '"run_id"' in (path / CONFIG).read_text()
    except (OSError, UnicodeDecodeError):
        return False


def versions() -> dict[str, str]:
    """Of the programs that a run depends on."""
    return {"copgen_jax": program_version(), **{n: version(n) for n in ("jax", "flax", "optax", "orbax-checkpoint")}}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """JSON lines; what a killed process left of its last line is left out.

    Raises:
        InputError: another line is no JSON object.
    """
    if not path.exists():
        return []
    lines = path.read_text(errors="replace").splitlines()
    rows = []
    for number, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number == len(lines) - 1:
                break
            raise InputError(f"line {number + 1} of {path} is damaged: it is no JSON") from error
    return rows


def differences(begun: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Settings that differ and must not, as text: "optimiser.learning_rate was 0.1, is now 0.2"."""
    before, now = dict(_flat(begun)), dict(_flat(wanted))
    return [
        f"{name} was {before.get(name, 'not set')}, is now {now.get(name, 'not set')}"
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name) and not name.startswith(MAY_CHANGE)
    ]


def _settle(path: Path, wanted: RunConfig, *, resume: bool, overwrite: bool) -> None:
    """Leave a run directory at `path` that matches `wanted`."""
    occupied = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if occupied and not is_run(path):
        raise InputError(f"{path} exists and is no run directory; choose another place")
    if occupied and resume:
        _require_same(path, load_run_config(path), wanted)
        return
    if occupied and not overwrite:
        raise InputError(f"{path} is a run already; continue it with --resume or replace it with --overwrite")
    with explained(path):
        if occupied:
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        with file_aside(path / CONFIG) as aside:
            aside.write_text(to_json(wanted))


def _require_same(path: Path, begun: RunConfig, wanted: RunConfig) -> None:
    if begun.network != wanted.network:
        raise InputError(f"{path} is a run of a {begun.network}; it cannot be continued as a {wanted.network}")
    found = differences(begun.training, wanted.training)
    found += differences(json.loads(json.dumps(begun.data)), json.loads(json.dumps(wanted.data)))
    found += [f"model.{text}" for text in differences(*(json.loads(to_json(c.model)) for c in (begun, wanted)))]
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InputError(
            f"{path} was begun with another configuration: {found[0]}{more}; continue with the same one, or choose "
            f"another --out"
        )


def _flat(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
