"""The machine while it is measured: its processors, what others take of them, and how much of it is used."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from copgen_jax.cli.environment import fast_environment


def use_threads(count: int) -> None:
    """Keep this process and all it starts to so many processors; JAX and PyTorch then make as many threads."""
    own = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, own[-count:])
    os.environ["OMP_NUM_THREADS"] = str(count)


def processor_name() -> str:
    """As the kernel calls it, with the numbers that tell generations apart where virtual machines have one name."""
    family, model = _of_processor("cpu family"), _of_processor("model\t")
    generation = f" (family {family}, model {model})" if family and model else ""
    return (_of_processor("model name") or "unknown") + generation


def original_setting() -> str:
    """`original`, or with bfloat16 in place of float16 on a processor that has only the former in its instructions.

    PyTorch then computes float16 a hundred times slower than either, which no user would do.
    """
    return (
        "original"
        if {"avx512_fp16", "amx_fp16", "asimdhp"} & set(_of_processor("flags", "Features").split())
        else "original bfloat16"
    )


def _of_processor(*fields: str) -> str:
    """What the kernel says first under one of these names, which differ between architectures; else nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(fields)), "")


def own_memory(field: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` at most so far, `RssAnon` now without files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def in_own_process(module: str, *arguments: str, **environment: str) -> Any:
    """What a module of this package, run by itself, prints last, as JSON; what it holds and sets is gone with it."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | fast_environment(os.environ) | environment,
    )
    return json.loads(done.stdout.splitlines()[-1])


@dataclasses.dataclass(frozen=True)
class Watch:
    """Begun before measuring; `load` afterwards says how much of the machine others took meanwhile."""

    begun: float
    before: float
    busy: float
    own: float

    @staticmethod
    def begin() -> "Watch":
        return Watch(time.perf_counter(), os.getloadavg()[0], _busy_seconds(), _own_seconds())

    def load(self) -> dict[str, Any]:
        """Load average before, and processors that others kept busy on average while this ran."""
        wall = time.perf_counter() - self.begun
        others = (_busy_seconds() - self.busy) - (_own_seconds() - self.own)
        others = max(0.0, others / wall)
        return {
            "load_average_before": self.before,
            "processors_of_others": round(others, 2),
            "seconds": round(wall, 1),
            "quiet": others < 0.1 * (os.cpu_count() or 1),
        }


def _busy_seconds() -> float:
    """Of all processors since the machine started: all but idle and waiting for disks."""
    try:
        ticks = [int(number) for number in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError):
        return 0.0
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Of this process and of those it has waited for."""
    return sum(os.times()[:4])
