"""`copgen export-model RUN... [--autoencoders MODEL] --out MODEL`: training runs as a model directory."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from copgen_jax.config import SolverConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories")
    parser.add_argument("--autoencoders", metavar="MODEL", help="model whose autoencoders made the latents, or demo")
    parser.add_argument("--out", required=True, metavar="MODEL", help="model directory to write")
    parser.add_argument(
        "--precision",
        choices=("float32", "float16"),
        default="float32",
        help="of the parameters; float16 halves the directory and makes another model, whose own latents a backbone "
        "must be trained on (default float32)",
    )
    parser.add_argument("--solver", metavar="NAME", help="default of who samples the model (default: published)")
    parser.add_argument("--evaluations", type=int, metavar="N", help="the same, of the network (default: 50)")
    parser.add_argument("--overwrite", action="store_true", help="replace a model directory")


def run(arguments: argparse.Namespace, terminal) -> None:
    """Write the model directory and say its hashes.

    Raises:
        InputError: see `copgen_jax.training.export.export_model`.
    """
    from copgen_jax.checkpoints import find_model
    from copgen_jax.training.export import export_model

    hashes = export_model(
        arguments.runs,
        arguments.out,
        autoencoders=arguments.autoencoders and find_model(arguments.autoencoders),
        precision=arguments.precision,
        solver=_solver(arguments),
        overwrite=arguments.overwrite,
        track=terminal.track,
    )
    data = {"model": arguments.out, "latent_space": hashes.latent_space, "backbone": hashes.backbone}
    found = [f"{name.replace('_', ' ')} {value[:12]}" for name, value in data.items() if name != "model" and value]
    terminal.result(data, f"wrote {arguments.out}: {', '.join(found)}")


def _solver(arguments: argparse.Namespace) -> "SolverConfig | None":
    """What was asked for of it; None for nothing."""
    from copgen_jax.config import SolverConfig

    asked = {"name": arguments.solver, "evaluations": arguments.evaluations}
    asked = {key: value for key, value in asked.items() if value is not None}
    return SolverConfig(**asked) if asked else None
