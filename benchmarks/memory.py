"""Peak memory of sampling, encoding and training: by formula, by the compiler's plan, and as measured.

Each configuration has a process of its own. Measured is how far the process's memory rises above what it held when
everything was compiled and placed, plus what was placed: arguments, and what the program takes while it runs. Where a
configuration is too slow to run in passing only the compiler's plan is taken (`--run` runs all). A device that counts
its memory is asked instead.
"""

import argparse
import ctypes
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import Result
from benchmarks.machine import in_own_process, own_memory
from copgen_jax.config import preset
from copgen_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """What is predicted and measured."""

    task: str
    """generate, decode, encode or train."""
    size: str
    batch: int
    remat: str = "none"
    runs: bool = True


QUICK = [Case(task="generate", size="tiny", batch=2), Case(task="train", size="tiny", batch=2)]
STANDARD = [
    *(Case(task="generate", size="demo", batch=b) for b in (1, 4, 16)),
    *(Case(task="generate", size="base", batch=b, runs=b == 1) for b in (1, 4, 16)),
    *(Case(task=t, size="base", batch=b, runs=b < 16) for t in ("decode", "encode") for b in (1, 4)),
    *(Case(task="train", size="demo", batch=b, remat=r) for r in ("none", "full") for b in (1, 4, 16)),
    *(Case(task="train", size="base", batch=b, remat=r, runs=False) for r in ("none", "full") for b in (1, 4, 16)),
]
IMAGE = "S1RTC"
"""Encoded and decoded: 192 px, the widest there is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", action="store_true", help="run every configuration, however slow")
    parser.add_argument("--size", help="one size only")
    parser.add_argument("--task", nargs="+", help="some tasks only: generate, decode, encode, train")


def run(quick: bool, run: bool = False, size: str | None = None, task: list[str] | None = None) -> Result:
    """Every case in its own process."""
    rows = []
    chosen = [c for c in (QUICK if quick else STANDARD) if size in (None, c.size) and (not task or c.task in task)]
    if not chosen:
        raise InputError(f"no standard configuration is of size {size} and task {task}")
    for case in chosen:
        case = dataclasses.replace(case, runs=case.runs or run)
        found = in_own_process("benchmarks.memory", json.dumps(dataclasses.asdict(case)))
        predicted = found["predicted"]
        truth = found["measured"] or found["planned"]
        rows.append(
            {
                "task": case.task,
                "size": case.size,
                "batch": case.batch,
                "remat": case.remat if case.task == "train" else None,
                "predicted MB": round(predicted / 1e6, 1),
                "compiler's plan MB": round(found["planned"] / 1e6, 1),
                "measured MB": round(found["measured"] / 1e6, 1) if found["measured"] else None,
                "predicted / found": predicted / truth,
            }
        )
    return Result(
        title="Peak memory: predicted, planned by the compiler, measured",
        rows=rows,
        notes=[
            "Parameters or state, inputs and what the program takes while it runs; float32. 'found' is what was "
            "measured, or the compiler's plan where nothing was run. The process itself (Python, JAX, compiled code) "
            "takes about 0.3 GB beside it."
        ],
    )


def measure(case: Case) -> dict[str, Any]:
    """Bytes: predicted, planned and measured."""
    import jax

    from benchmarks import ours
    from benchmarks.contest import Work

    task = {"generate": "sample"}.get(case.task, case.task)
    options = {"remat": case.remat, "evaluations": 2, "modalities": [_image(case)]}
    do, details = ours.build(Work(side="jax", task=task, size=case.size, batch=case.batch, options=options))
    held = sum(array.nbytes for array in jax.live_arrays())
    measured = None
    if case.runs and jax.default_backend() != "cpu":
        megabytes = ours.first(do, details).get("device_megabytes")
        measured = megabytes and int(megabytes * 2**20)
    elif case.runs:
        _return_freed_memory()
        before = own_memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        do()
        do()
        measured = held + max(0, own_memory("VmHWM") - before)
    planned = held + int(details["temporary_megabytes"] * 2**20) + details["output_bytes"]
    return {"predicted": _predicted(case), "planned": planned, "measured": measured}


def _predicted(case: Case) -> int:
    import jax
    import numpy as np

    from copgen_jax.checkpoints.shapes import autoencoder_shapes
    from copgen_jax.memory import block_bytes, encode_bytes, sample_bytes
    from copgen_jax.model import build_autoencoder, build_backbone
    from copgen_jax.training.cost import estimate_cost, parameter_count
    from copgen_jax.training.step import training_backbone

    config = preset(case.size)
    if case.task == "train":
        backbone = training_backbone(config, remat=case.remat)  # pyright: ignore[reportArgumentType]
        alone = {"accumulation": 1, "devices": 1, "fsdp": 1, "platform": jax.default_backend()}
        return estimate_cost(backbone, batch_size=case.batch, **alone).memory
    if case.task == "generate":
        parameters = 4 * parameter_count(build_backbone(config))
        return parameters + block_bytes(config) + case.batch * sample_bytes(config, [])
    alone = dataclasses.replace(config, backbone=None)
    shapes = autoencoder_shapes(build_autoencoder(config, _image(case))).values()
    image = _image(case)
    each = encode_bytes(alone, image) if case.task == "encode" else sample_bytes(alone, [image])
    return 4 * sum(int(np.prod(shape)) for shape in shapes) + case.batch * each


def _image(case: Case) -> str:
    names = [m.name for m in preset(case.size).modalities.images]
    return IMAGE if IMAGE in names else names[0]


def _return_freed_memory() -> None:
    """What compilation has freed goes back to the system, else it would be taken again unseen."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


if __name__ == "__main__":
    print(json.dumps(measure(Case(**json.loads(sys.argv[1])))))
