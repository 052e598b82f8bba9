"""Opponents measured in turns: each in a process of its own, all on the same machine, threads and run.

A contestant is a plain description of work (`Work`). Its process builds it, does it once (this is the compilation), and
then once more whenever it is told to. The measuring process tells them in turns, so that whatever else the machine does
falls on all of them. What a contestant waits is not counted, and while it waits it uses no processor. Where starting
processes costs more than it tells, one process does several pieces of work (`benchmarks/gpu.py`).
"""

import concurrent.futures
import contextlib
import dataclasses
import gc
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from copgen_jax.cli.environment import fast_environment

Side = Literal["jax", "torch"]

LONG = 10.0
"""Seconds of work to which it makes no difference what came before: it is warmed up in its first turn only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """One thing that a side can do: see `benchmarks/ours.py` and `benchmarks/twin/work.py` for the tasks."""

    side: Side
    task: str
    size: str = "base"
    """Preset of the model."""
    batch: int = 1
    setting: str = "float32"
    """JAX: the compute dtype. PyTorch: `float32`, `bfloat16`, `float16` as fast as it goes, or `original`; that is in
    float16, `original bfloat16` is for processors without it (`machine.original_setting`)."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def original(self) -> bool:
        """Whether it is done the original's way."""
        return self.setting.startswith("original")

    @property
    def dtype(self) -> str:
        """Of matrix products: the original's autocast is in half precision."""
        return {"original": "float16", "original bfloat16": "bfloat16"}.get(self.setting, self.setting)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Warm repetitions of one contestant, in seconds."""

    first: float
    """The first time, with compilation."""
    wall: tuple[float, ...]
    processor: tuple[float, ...]
    """Of all threads together."""
    peak_megabytes: float | None
    """Of its process; where the device counts its memory that of the device, if other work of the process had less."""
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
        seconds: of measuring, after which no further round is begun (three are always done).
        together: whether all processes live at once. Else each is started twice, A B A B, for half of the rounds: for
            what does not fit in memory side by side.
    """
    present = {name: work for name, work in contestants.items() if work.side == "jax" or torch_is_there()}
    if together:
        return _in_turns(present, rounds, seconds)
    halves = [
        {name: _in_turns({name: work}, max(1, rounds // 2), seconds)[name] for name, work in present.items()}
        for _ in range(2)
    ]
    return {name: _joined(halves[0][name], halves[1][name]) for name in present}


def _joined(a: Measured, b: Measured) -> Measured:
    return dataclasses.replace(a, wall=a.wall + b.wall, processor=a.processor + b.processor)


def _in_turns(contestants: Mapping[str, Work], rounds: int, seconds: float) -> dict[str, Measured]:
    workers: dict[str, Worker] = {}
    said: dict[str, dict[str, Any]] = {}
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    try:
        for name, work in contestants.items():
            workers[name] = Worker(work.side)
            workers[name].tell(build={name: dataclasses.asdict(work)})
            said[name] = workers[name].answer()[name]
            if "failed" in said[name]:
                raise RuntimeError(f"{name!r} failed: {said[name]['failed']}")
        begun = time.perf_counter()
        for done in range(rounds):
            if done >= min(3, rounds) and time.perf_counter() - begun > seconds:
                break
            for name, worker in workers.items():
                # While others had their turns, caches went cold and freed memory back to the machine.
                is_short = not turns[name] or turns[name][-1][0] < LONG
                worker.tell(do=name, before=int(is_short))
                said[name] |= worker.answer()
                turns[name].append((said[name]["wall"], said[name]["processor"]))
    finally:
        for worker in workers.values():
            worker.end()
    return {name: measured(said[name], turns[name]) for name in contestants}


def measured(said: Mapping[str, Any], turns: list[tuple[float, float]]) -> Measured:
    """What a worker said of a piece of work, with the seconds of its turns."""
    return Measured(
        first=said["first"],
        wall=tuple(wall for wall, _ in turns),
        processor=tuple(processor for _, processor in turns),
        peak_megabytes=said.get("device_megabytes", said["peak_megabytes"]),
        details=said["details"],
    )


class Ended(RuntimeError):
    """A worker's process is gone; what it said is on standard error."""


class Worker:
    """A process of one side, which builds what it is told to, and does it when it is told to (`serve`)."""

    def __init__(self, side: Side, environment: Mapping[str, str] = MappingProxyType({})):
        root = Path(__file__).parents[1]
        path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contest", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, **fast_environment(os.environ), "PYTHONPATH": path, **environment},
            bufsize=1,
        )

    def tell(self, **command: Any) -> None:
        """One command; see `serve`. An answer follows each.

        Raises:
            Ended: the process is gone.
        """
        try:
            self.process.stdin.write(json.dumps(command) + "\n")  # pyright: ignore
        except BrokenPipeError as error:
            raise Ended("a measuring process ended; what it said is above") from error

    def answer(self) -> dict[str, Any]:
        """Of the oldest command that has none yet.

        Raises:
            Ended: the process is gone.
        """
        line = self.process.stdout.readline()  # pyright: ignore
        if not line:
            raise Ended(f"a measuring process ended with status {self.process.wait()}; what it said is above")
        return json.loads(line)

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.end()

    def end(self) -> None:
        """Let the process end, and wait for it."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # pyright: ignore
        self.process.wait()


def peak_megabytes() -> float:
    """The most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(side: Side) -> None:
    """Be a worker: answer each line of standard input, a command, with a line.

    {"build": {name: work}}: {name: {"first", "details", on a device that counts "device_megabytes"} or {"failed"}};
    {"do": name, "before": times unmeasured}: {"wall", "processor", "peak_megabytes"} or {"failed"};
    {"forget": names}: {}.
    """
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # What libraries print must not look like an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module = importlib.import_module({"jax": "benchmarks.ours", "torch": "benchmarks.twin.work"}[side])
    built: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        if "build" in command:
            works = {name: Work(**work) for name, work in command["build"].items()}
            answer = _begin(module, works, built)
        elif "do" in command:
            try:
                for _ in range(command.get("before", 0)):
                    built[command["do"]]()
                answer = timed(built[command["do"]]) | {"peak_megabytes": peak_megabytes()}
            except Exception as error:
                answer = {"failed": _said(error)}
        else:
            for name in command["forget"]:
                built.pop(name, None)
            gc.collect()
            module.release()
        print(json.dumps(answer), file=out)


def _begin(module: Any, works: Mapping[str, Work], built: dict[str, Callable[[], Any]]) -> dict[str, dict[str, Any]]:
    """Build all, and do each once: what is to be said about them; the work itself goes to `built`."""
    answer: dict[str, dict[str, Any]] = {}
    # Compilers that work ahead do so side by side, and nothing is measured meanwhile.
    with concurrent.futures.ThreadPoolExecutor(len(works)) as pool:
        ahead = {name: pool.submit(module.build, work) for name, work in works.items()} if module.AHEAD else {}
    for name, work in works.items():
        try:
            do, details = ahead[name].result() if name in ahead else module.build(work)
            details.pop("program", None)
            answer[name] = {**module.first(do, details), "details": details}
            built[name] = do
        except Exception as error:
            answer[name] = {"failed": _said(error)}
    return answer


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def timed(do: Callable[[], Any]) -> dict[str, float]:
    """Seconds by the clock and of this process's threads that it takes."""
    wall, processor = time.perf_counter(), time.process_time()
    do()
    return {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


if __name__ == "__main__":
    serve(sys.argv[1])  # pyright: ignore[reportArgumentType]
