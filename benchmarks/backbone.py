"""The backbone, forward and a whole training step, beside PyTorch in its two settings, in turns.

`--size`, `--batch`, `--setting`, `--remat`, `--attention` choose one configuration; without them the standard ones run:
the demo size at batch 4 and the base size at batch 1, in float32 and bfloat16.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from benchmarks import Result
from benchmarks.contest import Measured, Work, contest
from benchmarks.formulas import backbone_flops, matmul_flops, train_flops
from benchmarks.machine import original_setting
from copgen_jax.config import PRESETS, preset

PEAK = (2048, 2048, 2048)
"""Matrices whose product is the measured limit, in PyTorch and in JAX: the faster counts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=list(PRESETS), help="one size only")
    parser.add_argument("--task", choices=["forward", "train"], help="one task only")
    parser.add_argument("--batch", type=int, nargs="+", metavar="N", help="batches (default: the standard ones)")
    parser.add_argument("--setting", nargs="+", metavar="TYPE", help="compute types (default: float32 bfloat16)")
    parser.add_argument("--remat", nargs="+", choices=["none", "dots", "full"], help="policies of our training step")
    parser.add_argument("--attention", nargs="+", choices=["plain", "cudnn"], help="our implementations")
    parser.add_argument("--rounds", type=int, help="repetitions of each contestant")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One contest."""

    task: str
    size: str
    batch: int
    settings: tuple[str, ...] = ("float32", "bfloat16")
    """Of both sides; PyTorch also runs the original's way."""
    remats: tuple[str, ...] = ("none",)
    attentions: tuple[str, ...] = ("plain",)
    only_original: bool = False
    """Of PyTorch's settings: compiling takes long."""
    together: bool = True
    rounds: int = 7


STANDARD = (
    Plan(task="forward", size="demo", batch=4),
    Plan(task="train", size="demo", batch=4),
    Plan(task="forward", size="base", batch=1, rounds=5),
    Plan(task="train", size="base", batch=1, settings=("bfloat16",), together=False, rounds=4),
)
QUICK = (
    Plan(task="forward", size="tiny", batch=2, settings=("float32",), only_original=True, rounds=3),
    Plan(
        task="train",
        size="tiny",
        batch=2,
        settings=("float32",),
        only_original=True,
        remats=("none", "full"),
        rounds=3,
    ),
)


def run(quick: bool, **options: Any) -> Result:
    """Every contest of the plan."""
    plans = [_narrowed(plan, options) for plan in _chosen(quick, options)]
    rows = [row for plan in plans for row in _rows(plan)]
    return Result(
        title="The backbone: forward pass and training step",
        rows=rows,
        notes=[
            "Least and median of warm repetitions done in turns; spread is half the middle half over the median. "
            "Operations by formula; a share of the peak compares with the fastest product of two "
            f"{PEAK[0]} x {PEAK[1]} matrices in that type, by JAX or PyTorch, measured in the same turns.",
            "PyTorch 'original': float16 autocast, attention in float32, checkpointing in training; on a processor "
            "without float16 instructions bfloat16, which is 'original bfloat16'. Its other settings: fused attention, "
            "torch.compile, fused AdamW. A training step is drawing noise, gradient, AdamW and average.",
        ],
    )


def _chosen(quick: bool, options: Mapping[str, Any]) -> list[Plan]:
    if not options.get("size"):
        return [p for p in (QUICK if quick else STANDARD) if options.get("task") in (None, p.task)]
    tasks = [options["task"]] if options.get("task") else ["forward", "train"]
    together = options["size"] in ("demo", "tiny")
    return [
        Plan(task=task, size=options["size"], batch=batch, together=together or task == "forward")
        for task in tasks
        for batch in options.get("batch") or [1]
    ]


def _narrowed(plan: Plan, options: Mapping[str, Any]) -> Plan:
    """The plan with what the command line says."""
    changes: dict[str, Any] = {}
    if options.get("setting"):
        changes["settings"] = tuple(options["setting"])
    for option, field in (("remat", "remats"), ("attention", "attentions")):
        if options.get(option):
            changes[field] = tuple(options[option])
    if options.get("rounds"):
        changes["rounds"] = options["rounds"]
    return dataclasses.replace(plan, **changes)


def _rows(plan: Plan) -> list[dict[str, Any]]:
    contestants = _contestants(plan)
    found = contest(contestants, rounds=plan.rounds, together=plan.together, seconds=60.0)
    peaks = _peaks(contestants, found)
    flops = {"forward": backbone_flops, "train": train_flops}[plan.task](preset(plan.size)) * plan.batch
    return [
        {
            "task": plan.task,
            "size": plan.size,
            "batch": plan.batch,
            "contestant": name,
            **timing(measured),
            "GFLOP": flops / 1e9,
            "GFLOP/s": flops / measured.least / 1e9,
            "share of peak": flops / measured.least / peaks[contestants[name].dtype],
            **beside_torch(contestants, found, name),
        }
        for name, measured in found.items()
        if contestants[name].task != "matmul"
    ]


def beside_torch(contestants: Mapping[str, Work], found: Mapping[str, Measured], name: str) -> dict[str, Any]:
    """Columns: how many times as fast as PyTorch's settings of the same task a contestant is; None without PyTorch."""
    own = contestants[name]
    theirs = [n for n in found if contestants[n].side == "torch" and contestants[n].task == own.task]
    groups = {
        "times PyTorch original": [n for n in theirs if contestants[n].original],
        "times PyTorch, same type": [n for n in theirs if contestants[n].setting == own.setting],
        "times fastest PyTorch": theirs,
    }
    return {
        column: min(found[n].least for n in names) / found[name].least if names else None
        for column, names in groups.items()
    }


def timing(measured: Measured) -> dict[str, Any]:
    """Columns that every contest has."""
    return {
        "s least": measured.least,
        "s median": measured.median,
        "spread": measured.spread,
        "CPU s": min(measured.processor),
        "s first": measured.first,
        "peak MB": round(measured.peak_megabytes) if measured.peak_megabytes else None,
        "rounds": len(measured.wall),
    }


def _contestants(plan: Plan) -> dict[str, Work]:
    contestants: dict[str, Work] = {}
    common: Any = {"task": plan.task, "size": plan.size, "batch": plan.batch}
    for setting in plan.settings:
        for attention in plan.attentions:
            for remat in plan.remats if plan.task == "train" else ("none",):
                words = [setting, *([attention] if attention != "plain" else [])]
                words += [f"remat {remat}"] if remat != "none" else []
                options = {"attention": attention, "remat": remat}
                contestants["JAX " + " ".join(words)] = Work(side="jax", setting=setting, options=options, **common)
    for setting in (original_setting(), *(() if plan.only_original else plan.settings)):
        contestants[f"PyTorch {setting}"] = Work(side="torch", setting=setting, **common)
    for dtype in dict.fromkeys(work.dtype for work in list(contestants.values())):
        for side in ("jax", "torch"):
            contestants[f"product {side} {dtype}"] = Work(
                side=side, task="matmul", setting=dtype, options={"shape": PEAK}
            )  # fmt: skip
    return contestants


def _peaks(contestants: Mapping[str, Work], found: Mapping[str, Measured]) -> dict[str, float]:
    """Operations per second of the fastest product, by type."""
    peaks: dict[str, float] = {}
    for name, measured in found.items():
        work = contestants[name]
        if work.task == "matmul":
            peaks[work.dtype] = max(peaks.get(work.dtype, 0.0), matmul_flops(PEAK) / measured.least)
    return peaks
