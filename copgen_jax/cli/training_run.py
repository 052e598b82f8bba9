"""What every training says while it runs, and the exit codes with which it ends."""

import argparse
from collections.abc import Callable
from typing import Any


def run_training(
    train: Callable[..., tuple[Any, Any]],
    plan: Any,
    arguments: argparse.Namespace,
    terminal,
    say_outcome: Callable[[Any, Any], None],
) -> None:
    """Run `train` on a plan; `say_outcome(run, outcome)` tells people, on the first process.

    Raises:
        SystemExit: told to stop (75), or training cannot go on (1).
    """
    import jax

    from copgen_jax.training.loop import REQUEUE, TrainingStopped

    try:
        run, outcome = train(
            plan,
            arguments.out,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            track=terminal.track,
            tell=lambda row: terminal.say(progress_line(row, plan.training.habits.steps)),
            say=terminal.say,
        )
    except TrainingStopped as error:
        terminal.error(str(error))
        raise SystemExit(1) from error
    if jax.process_index() == 0:
        say_outcome(run, outcome)
    if outcome.preempted:
        raise SystemExit(REQUEUE)


def state_of(outcome: Any) -> str:
    """How a run ended, in words."""
    return "stopped, continue with --resume" if outcome.preempted else "finished"


def progress_line(row: dict[str, Any], steps: int) -> str:
    """One row of figures for people."""
    left = (steps - row["step"]) * row["seconds_per_step"]
    parts = [
        f"step {row['step']:,}/{steps:,}",
        f"loss {row['loss']:.4g}",
        f"{row['samples_per_second']:.1f} samples/s",
        f"waits for data {row['data_wait']:.0%}",
    ]
    if "mfu" in row:
        parts.append(f"MFU {row['mfu']:.1%}")
    if row["skipped"]:
        parts.append(f"{row['skipped']} updates skipped")
    return "  ".join([*parts, f"{_duration(left)} left"])


def _duration(seconds: float) -> str:
    hours, minutes = int(seconds // 3600), int(seconds % 3600 // 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {int(seconds % 60):02d} s"
