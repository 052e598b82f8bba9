"""`copgen train backbone --config base --latents STORE --out RUN` trains, or continues to; so does `train vae`."""

import argparse
from typing import Any

from copgen_jax.cli import train_vae
from copgen_jax.cli.training_run import run_training

TAKES_SETTINGS = True
"""`--config.key=value` is passed on in `arguments.settings`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.epilog = (
        "Settings of the configuration: --config.batch_size=256 --config.optimiser.learning_rate=1e-4 "
        "--config.modalities=DEM,S2L2A ..., =none for nothing. A configuration FILE is Python code, and is executed: "
        "use files you trust. "
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
        "--init", metavar="MODEL", help="model directory to start from, of the same or other modalities; or demo"
    )
    parser.add_argument(
        "--autoencoders",
        metavar="MODEL",
        help="of a backbone: model that made the latents, or demo; draws sheets of samples",
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in RUN, or begin where none is")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in RUN")
    parser.add_argument(
        "--wandb", metavar="PROJECT", help="also tell Weights & Biases (pip install 'copgen_jax[wandb]')"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained and what it needs, and stop")
    train_vae.add_arguments(parser)


def run(arguments: argparse.Namespace, terminal) -> None:
    """Train.

    Raises:
        InputError: see `copgen_jax.training.backbone`.
        SystemExit: told to stop (75), or training cannot go on (1).
    """
    import jax

    from copgen_jax.cli.compilation import keep_compilations
    from copgen_jax.cli.configuration import autoencoder_training, backbone_training
    from copgen_jax.errors import InputError
    from copgen_jax.parallel import start_processes
    from copgen_jax.training.metrics import require_wandb

    if arguments.resume and arguments.overwrite:
        raise InputError("--resume continues a run and --overwrite replaces it; give one of them")
    train_vae.check_arguments(arguments)
    of_backbone = arguments.network == "backbone"
    read = backbone_training if of_backbone else autoencoder_training
    training: Any = read(arguments.config, arguments.settings)
    if arguments.wandb is not None:
        require_wandb()
    start_processes()
    keep_compilations()
    if jax.process_index() > 0:
        terminal = type(terminal)(quiet=True)
    (_train_backbone if of_backbone else train_vae.train)(arguments, training, terminal)


def _train_backbone(arguments: argparse.Namespace, training: Any, terminal) -> None:
    from copgen_jax.checkpoints import find_model
    from copgen_jax.training.backbone import plan_backbone

    plan = plan_backbone(
        training,
        arguments.latents,
        init=arguments.init and str(find_model(arguments.init)),
        autoencoders=arguments.autoencoders and str(find_model(arguments.autoencoders)),
        track=terminal.track,
    )
    run_training(plan, arguments, terminal, needs={"memory_bytes": plan.cost.memory})
