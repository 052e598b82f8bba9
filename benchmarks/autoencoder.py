"""Encoding and decoding images, beside PyTorch in turns; the limit is the fastest convolution of the same run.

The ten autoencoders of the published model have three shapes of image; S1RTC stands for the five of 192 px, the others
are much smaller. `--all` takes all ten.
"""

import argparse
from typing import Any

from benchmarks import Result
from benchmarks.backbone import beside_torch, timing
from benchmarks.contest import Work, contest
from benchmarks.formulas import convolution, decoder_flops, encoder_flops
from copgen_jax.config import PRESETS, preset

CONVOLUTION = {"side": 192, "channels": 128}
"""The most frequent convolution of a decoder at its last level."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=list(PRESETS), default="base")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument(
        "--all", action="store_true", help="all image modalities one after another, as one piece of work"
    )
    parser.add_argument("--setting", nargs="+", default=["float32"], metavar="TYPE", help="compute types")
    parser.add_argument("--rounds", type=int, default=5)


def run(
    quick: bool,
    size: str = "base",
    batch: int = 1,
    all: bool = False,
    setting: tuple[str, ...] = ("float32",),
    rounds: int = 5,
) -> Result:
    """Both directions."""
    size = "tiny" if quick else size
    config = preset(size)
    names = [m.name for m in config.modalities.images]
    chosen = names if all else [next((n for n in ("S1RTC", "S2L1C_10m") if n in names), names[0])]
    rows = [
        row for task in ("encode", "decode") for row in _rows(task, size, batch, chosen, tuple(setting), rounds, quick)
    ]
    return Result(
        title="Autoencoders: encode and decode",
        rows=rows,
        notes=[
            f"Modalities: {', '.join(chosen)}. Operations by formula, of the published network: ours leaves 3/4 out of "
            "convolutions that follow an enlargement, and on CPUs half of other large ones.",
            f"The peak: the fastest 3x3 convolution of {CONVOLUTION['channels']} channels at {CONVOLUTION['side']} px "
            "by a library, JAX's or PyTorch's, measured in the same turns.",
            "PyTorch 'original': float32, channel-first, as published. Its other settings: channels-last, fused "
            "attention, torch.compile; 'plain' is without torch.compile.",
        ],
    )


def _rows(
    task: str, size: str, batch: int, names: list[str], settings: tuple[str, ...], rounds: int, quick: bool
) -> list[dict[str, Any]]:
    options = {"modalities": names}
    common: Any = {"task": task, "size": size, "batch": batch}
    contestants = {f"JAX {s}": Work(side="jax", setting=s, options=options, **common) for s in settings}
    contestants["PyTorch original"] = Work(side="torch", setting="original", options=options, **common)
    if not quick:
        for s in settings:
            contestants[f"PyTorch {s}"] = Work(side="torch", setting=s, options=options, **common)
            plain = options | {"compile": False}
            contestants[f"PyTorch {s} plain"] = Work(side="torch", setting=s, options=plain, **common)
    for s in settings:
        for side in ("jax", "torch"):
            limit = Work(side=side, task="convolution", setting=s, options=CONVOLUTION)
            contestants[f"convolution {side} {s}"] = limit
    found = contest(contestants, rounds=rounds, seconds=60.0)
    one = convolution(CONVOLUTION["side"], CONVOLUTION["channels"], CONVOLUTION["channels"])
    peak = one / min(m.least for name, m in found.items() if contestants[name].task == "convolution")
    formula = {"encode": encoder_flops, "decode": decoder_flops}[task]
    flops = batch * sum(formula(preset(size), name) for name in names)
    return [
        {
            "task": task,
            "size": size,
            "batch": batch,
            "modalities": len(names),
            "contestant": name,
            **timing(measured),
            "GFLOP": flops / 1e9,
            "GFLOP/s": flops / measured.least / 1e9,
            "share of peak": flops / measured.least / peak,
            **beside_torch(contestants, found, name),
        }
        for name, measured in found.items()
        if contestants[name].task == task
    ]
