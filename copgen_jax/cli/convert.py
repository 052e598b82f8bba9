"""`copgen convert`: published PyTorch weights to a model directory, and back."""

import argparse

from copgen_jax.cli.terminal import Terminal
from copgen_jax.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `copgen convert`."""
    parser.add_argument(
        "--vaes", metavar="DIR", help="directory with the published autoencoders, one per image modality"
    )
    parser.add_argument("--backbone", metavar="FILE", help="published backbone (.pth or .safetensors)")
    parser.add_argument("--autoencoders", metavar="MODEL", help="take the autoencoders of this model directory instead")
    parser.add_argument("--out", metavar="DIR", required=True, help="model directory to write (or published files)")
    parser.add_argument(
        "--modalities",
        nargs="+",
        metavar="NAME",
        help="products or modalities of the backbone, if not all published ones",
    )
    parser.add_argument("--heads", type=int, metavar="N", help="attention heads of a backbone of no published size")
    parser.add_argument(
        "--to-published", action="store_true", help="write the original's names from --model, as safetensors"
    )
    parser.add_argument("--model", metavar="MODEL", help="model directory, for --to-published")
    parser.add_argument("--overwrite", action="store_true", help="replace what is at --out")


def run(arguments: argparse.Namespace, terminal: Terminal) -> None:
    """Convert, and say what was written."""
    if arguments.to_published:
        _to_published(arguments, terminal)
    else:
        _to_model(arguments, terminal)


def _to_model(arguments: argparse.Namespace, terminal: Terminal) -> None:
    from copgen_jax.checkpoints.convert import convert
    from copgen_jax.modalities import COPGEN

    if arguments.model:
        raise InputError("--model goes with --to-published; the model directory to write is --out")
    config, hashes = convert(
        arguments.out,
        vaes=arguments.vaes,
        backbone=arguments.backbone,
        autoencoders=arguments.autoencoders,
        modalities=COPGEN.subset(arguments.modalities) if arguments.modalities else None,
        heads=arguments.heads,
        overwrite=arguments.overwrite,
        track=terminal.track,
    )
    networks = [f"autoencoders of {', '.join(config.autoencoders)}"] if config.autoencoders else []
    if config.backbone is not None:
        size = config.backbone
        networks.insert(0, f"a backbone {size.width} wide, {size.depth} deep, with {size.heads} heads")
    terminal.result(
        {"out": arguments.out, "latent_space": hashes.latent_space, "backbone": hashes.backbone},
        f"wrote {arguments.out}: {' and '.join(networks)} (see copgen info {arguments.out})",
    )


def _to_published(arguments: argparse.Namespace, terminal: Terminal) -> None:
    from copgen_jax.checkpoints.convert import convert_to_published

    if not arguments.model:
        raise InputError("--to-published needs the model directory: --model MODEL")
    for option in ("vaes", "backbone", "autoencoders", "modalities", "heads"):
        if getattr(arguments, option) is not None:
            raise InputError(f"--{option} does not go with --to-published, which writes all networks of --model")
    written = convert_to_published(arguments.model, arguments.out, overwrite=arguments.overwrite, track=terminal.track)
    terminal.result({"files": written}, "\n".join(f"wrote {file}" for file in written))
