"""Opponents measured in turns: each in a process of its own, all on the same machine, threads and run.

A contestant is a plain description of work (`Work`). Its process builds it, does it once (this is the compilation), and
then once more whenever it is told to. The measuring process tells them in turns, so that whatever else the machine does
falls on all of them. What a contestant waits is not counted, and while it waits it uses no processor.
"""

import dataclasses
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

Side = Literal["jax", "torch"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """One thing that a side can do: see `benchmarks/ours.py` and `benchmarks/twin/work.py` for the tasks."""

    side: Side
    task: str
    size: str = "base"
    """Preset of the model."""
    batch: int = 1
    setting: str = "float32"
    """JAX: the compute dtype. PyTorch: `original`, or `float32`, `bfloat16`, `float16` as fast as it goes."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def dtype(self) -> str:
        """Of matrix products: the original's autocast is in half precision."""
        return "float16" if self.setting == "original" else self.setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Warm repetitions of one contestant, in seconds."""

    first: float
    """The first time, with compilation."""
    wall: tuple[float, ...]
    processor: tuple[float, ...]
    """Of all threads together."""
    peak_megabytes: float
    """Of its process, or of its device where that counts."""
    details: Mapping[str, Any]

    @property
    def median(self) -> float:
        return float(np.median(self.wall))

    @property
    def least(self) -> float:
        """What the work takes where nothing disturbs it."""
        return min(self.wall)

    @property
    def spread(self) -> float:
        """Half the middle half of the repetitions, relative to the median."""
        low, high = np.quantile(self.wall, (0.25, 0.75))
        return float((high - low) / 2 / self.median)


def torch_is_there() -> bool:
    """Whether the opponent can be measured (extra `bench`)."""
    return importlib.util.find_spec("torch") is not None


def contest(
    contestants: Mapping[str, Work], *, rounds: int, seconds: float = 120.0, together: bool = True
) -> dict[str, Measured]:
    """Measure contestants in turns.

    Args:
        contestants: by name. Those of PyTorch are left out where it is not installed.
        rounds: repetitions of each, at most.
        seconds: after which no further round is begun (three are always done, two where they are not kept `together`).
        together: whether all processes live at once. Else each is started twice, A B A B, for half of the rounds: for
            what does not fit in memory side by side.
    """
    present = {name: work for name, work in contestants.items() if work.side == "jax" or torch_is_there()}
    begun = time.perf_counter()
    if together:
        return _in_turns(present, rounds, begun + seconds)
    halves = [
        {name: _in_turns({name: work}, max(1, rounds // 2), begun)[name] for name, work in present.items()}
        for _ in range(2)
    ]
    return {name: _joined(halves[0][name], halves[1][name]) for name in present}


def _joined(a: Measured, b: Measured) -> Measured:
    return dataclasses.replace(a, wall=a.wall + b.wall, processor=a.processor + b.processor)


def _in_turns(contestants: Mapping[str, Work], rounds: int, until: float) -> dict[str, Measured]:
    workers: dict[str, subprocess.Popen] = {}
    said: dict[str, dict[str, Any]] = {}
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    try:
        for name, work in contestants.items():
            workers[name] = _start(work)
            said[name] = _answer(workers[name], name)
        for done in range(rounds):
            if done >= min(3, rounds) and time.perf_counter() > until:
                break
            for name, worker in workers.items():
                said[name] |= _tell(worker, name)
                turns[name].append((said[name]["wall"], said[name]["processor"]))
    finally:
        for worker in workers.values():
            worker.stdin.close()  # pyright: ignore
            worker.wait()
    return {
        name: Measured(
            first=said[name]["first"],
            wall=tuple(wall for wall, _ in turns[name]),
            processor=tuple(processor for _, processor in turns[name]),
            peak_megabytes=said[name]["peak_megabytes"],
            details=said[name]["details"],
        )
        for name in contestants
    }


def _start(work: Work) -> subprocess.Popen:
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "benchmarks.contest", json.dumps(dataclasses.asdict(work))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=environment, bufsize=1
    )


def _tell(worker: subprocess.Popen, name: str) -> dict[str, Any]:
    worker.stdin.write("again\n")  # pyright: ignore
    return _answer(worker, name)


def _answer(worker: subprocess.Popen, name: str) -> dict[str, Any]:
    line = worker.stdout.readline()  # pyright: ignore
    if not line:
        raise RuntimeError(f"the process of {name!r} ended with status {worker.wait()}; what it said is above")
    return json.loads(line)


def peak_megabytes() -> float:
    """The most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(work: Work) -> None:
    """Be a contestant: build, do it once, then once more for every line of standard input."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # What libraries print must not look like an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module = importlib.import_module({"jax": "benchmarks.ours", "torch": "benchmarks.twin.work"}[work.side])
    do, details = module.build(work)
    details.pop("program", None)

    def once() -> dict[str, float]:
        wall, processor = time.perf_counter(), time.process_time()
        do()
        return {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}

    first = details.pop("compile_seconds", 0.0) + once()["wall"]
    print(json.dumps({"first": first, "details": details}), file=out)
    for _ in sys.stdin:
        print(json.dumps(once() | {"peak_megabytes": module.peak_megabytes()}), file=out)


if __name__ == "__main__":
    serve(Work(**json.loads(sys.argv[1])))
