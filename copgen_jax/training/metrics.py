"""The log of a run: a row of figures per log step, as JSON lines and as files that TensorBoard reads.

Where a project of Weights & Biases is named, rows go there too; the run's number is its number there, so
that a continued run goes on in the same place.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from copgen_jax.errors import InputError
from copgen_jax.training.run import METRICS, RunDirectory

Row = dict[str, Any]
"""{"step": ..., "loss": ..., ...}: numbers, lists of numbers, and dicts of these by modality."""


class MetricsLog:
    """Appends rows to `metrics.jsonl` and `tensorboard/`; does nothing in all but one process."""

    def __init__(self, run: RunDirectory, *, step: int, wandb: str | None = None):
        """Open the log of a run that stands at `step`; rows after it are removed.

        Args:
            run: the run.
            step: where it stands.
            wandb: project of Weights & Biases.
        """
        self._file, self._board, self._remote = None, None, None
        if not run.is_writer:
            return
        from tensorboardX import SummaryWriter

        run.forget_rows_after(step)
        self._file = (run.path / METRICS).open("a")
        self._board = SummaryWriter(str(run.path / "tensorboard"), purge_step=step + 1, flush_secs=30)
        if wandb is not None:
            self._remote = _begin_remote(run, wandb)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None and self._board is not None:
            self._file.close()
            self._board.close()
        if self._remote is not None:
            self._remote.finish()

    def write(self, row: Row) -> None:
        """Append a row; what is not finite is null in JSON."""
        if self._file is None or self._board is None:
            return
        self._file.write(json.dumps(finite(row)) + "\n")
        self._file.flush()
        for name, value in flat(row):
            if name != "step" and isinstance(value, int | float):
                self._board.add_scalar(name, value, row["step"])
        if self._remote is not None:
            numbers = {name: value for name, value in flat(row) if isinstance(value, int | float)}
            self._remote.log(numbers, step=row["step"])


def require_wandb() -> Any:
    """The package of Weights & Biases.

    Raises:
        InputError: it is not installed.
    """
    try:
        import wandb
    except ImportError as error:
        raise InputError("--wandb needs a package that is not here: pip install 'copgen_jax[wandb]'") from error
    return wandb


def _begin_remote(run: RunDirectory, project: str) -> Any:
    wandb = require_wandb()
    settings = {"network": run.config.network, "training": run.config.training, "data": run.config.data}
    try:
        return wandb.init(
            project=project,
            id=run.config.run_id,
            name=run.path.name,
            dir=str(run.path),
            config=json.loads(json.dumps(settings)),
            resume="allow",
        )
    except wandb.Error as error:
        raise InputError(f"Weights & Biases does not take this run: {str(error).splitlines()[0]}") from error


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """("loss", 1.0), ("modalities/DEM", 0.2), ("time_bins/0", 0.1), ..."""
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = ((str(i), item) for i, item in enumerate(value))
    else:
        yield prefix, value
        return
    for key, item in items:
        yield from flat(item, f"{prefix}/{key}" if prefix else key)


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
