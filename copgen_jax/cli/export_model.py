"""`copgen export-model RUN... [--autoencoders MODEL] --out MODEL`: training runs as a model directory."""

import argparse


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
        overwrite=arguments.overwrite,
        track=terminal.track,
    )
    data = {"model": arguments.out, "latent_space": hashes.latent_space, "backbone": hashes.backbone}
    found = [f"{name.replace('_', ' ')} {value[:12]}" for name, value in data.items() if name != "model" and value]
    terminal.result(data, f"wrote {arguments.out}: {', '.join(found)}")
