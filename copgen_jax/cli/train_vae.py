"""`copgen train vae --config vae --config.modality=S2L2A_10m --data DIR|world:SEED --out RUN`."""

import argparse
from typing import Any

from copgen_jax.cli.training_run import run_training
from copgen_jax.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only an autoencoder takes."""
    group = parser.add_argument_group("of an autoencoder", "--init also takes the run of another autoencoder")
    group.add_argument(
        "--data", metavar="DIR", help="Major TOM cells, aligned tiles, world:SEED (without end) or world:SEED:CELLS"
    )
    group.add_argument(
        "--init-from",
        metavar="MODALITY",
        help="autoencoder of --init to take: the same modality's as it is, else all but its first and last convolution",
    )
    group.add_argument(
        "--lpips",
        nargs="+",
        default=[],
        metavar="FILE",
        help="weights of torchvision's VGG-16 and of lpips' linear layers; without them the loss has no LPIPS",
    )
    group.add_argument(
        "--s2-offset", nargs="+", default=[], metavar="WHAT=DN", help="as in copgen encode: DN of zero reflectance"
    )
    group.add_argument("--test-share", type=float, metavar="SHARE", help="of the cells, by hash of their name (0.1)")
    group.add_argument("--split-list", metavar="FILE", help="names of the cells that test, instead of a share")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise InputError where arguments of one network are given for the other, or missing."""
    needed = "latents" if arguments.network == "backbone" else "data"
    if getattr(arguments, needed) is None:
        raise InputError(f"copgen train {arguments.network} needs --{needed}")
    of_vae = ["data", "init_from", "lpips", "s2_offset", "test_share", "split_list"]
    foreign = of_vae if arguments.network == "backbone" else ["latents", "autoencoders"]
    for name in foreign:
        if getattr(arguments, name) not in (None, []):
            raise InputError(f"copgen train {arguments.network} takes no --{name.replace('_', '-')}")
    if arguments.test_share is not None and arguments.split_list is not None:
        raise InputError("--split-list names the cells that test and --test-share draws them; give one of them")


def train(arguments: argparse.Namespace, training: Any, terminal) -> None:
    """Train an autoencoder and say what it came to.

    Raises:
        InputError: see `copgen_jax.training.autoencoder`.
        SystemExit: told to stop (75), or training cannot go on (1).
    """
    from copgen_jax.checkpoints import find_model
    from copgen_jax.cli.encode import stated_offsets
    from copgen_jax.data.majortom import Split, split_from_list
    from copgen_jax.training.autoencoder import plan_autoencoder

    split = split_from_list(arguments.split_list) if arguments.split_list else Split()
    if arguments.test_share is not None:
        split = Split(test_share=arguments.test_share)
    plan = plan_autoencoder(
        training,
        arguments.data,
        init=arguments.init and str(find_model(arguments.init)),
        init_from=arguments.init_from,
        lpips=arguments.lpips,
        s2_offset=stated_offsets(arguments.s2_offset),
        split=split,
    )
    run_training(plan, arguments, terminal, needs={}, found=lambda run: _measured(plan, run))


def _measured(plan: Any, run: Any) -> tuple[dict[str, Any], list[str]]:
    """The last measurement of a run, and lines for people."""
    import json

    from copgen_jax.training.autoencoder_measure import reconstruction_lines
    from copgen_jax.training.autoencoder_start import MEASURED

    measured = json.loads((run.path / MEASURED).read_text())
    return {"measured": measured}, [
        f"measured at step {measured['step']:,}: scale factor {measured['scale_factor']:.6f} of "
        f"{measured['latents']['patches']} patches; {measured['held_out']['patches']} held-out patches:",
        *(f"  {line}" for line in reconstruction_lines(plan.modality, measured["held_out"])),
    ]
