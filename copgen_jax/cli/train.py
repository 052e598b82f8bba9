"""`copgen train backbone --config base --latents STORE --out RUN` trains, or continues to; so does `train vae`."""

import argparse
from typing import Any

from copgen_jax.cli import train_vae
from copgen_jax.cli.training_run import run_training, state_of

TAKES_SETTINGS = True
"""`--config.key=value` is passed on in `arguments.settings`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.epilog = (
        "Settings of the configuration: --config.batch_size=256 --config.optimiser.learning_rate=1e-4 "
        "--config.modalities=DEM,S2L2A ... A configuration FILE is Python code, and is executed: use files you trust. "
        "Told to stop (SIGTERM), a run saves and exits with code 75: start it again with --resume."
    )
    parser.add_argument("network", choices=("backbone", "vae"), help="what to train: vae is an autoencoder")
    parser.add_argument(
        "--config",
        required=True,
        metavar="NAME|FILE",
        help="base, large, huge, demo, tiny of a backbone; vae, demo, tiny of an autoencoder; or a file",
    )
    parser.add_argument("--latents", metavar="STORE|world", help="of a backbone: latent store; world to try it out")
    parser.add_argument("--out", required=True, metavar="RUN", help="run directory")
    parser.add_argument(
        "--init", metavar="MODEL", help="model directory to start from, of the same or other modalities"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in RUN, or begin where none is")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in RUN")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained and what it needs, and stop")
    train_vae.add_arguments(parser)


def run(arguments: argparse.Namespace, terminal) -> None:
    """Train.

    Raises:
        InputError: see `copgen_jax.training.backbone`.
        SystemExit: told to stop (75), or training cannot go on (1).
    """
    from copgen_jax.cli.compilation import keep_compilations
    from copgen_jax.cli.configuration import autoencoder_training, backbone_training
    from copgen_jax.errors import InputError
    from copgen_jax.parallel import start_processes

    if arguments.resume and arguments.overwrite:
        raise InputError("--resume continues a run and --overwrite replaces it; give one of them")
    train_vae.check_arguments(arguments)
    of_backbone = arguments.network == "backbone"
    read = backbone_training if of_backbone else autoencoder_training
    training: Any = read(arguments.config, arguments.settings)
    start_processes()
    keep_compilations()
    (_train_backbone if of_backbone else train_vae.train)(arguments, training, terminal)


def _train_backbone(arguments: argparse.Namespace, training: Any, terminal) -> None:
    import jax

    from copgen_jax.training.backbone import plan_backbone, train_backbone
    from copgen_jax.training.summary import summarise_run

    if jax.process_index() > 0:
        terminal = type(terminal)(json=terminal.json, quiet=True)
    plan = plan_backbone(training, arguments.latents, init=arguments.init, track=terminal.track)
    for line in plan.lines():
        terminal.say(line)
    if arguments.dry_run:
        terminal.result({"dry_run": True, "plan": plan.lines(), "memory_bytes": plan.cost.memory})
        return

    def say_outcome(run_directory: Any, outcome: Any) -> None:
        summary = summarise_run(run_directory)
        data = {"run": str(run_directory.path), "step": outcome.step, "preempted": outcome.preempted, **summary}
        ending = f"{state_of(outcome)} at step {outcome.step:,}; see summary.json, curves.png"
        terminal.result(data, f"{run_directory.path}: {ending}")

    run_training(train_backbone, plan, arguments, terminal, say_outcome)
