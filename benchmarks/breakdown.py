"""Where the time of a forward pass and of a training step goes: the compiler's own operations, timed one by one.

JAX's profiler says when each operation of the compiled program ran; its text says which part of the network each came
from (`jax.named_scope`), and whether from the gradient. Times of operations add up to more than the clock's where
several run side by side. On a GPU what is timed are kernels, which say what operation they belong to.
"""

import argparse
import gzip
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import Result, ours
from benchmarks.contest import Work
from copgen_jax.config import PRESETS
from copgen_jax.errors import InputError

REPETITIONS = 3
PARTS = {
    "/update/": "optimiser and average",
    "/draw/": "posterior, noise, times",
    "/between_tokens/": "attention between tokens",
    "/norm": "normalisation",
    "/attention/": "qkv and projection",
    "/mlp/": "MLP",
    "/join/": "joining of skips",
    "embed": "embeddings and heads",
    "/heads": "embeddings and heads",
}
"""What in an operation's name says which part it belongs to; the first that is found."""
REST = "copies between operations, and what else has no name"
_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = .*?(?:metadata=\{[^}]*op_name="([^"]*)"|$)', re.MULTILINE)
_PRODUCT = re.compile(r"dot|convolution|ynn|onednn|gemm|matmul|nvjet|cutlass", re.IGNORECASE)
_CALLED_PRODUCT = re.compile(
    r'^\s*(?:ROOT )?%?([\w.\-]+) = .*custom_call_target="__(?:cublas|cudnn\$conv)', re.MULTILINE
)
"""On GPUs products are calls of a library, and named as any call."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--size", choices=list(PRESETS), help="default: demo")
    parser.add_argument("--batch", type=int, metavar="N", help="samples (default 8)")
    parser.add_argument("--task", choices=["forward", "train"], nargs="+", default=["forward", "train"])
    parser.add_argument("--setting", default="float32", metavar="TYPE", help="compute type (default float32)")
    parser.add_argument("--attention", choices=["plain", "cudnn"], default="plain")


def run(
    quick: bool,
    size: str | None = None,
    batch: int | None = None,
    task: Sequence[str] = ("forward", "train"),
    setting: str = "float32",
    attention: str = "plain",
) -> Result:
    """A row for every part of the network, once for the forward pass and once for the training step."""
    size, batch = size or ("tiny" if quick else "demo"), batch or (1 if quick else 8)
    rows, tasks = [], task
    for task in tasks:
        options = {"attention": attention}
        work = Work(side="jax", task=task, size=size, batch=batch, setting=setting, options=options)
        do, details = ours.build(work)
        do()
        program = details["program"].as_text()
        rows += _rows(task, size, batch, _durations(do), _names(program), set(_CALLED_PRODUCT.findall(program)))
    notes = [
        "Milliseconds of operations per pass or step, all parts together 100 %; products: of matrices, with what the "
        "compiler fused into them. forward and backward: by whether the gradient's transposition made them."
    ]
    return Result(title="Where the time goes", rows=rows, notes=notes)


def _durations(do: Any) -> Counter:
    """{operation: milliseconds of one repetition}; what only calls others is among them."""
    with tempfile.TemporaryDirectory(prefix="copgen-profile-") as folder:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        with jax.profiler.trace(folder, profiler_options=options):
            for _ in range(REPETITIONS):
                do()
        (file,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    found: Any = Counter()
    for name, milliseconds in operations(events, on_device=jax.default_backend() != "cpu"):
        found[name] += milliseconds / REPETITIONS
    if not found:
        raise InputError("the profiler saw no operation: it may not be allowed to look at this device")
    return found


def operations(events: list[dict[str, Any]], *, on_device: bool) -> Iterator[tuple[str, float]]:
    """Operation and milliseconds of every event of a trace; on a device, of what ran in its streams.

    A kernel that does not say what operation it belongs to goes by its own name.
    """
    processes, threads = {}, {}
    for event in events:
        if event.get("name") == "process_name":
            processes[event["pid"]] = event["args"]["name"]
        elif event.get("name") == "thread_name":
            threads[event["pid"], event["tid"]] = event["args"]["name"]
    devices = {pid for pid, name in processes.items() if name.startswith("/device:")}
    streams = {key for key, name in threads.items() if key[0] in devices and name.startswith("Stream")}
    for event in events:
        if event.get("ph") == "X" and (not on_device or (event["pid"], event["tid"]) in streams):
            yield event.get("args", {}).get("hlo_op", event["name"]), event["dur"] / 1e3


def _names(program: str) -> dict[str, str]:
    """{operation: where in the network it came from}, without loops and calls, whose parts are timed themselves."""
    found = {name: origin or "" for name, origin in _INSTRUCTION.findall(program)}
    return {name: origin for name, origin in found.items() if not re.match(r"while|call|conditional", name)}


def _rows(
    task: str, size: str, batch: int, durations: Counter, names: dict[str, str], called: set[str]
) -> list[dict[str, Any]]:
    sums = Counter()
    for name, milliseconds in durations.items():
        if name in names or jax.default_backend() != "cpu":
            origin = names.get(name, "")
            product = name in called or bool(_PRODUCT.search(name))
            sums[_part(origin), product, "transpose(" in origin] += milliseconds
    total = sum(sums.values())
    by_part = Counter()
    for (part, _, _), milliseconds in sums.items():
        by_part[part] += milliseconds
    return [
        {
            "task": task,
            "size": size,
            "batch": batch,
            "part": part,
            "products forward, ms": sums[part, True, False],
            "others forward, ms": sums[part, False, False],
            "products backward, ms": sums[part, True, True],
            "others backward, ms": sums[part, False, True],
            "share": milliseconds / total,
        }
        for part, milliseconds in by_part.most_common()
    ]


def _part(origin: str) -> str:
    return next((part for word, part in PARTS.items() if word in origin), REST)
