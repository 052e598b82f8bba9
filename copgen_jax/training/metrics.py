"""The log of a run: a row of figures per log step, as JSON lines and as files that TensorBoard reads."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from copgen_jax.training.run import METRICS, RunDirectory

Row = dict[str, Any]
"""{"step": ..., "loss": ..., ...}: numbers, lists of numbers, and dicts of these by modality."""


class MetricsLog:
    """Appends rows to `metrics.jsonl` and `tensorboard/`; does nothing in all but one process."""

    def __init__(self, run: RunDirectory, *, step: int):
        """Open the log of a run that stands at `step`; rows after it are removed."""
        self._file, self._board = None, None
        if not run.is_writer:
            return
        from tensorboardX import SummaryWriter

        run.forget_rows_after(step)
        self._file = (run.path / METRICS).open("a")
        self._board = SummaryWriter(str(run.path / "tensorboard"), purge_step=step + 1, flush_secs=30)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None and self._board is not None:
            self._file.close()
            self._board.close()

    def write(self, row: Row) -> None:
        """Append a row; what is not finite is null in JSON."""
        if self._file is None or self._board is None:
            return
        self._file.write(json.dumps(finite(row)) + "\n")
        self._file.flush()
        for name, value in flat(row):
            if name != "step" and isinstance(value, int | float):
                self._board.add_scalar(name, value, row["step"])


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
