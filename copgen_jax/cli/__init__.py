"""The command line: argument parsing and messages only.

Each sub-command is a module with `add_arguments(parser)` and `run(arguments, terminal)`; it is imported when it is
called, so that `copgen --help` starts fast.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from copgen_jax.errors import InputError
from copgen_jax.version import program_version

COMMANDS = {
    "demo": ("demo", "show the main job on an embedded example"),
    "generate": ("generate", "draw the wanted modalities of a place from the given ones"),
    "info": ("info", "say what is in a model directory"),
    "convert": ("convert", "published PyTorch weights to a model directory, and back"),
    "download": ("download", "fetch the published weights from the hub"),
    "simulate": ("simulate", "write cells of the synthetic world in the layout of the real data"),
    "encode": ("encode", "turn data into a latent store: posterior moments of every patch"),
    "evaluate": ("evaluate", "judge models by protocols, beside known truth, and write a report"),
    "export": ("export", "take patches out of a latent store: latents, decoded rasters, an index"),
    "inspect": ("inspect", "say what is in a latent store, and find damage in it"),
    "train": ("train", "train a backbone on latents or an autoencoder on images, or continue to"),
    "export-model": ("export_model", "turn training runs into a model directory"),
    "import-latents": ("import_latents", "turn an LMDB of the original's moments into a latent store"),
}
"""Sub-command -> (module of this package, one line of help)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `copgen`. Returns 0, or 1 (failed), 2 (wrong input), 130 (interrupted)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser, commands = _parser()
    if argv and argv[0] in COMMANDS:
        module = importlib.import_module(f"copgen_jax.cli.{COMMANDS[argv[0]][0]}")
        module.add_arguments(commands[argv[0]])
        arguments, settings = parser.parse_known_args(argv)
        if settings and not getattr(module, "TAKES_SETTINGS", False):
            parser.error(f"unrecognized arguments: {' '.join(settings)}")
        arguments.settings = settings
        return _run(module, arguments)
    arguments = parser.parse_args(argv)
    parser.print_help()
    return 0


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="copgen", description="Any-to-any generation of co-located Copernicus data, in JAX."
    )
    parser.add_argument("--version", action="version", version=f"copgen_jax {program_version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands = {}
    for name, (_, text) in COMMANDS.items():
        commands[name] = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        commands[name].add_argument("--json", action="store_true", help="print one JSON object instead of text")
        commands[name].add_argument("--quiet", action="store_true", help="print errors only")
    return parser, commands


def _run(module, arguments: argparse.Namespace) -> int:
    from copgen_jax.cli.terminal import Terminal

    terminal = Terminal(json=arguments.json, quiet=arguments.quiet)
    try:
        module.run(arguments, terminal)
    except InputError as error:
        terminal.error(str(error))
        return 2
    except KeyboardInterrupt:
        terminal.error("interrupted")
        return 130
    except BrokenPipeError:
        return 1
    return 0
