"""What every training says while it runs, and the exit codes with which it ends."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any


def run_training(
    plan: Any,
    arguments: argparse.Namespace,
    terminal,
    *,
    needs: Mapping[str, Any],
    found: Callable[[Any], tuple[dict[str, Any], list[str]]] = lambda run: ({}, []),
) -> None:
    """Say the plan, train as planned, and sum up on the first process.

    Args:
        plan: a `copgen_jax.training.train.TrainingPlan`.
        arguments: of the command.
        terminal: of this process.
        needs: what a dry run tells machines beside the plan.
        found: further results of a run, and lines about them for people.

    Raises:
        SystemExit: told to stop (75), or training cannot go on (1).
    """
    import jax

    from copgen_jax.training.loop import REQUEUE, TrainingStopped
    from copgen_jax.training.summary import summarise_run
    from copgen_jax.training.train import train

    for line in plan.lines():
        terminal.say(line)
    if arguments.dry_run:
        terminal.result({"dry_run": True, "plan": plan.lines(), **needs})
        return
    try:
        run, outcome = train(
            plan,
            arguments.out,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            wandb=arguments.wandb,
            track=terminal.track,
            tell=lambda row: terminal.say(progress_line(row, plan.training.habits.steps)),
            say=terminal.say,
        )
    except TrainingStopped as error:
        terminal.error(str(error))
        raise SystemExit(1) from error
    if jax.process_index() == 0:
        data, lines = found(run)
        data = {"run": str(run.path), "step": outcome.step, "preempted": outcome.preempted, **summarise_run(run)} | data
        ending = "stopped, continue with --resume" if outcome.preempted else "finished"
        first = f"{run.path}: {ending} at step {outcome.step:,}; see summary.json, curves.png"
        terminal.result(data, "\n".join([first, *lines]))
    if outcome.preempted:
        raise SystemExit(REQUEUE)


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
