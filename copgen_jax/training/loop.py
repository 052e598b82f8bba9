"""The loop that every training shares: take a batch, do a step, log, save, and stop when asked.

The loop knows no network. It is given a compiled step, batches and a function that turns the reports of steps into a
row of figures. Steps are dispatched ahead of the device, two at most, so that the device never waits for Python.
"""

import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax

from copgen_jax.progress import Track, silently
from copgen_jax.training.checkpointing import Checkpoints
from copgen_jax.training.config import Habits
from copgen_jax.training.metrics import MetricsLog, Row

REQUEUE = 75
"""Exit code of a run that was told to stop and has saved: a launcher should start it again (EX_TEMPFAIL)."""

AHEAD = 2
"""Steps that are dispatched before the device has done them."""

Reports = Sequence[Any]
"""What the steps since the last row told, on the host."""


class TrainingStopped(RuntimeError):
    """Training cannot usefully go on; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    step: int
    preempted: bool
    """Told to stop before its last step; the checkpoint is there."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed:
    """What figures of speed are computed from."""

    samples_per_step: int
    flops_per_step: float | None = None
    """Of the model, by formula; None leaves the MFU out."""
    peak_flops: float | None = None
    """Of all devices together, per second; None where unknown."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """Something to be looked at now and then, and at the end: a measurement, a sheet of samples."""

    every: int
    """Steps between two times; the state is saved at each."""
    see: Callable[[int, Any], None]
    """Given the number of updates done and the state."""

    def is_due(self, step: int, steps: int) -> bool:
        """Whether to look after this step of so many."""
        return step % self.every == 0 or step == steps


class StopRequest:
    """Whether somebody asked this run to stop with SIGTERM; a context manager.

    In a job of many processes JAX's own service listens, and makes all of them stop at the same step.
    """

    def __init__(self):
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> "StopRequest":
        if jax.process_count() == 1:
            self._before = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        if jax.process_count() == 1:
            signal.signal(signal.SIGTERM, self._before)

    def __call__(self, step: int) -> bool:
        """Whether to stop after this step."""
        if jax.process_count() == 1:
            return self._asked
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(step)

    def _handle(self, number: int, frame: Any) -> None:
        del number, frame
        self._asked = True


def run_steps(
    state: Any,
    step_function: Callable[[Any, Mapping[str, Any]], tuple[Any, Any]],
    batches: Iterator[Mapping[str, Any]],
    *,
    first: int,
    habits: Habits,
    row_of: Callable[[Reports], Row],
    log: MetricsLog,
    checkpoints: Checkpoints,
    stop: Callable[[int], bool],
    speed: Speed,
    look: Look | None = None,
    track: Track = silently,
    tell: Callable[[Row], None] = lambda row: None,
) -> tuple[Any, Outcome]:
    """Train from step `first` to `habits.steps`, or until asked to stop.

    Args:
        state: the training state; its buffers are given away.
        step_function: (state, batch) -> (state, report).
        batches: from step `first` on, on the devices.
        first: updates done before.
        habits: how often to log and to save, and when to stop.
        row_of: the figures of a row from the reports since the last; must have "skipped_in_a_row".
        log: where rows go.
        checkpoints: where states go.
        stop: asked after every step.
        speed: for samples per second and MFU.
        look: what is looked at; its time counts in no row.
        track: told about steps done.
        tell: told about every row.

    Raises:
        TrainingStopped: too many updates in a row had no finite gradient.
    """
    window = _Window(speed)
    preempted, step = False, first
    for step in track(range(first + 1, habits.steps + 1), total=habits.steps - first, what="training"):
        with window.waiting():
            batch = next(batches)
        state, report = step_function(state, batch)
        window.add(report)
        checkpoints.settle()
        preempted = stop(step)
        last = preempted or step == habits.steps
        looks = look is not None and look.is_due(step, habits.steps) and (step == habits.steps or not preempted)
        saves = last or looks or step % habits.save_every == 0
        if saves or step % habits.log_every == 0:
            row = {"step": step, **window.close(row_of)}
            log.write(row)
            tell(row)
            if row["skipped_in_a_row"] >= habits.stop_after_bad:
                raise TrainingStopped(
                    f"stopped at step {step}: the last {row['skipped_in_a_row']} gradients were not finite and their "
                    f"updates were skipped; a smaller learning rate, clipping or float32 may help, in a new run that "
                    f"starts from this one's export (--init)"
                )
        if saves:
            checkpoints.save(step, state)
        if look is not None and looks:
            look.see(step, state)
            window.begin()
        if last:
            break
    checkpoints.settle(wait=True)
    return state, Outcome(step=step, preempted=preempted and step < habits.steps)


class _Window:
    """Reports and seconds since the last row."""

    def __init__(self, speed: Speed):
        self._speed = speed
        self.begin()

    def begin(self) -> None:
        """Nothing done yet, from now on."""
        self._reports: list[Any] = []
        self._begun, self._waited = time.perf_counter(), 0.0

    def waiting(self) -> "_Window":
        return self

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self._waited += time.perf_counter() - self._since

    def add(self, report: Any) -> None:
        self._reports.append(report)
        if len(self._reports) > AHEAD:
            jax.block_until_ready(self._reports[-1 - AHEAD])

    def close(self, row_of: Callable[[Reports], Row]) -> Row:
        """The row of this window; the next one begins."""
        reports, steps = jax.device_get(self._reports), len(self._reports)
        seconds = time.perf_counter() - self._begun
        row = row_of(reports)
        row["samples_per_second"] = steps * self._speed.samples_per_step / seconds
        row["seconds_per_step"] = seconds / steps
        row["data_wait"] = self._waited / seconds
        if self._speed.flops_per_step and self._speed.peak_flops:
            row["mfu"] = steps * self._speed.flops_per_step / seconds / self._speed.peak_flops
        self.begin()
        return row
