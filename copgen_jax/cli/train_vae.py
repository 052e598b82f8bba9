"""`copgen train vae --config vae --config.modality=S2L2A_10m --data DIR|world:SEED --out RUN`."""

import argparse
from typing import Any

from copgen_jax.cli.training_run import run_training, state_of
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
    needed, other = ("latents", "data") if arguments.network == "backbone" else ("data", "latents")
    if getattr(arguments, needed) is None:
        raise InputError(f"copgen train {arguments.network} needs --{needed}")
    foreign = [other] if other == "latents" else [other, "init_from", "lpips", "s2_offset", "test_share", "split_list"]
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
    import jax

    from copgen_jax.cli.encode import stated_offsets
    from copgen_jax.data.majortom import Split, split_from_list
    from copgen_jax.training.autoencoder import plan_autoencoder, train_autoencoder

    if jax.process_index() > 0:
        terminal = type(terminal)(json=terminal.json, quiet=True)
    split = split_from_list(arguments.split_list) if arguments.split_list else Split()
    if arguments.test_share is not None:
        split = Split(test_share=arguments.test_share)
    plan = plan_autoencoder(
        training,
        arguments.data,
        init=arguments.init,
        init_from=arguments.init_from,
        lpips=arguments.lpips,
        s2_offset=stated_offsets(arguments.s2_offset),
        split=split,
    )
    for line in plan.lines():
        terminal.say(line)
    if arguments.dry_run:
        terminal.result({"dry_run": True, "plan": plan.lines()})
        return
    run_training(
        train_autoencoder,
        plan,
        arguments,
        terminal,
        lambda run, outcome: _say_outcome(terminal, plan, run, outcome),
    )


def _say_outcome(terminal, plan: Any, run: Any, outcome: Any) -> None:
    import json

    from copgen_jax.training.autoencoder_measure import reconstruction_lines
    from copgen_jax.training.autoencoder_start import MEASURED

    measured = json.loads((run.path / MEASURED).read_text())
    data = {"run": str(run.path), "step": outcome.step, "preempted": outcome.preempted, "measured": measured}
    lines = [
        f"{run.path}: {state_of(outcome)} at step {outcome.step:,}",
        f"measured at step {measured['step']:,}: scale factor {measured['scale_factor']:.6f} of "
        f"{measured['latents']['patches']} patches; {measured['held_out']['patches']} held-out patches:",
        *(f"  {line}" for line in reconstruction_lines(plan.modality, measured["held_out"])),
    ]
    terminal.result(data, "\n".join(lines))
