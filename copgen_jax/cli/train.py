"""`copgen train backbone --config base --latents STORE --out RUN`: train, or continue to."""

import argparse
from typing import Any

TAKES_SETTINGS = True
"""`--config.key=value` is passed on in `arguments.settings`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.epilog = (
        "Settings of the configuration: --config.batch_size=256 --config.optimiser.learning_rate=1e-4 "
        "--config.modalities=DEM,S2L2A ... A configuration FILE is Python code, and is executed: use files you trust. "
        "Told to stop (SIGTERM), a run saves and exits with code 75: start it again with --resume."
    )
    parser.add_argument("network", choices=("backbone",), help="what to train")
    parser.add_argument("--config", required=True, metavar="NAME|FILE", help="base, large, huge, demo, tiny; or a file")
    parser.add_argument("--latents", required=True, metavar="STORE|world", help="latent store; world to try it out")
    parser.add_argument("--out", required=True, metavar="RUN", help="run directory")
    parser.add_argument(
        "--init", metavar="MODEL", help="model directory to start from, of the same or other modalities"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in RUN, or begin where none is")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in RUN")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained and what it needs, and stop")


def run(arguments: argparse.Namespace, terminal) -> None:
    """Train.

    Raises:
        InputError: see `copgen_jax.training.backbone`.
        SystemExit: told to stop (75), or training cannot go on (1).
    """
    from copgen_jax.cli.compilation import keep_compilations
    from copgen_jax.cli.configuration import backbone_training
    from copgen_jax.errors import InputError
    from copgen_jax.parallel import start_processes

    if arguments.resume and arguments.overwrite:
        raise InputError("--resume continues a run and --overwrite replaces it; give one of them")
    training = backbone_training(arguments.config, arguments.settings)
    start_processes()
    keep_compilations()
    _train_backbone(arguments, training, terminal)


def _train_backbone(arguments: argparse.Namespace, training: Any, terminal) -> None:
    import jax

    from copgen_jax.training.backbone import plan_backbone, train_backbone
    from copgen_jax.training.loop import REQUEUE, TrainingStopped
    from copgen_jax.training.summary import summarise_run

    if jax.process_index() > 0:
        terminal = type(terminal)(json=terminal.json, quiet=True)
    plan = plan_backbone(training, arguments.latents, init=arguments.init, track=terminal.track)
    for line in plan.lines():
        terminal.say(line)
    if arguments.dry_run:
        terminal.result({"dry_run": True, "plan": plan.lines(), "memory_bytes": plan.cost.memory})
        return
    try:
        run_directory, outcome = train_backbone(
            plan,
            arguments.out,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            track=terminal.track,
            tell=lambda row: terminal.say(progress_line(row, training.habits.steps)),
            say=terminal.say,
        )
    except TrainingStopped as error:
        terminal.error(str(error))
        raise SystemExit(1) from error
    if jax.process_index() == 0:
        summary = summarise_run(run_directory)
        state = "stopped, continue with --resume" if outcome.preempted else "finished"
        data = {"run": str(run_directory.path), "step": outcome.step, "preempted": outcome.preempted, **summary}
        terminal.result(data, f"{run_directory.path}: {state} at step {outcome.step:,}; see summary.json, curves.png")
    if outcome.preempted:
        raise SystemExit(REQUEUE)


def progress_line(row: dict[str, Any], steps: int) -> str:
    """One row of figures for people."""
    left = (steps - row["step"]) * row["seconds_per_step"]
    parts = [
        f"step {row['step']:,}/{steps:,}",
        f"loss {row['loss']:.4f}",
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
