"""Tables of speed, memory and accuracy: `python -m benchmarks NAME`.

A benchmark is a module with `run(quick: bool) -> Result`, registered by name in `BENCHMARKS`. Its table is printed, and
its rows are written with versions and device to `benchmarks/results/NAME.json` (`NAME.gpu.json` where a GPU did the
work), from which pages are made. One that takes long may yield its result again and again as the table grows.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a benchmark found."""

    title: str
    rows: list[dict[str, Any]]
    """One flat dict per line of the table, all with the same keys; values are plain JSON."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """Sentences that a reader needs to judge the figures."""


BENCHMARKS = {
    "gpu": "the published size on one GPU: training, sampling and autoencoders beside PyTorch, within a stated time",
    "backbone": "forward pass and training step beside PyTorch, and the share of the measured matmul peak",
    "breakdown": "where the time of the backbone goes, by part of the network",
    "autoencoder": "encode and decode beside PyTorch, and the share of the measured convolution peak",
    "sampling": "seconds per sample from given rasters to written ones, and beside PyTorch",
    "memory": "peak memory of sampling and training, predicted and measured",
    "flatness": "memory while 10,000 samples are drawn and written, of one place and of as many places",
    "checkpoint": "saving and restoring a training state and a model directory",
    "coldstart": "from the start of a process to the first sample, with and without the compilation cache",
    "scaling": "communication of a training step on simulated devices, and a model on paper of 8 to 512 GPUs",
    "serving": "the sampler as an exported program (jax.export)",
    "pipeline": "moments per second from the latent store to host arrays, beside zarr-python and LMDB",
    "world": "time of patches and redraws of the synthetic world",
    "evaluations": "how few evaluations draw what 1000 draw, by the demo model on the synthetic world",
    "solvers": "error of every solver at 5 to 50 evaluations on distributions with an exact flow",
}
"""Name of the module in this package, and what it measures."""

SPEED = ("backbone", "breakdown", "autoencoder", "sampling", "memory", "checkpoint", "coldstart", "scaling", "serving")
"""What `speed` runs: everything about speed and memory whose figures depend on the machine."""

COMMANDS = {
    "speed": f"all of {', '.join(SPEED)}",
    "report": "write RESULTS.md and its plots from the results that are there",
}
"""What else can be named."""


def result_file(name: str, platform: str) -> str:
    """Where the result of a benchmark lies, by the platform of its device as JAX names it."""
    return f"{name}.json" if platform == "cpu" else f"{name}.{platform}.json"
