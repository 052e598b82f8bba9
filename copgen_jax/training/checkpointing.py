"""Checkpoints of a run: written in the background, whole or not at all, and never confused with another run's.

A checkpoint holds the training state and whose it is: run, step, versions. Orbax writes aside and renames, so that a
killed process leaves no half checkpoint under a step's name. When one is finished its files are hashed; what was
damaged afterwards is named before it is used. The position in the data and all random keys are functions of the run's
seed and the step, so that there is nothing else to keep.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from copgen_jax.errors import InputError
from copgen_jax.files import explained, file_aside
from copgen_jax.training.run import DIGESTS, RunDirectory, versions

STATE, OWNER = "state", "owner"
_UNFINISHED = ".orbax-checkpoint-tmp"


class Checkpoints:
    """The checkpoints of one run. All processes of a run make the same calls; use it as a context manager."""

    def __init__(self, run: RunDirectory, *, keep_last: int, keep_every: int):
        """Open `run/checkpoints`, and remove what killed processes left unfinished there.

        Args:
            run: the run.
            keep_last: newest checkpoints to keep.
            keep_every: checkpoints at multiples of this step are kept for good.
        """
        self._run = run
        unfinished = sorted(run.checkpoints.glob(f"*{_UNFINISHED}*")) if run.checkpoints.exists() else []
        for leftover in unfinished:
            run.log_event("unfinished_save_removed", step=int(leftover.name.split(".")[0]))
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep_last, keep_period=keep_every, cleanup_tmp_directories=True, enable_async_checkpointing=True
        )
        with _quietly(), explained(run.checkpoints):
            self._manager = ocp.CheckpointManager(run.checkpoints, options=options)
        self._open: int | None = None
        self._hashing = ThreadPoolExecutor(1)
        self._hashes: list[Future[None]] = []

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def latest(self) -> int | None:
        """The newest finished step."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any) -> None:
        """Begin to write a checkpoint of `state`; returns when its arrays have been copied from the devices."""
        self.settle(wait=True)
        if step == self.latest:
            return
        owner = {"run_id": self._run.config.run_id, "step": step, "versions": versions()}
        self._run.log_event("save_begun", step=step)
        self._open = step
        with _quietly(), explained(self._run.checkpoints):
            args = ocp.args.Composite(state=ocp.args.StandardSave(state), owner=ocp.args.JsonSave(owner))
            self._manager.save(step, args=args, force=True)

    def settle(self, *, wait: bool = False) -> None:
        """Take note of a save that has been finished since; with `wait`, finish it."""
        if self._open is None:
            return
        if wait:
            with _quietly(), explained(self._run.checkpoints):
                self._manager.wait_until_finished()
        elif self._manager.is_saving_in_progress():
            return
        with _quietly(), explained(self._run.checkpoints):
            self._manager.check_for_errors()
        step, self._open = self._open, None
        self._run.log_event("save_finished", step=step)
        if self._run.is_writer:
            self._hashes.append(self._hashing.submit(self._write_digest, step))

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """The newest checkpoint, or None where none was ever finished.

        Args:
            like: the state as shapes with shardings: where the arrays go, on any number of devices.

        Returns:
            Its step and the state.

        Raises:
            InputError: it is damaged, of another run, of other arrays, or all checkpoints are gone.
        """
        step = self.latest
        if step is None:
            finished = [event["step"] for event in self._run.events() if event["event"] == "save_finished"]
            if finished:
                raise InputError(
                    f"{self._run.path} had checkpoints (the last at step {finished[-1]}), but {self._run.checkpoints} "
                    f"is empty: put them back, or begin anew with --overwrite"
                )
            return None
        place = self._run.checkpoints / str(step)
        if self._run.is_writer:
            require_undamaged(self._run, step)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(like), owner=ocp.args.JsonRestore())
        try:
            with _quietly():
                restored = self._manager.restore(step, args=args)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise InputError(_damaged(place, f"it cannot be read ({str(error).splitlines()[0][:120]})")) from error
        owner = restored[OWNER]
        if owner.get("run_id") != self._run.config.run_id:
            raise InputError(
                f"{place} is of another run than {self._run.path / 'config.json'}: put back this run's own checkpoints"
            )
        return step, restored[STATE]

    def close(self) -> None:
        """Finish what is being written."""
        try:
            self.settle(wait=True)
            for future in self._hashes:
                future.result()
        finally:
            self._hashing.shutdown()
            with _quietly():
                self._manager.close()

    def _write_digest(self, step: int) -> None:
        place = self._run.checkpoints / str(step)
        folder = self._run.path / DIGESTS
        # An older checkpoint may be removed while it is being hashed; then there is nothing to tell damage of.
        with contextlib.suppress(FileNotFoundError):
            hashes = file_hashes(place)
            with file_aside(folder / f"{step}.json") as aside:
                aside.write_text(json.dumps(hashes))
        for old in folder.glob("*.json"):
            if not (self._run.checkpoints / old.stem).exists():
                old.unlink(missing_ok=True)


def newest_step(run: RunDirectory) -> int:
    """The newest finished checkpoint of a run, also of one that is going on.

    Raises:
        InputError: there is none.
    """
    folders = run.checkpoints.iterdir() if run.checkpoints.exists() else []
    steps = [int(folder.name) for folder in folders if folder.name.isdecimal()]
    if not steps:
        raise InputError(f"{run.path} has no finished checkpoint yet")
    return max(steps)


def restore_part(run: RunDirectory, step: int, like: Any) -> Any:
    """Some of the arrays of a checkpoint, e.g. {"ema_params": shapes with shardings}; the rest is not read.

    Raises:
        InputError: it is damaged, or holds other arrays.
    """
    require_undamaged(run, step)
    place = run.checkpoints / str(step)
    try:
        with _quietly(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            args = ocp.args.PyTreeRestore(
                item=like, restore_args=ocp.checkpoint_utils.construct_restore_args(like), partial_restore=True
            )
            return checkpointer.restore(place / STATE, args=args)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(_damaged(place, f"it cannot be read ({str(error).splitlines()[0][:120]})")) from error


def require_undamaged(run: RunDirectory, step: int) -> None:
    """Compare a checkpoint's files with their hashes, where the run lived to take them.

    Raises:
        InputError: a file is missing, or not what was written.
    """
    place, digest = run.checkpoints / str(step), run.path / DIGESTS / f"{step}.json"
    if not digest.exists():
        return
    try:
        expected = json.loads(digest.read_text())
    except ValueError as error:
        raise InputError(f"{digest} is damaged; remove it to use {place} unchecked") from error
    found = file_hashes(place)
    for name, digits in expected.items():
        if found.get(name) != digits:
            what = "is not what was written" if name in found else "is missing"
            raise InputError(_damaged(place, f"{name} {what}"))


def file_hashes(place: Path) -> dict[str, str]:
    """SHA-256 of every file below a directory, by its path in it."""
    hashes = {}
    for file in sorted(path for path in place.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            hashes[file.relative_to(place).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashes


def abstract_state(state: Any, shardings: Any) -> Any:
    """Shapes with shardings, as `Checkpoints.restore` takes them."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state, shardings
    )


def _damaged(place: Path, how: str) -> str:
    return (
        f"the checkpoint {place} is damaged: {how}; restore it, or remove that directory to go on from the one before"
    )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Orbax tells its own story on the console."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
