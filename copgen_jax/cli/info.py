"""`copgen info`: say what is in a model directory."""

import argparse
from typing import TYPE_CHECKING

from copgen_jax.cli.terminal import Terminal

if TYPE_CHECKING:
    from copgen_jax.checkpoints.describe import ModelDescription
    from copgen_jax.modalities import Modality


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `copgen info`."""
    parser.add_argument("model", metavar="MODEL", help="model directory, or demo")


def run(arguments: argparse.Namespace, terminal: Terminal) -> None:
    """Describe the model directory."""
    from copgen_jax.checkpoints import find_model
    from copgen_jax.checkpoints.describe import as_json, describe_model

    description = describe_model(find_model(arguments.model))
    terminal.result(as_json(description), "\n".join(_lines(arguments.model, description)))


def _lines(model: str, description: "ModelDescription") -> list[str]:
    config, networks = description.config, {network.name: network for network in description.networks}
    lines = [f"{model}: {len(config.modalities)} modalities, {len(config.autoencoders)} autoencoders", ""]
    lines.append(
        f"{'modality':<12}{'product':<12}{'grid':<16}{'latent':<12}{'scale':<10}{'autoencoder':<16}bands or classes"
    )
    for modality in config.modalities:
        network = networks.get(modality.name)
        held = f"{network.parameters:,}" if network else "missing" if modality.is_image else "-"
        lines.append(_row(modality, held))
    lines.append("")
    if config.backbone is not None:
        size = config.backbone
        lines.append(
            f"backbone: {networks['backbone'].parameters:,} parameters, {size.width} wide, {size.depth} deep, "
            f"{size.heads} heads, {config.modalities.tokens} tokens"
        )
        lines.append(f"default solver: {config.solver.name}, {config.solver.evaluations} evaluations")
    else:
        lines.append("backbone: none; this model encodes and decodes, it does not generate")
    lines.append(f"Sentinel-2 numbers: 10000 x reflectance + {config.s2_offset}; predicts {config.prediction}")
    stored = sum(network.stored_bytes for network in description.networks)
    lines.append(f"stored: {_megabytes(stored)} of {_types(description)}")
    memory = f"memory: {_megabytes(description.parameter_bytes)} for all parameters"
    if description.member_bytes:
        memory += f", about {_megabytes(description.member_bytes)} more per member sampled at once (plain attention)"
    lines.append(memory)
    lines.append(f"latent space hash: {description.latent_space or 'none'}")
    lines.append(f"backbone hash: {description.backbone or 'none'}")
    lines += [f"from {key}: {value}" for key, value in config.provenance.items() if isinstance(value, str)]
    return lines


def _row(modality: "Modality", held: str) -> str:
    words = ", ".join(modality.classes or modality.bands)
    grid, scale = "-", "-"
    if modality.is_image:
        resolution = "" if modality.resolution is None else f" at {modality.resolution:g} m"
        grid, scale = f"{modality.pixels} px{resolution}", f"{modality.scale_factor:g}"
    latent = "x".join(map(str, modality.latent_shape))
    return f"{modality.name:<12}{modality.product:<12}{grid:<16}{latent:<12}{scale:<10}{held:<16}{words}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _types(description: "ModelDescription") -> str:
    return ", ".join(sorted({network.stored_type for network in description.networks})) or "nothing"
