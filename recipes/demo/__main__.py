"""Run the demo model's recipe: `python -m recipes.demo --out DIR`. What is finished is not done again."""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, repeat
from pathlib import Path

from recipes.demo.stages import Stage, stages


def main(words: Sequence[str] | None = None) -> int:
    """Print or run the commands; the exit code of the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m recipes.demo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="runs, latents and model go here")
    parser.add_argument("--short", action="store_true", help="six steps of one autoencoder and of the backbone")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cores: commands side by side, at most (1)")
    parser.add_argument("--gpu", action="store_true", help="there is an NVIDIA GPU, which trains")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, and stop")
    arguments = parser.parse_args(words)
    jobs, gpu = max(1, arguments.jobs), arguments.gpu
    todo = stages(arguments.out, jobs=jobs, gpu=gpu, short=arguments.short)
    if arguments.dry_run:
        print("\n".join(shlex.join(["copgen", *stage.arguments]) for stage in todo))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    for _, stages_of_wave in groupby(todo, key=lambda stage: stage.wave):
        wave = list(stages_of_wave)
        with ThreadPoolExecutor(jobs) as pool:
            codes = list(pool.map(run, wave, repeat(_environment(wave, jobs, gpu))))
        if any(codes):
            return next(code for code in codes if code)
    return 0


def _environment(wave: Sequence[Stage], jobs: int, gpu: bool) -> dict[str, str]:
    """Of the commands of a wave."""
    given, kind = os.environ.get("XLA_FLAGS", ""), wave[0].arguments[0]
    if gpu and kind == "train":
        # Commands share its memory; with XLA's own kernels among the candidates for a product, programs compile longer
        # than they run. Convolutions have to be tried out, though: what is chosen untried was ten times slower.
        return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_FLAGS": f"{given} --xla_gpu_enable_triton_gemm=false"}
    # Drawing the world takes most of the time, and many processes would compile for the GPU longer than encode.
    environment = {"JAX_PLATFORMS": "cpu"} if kind == "encode" else {}
    if jobs > 1 and kind in ("train", "encode"):
        # Two computations of one thread each do more than one of two threads, be they processes or devices of one.
        flags = [given, "--xla_cpu_multi_thread_eigen=false"]
        flags += [f"--xla_force_host_platform_device_count={jobs}"] * (len(wave) == 1)
        environment["XLA_FLAGS"] = " ".join(flags)
    return environment


def run(stage: Stage, environment: dict[str, str]) -> int:
    """Run a stage unless it is finished, with its output in a file; its exit code."""
    finished, log = (stage.writes.with_name(f"{stage.name}.{kind}") for kind in ("done", "log"))
    if finished.exists():
        return 0
    print(f"{time.strftime('%H:%M:%S')} {stage.name}: {log}", flush=True)
    with log.open("ab") as output:
        command = [sys.executable, "-m", "copgen_jax.cli", *stage.arguments]
        code = subprocess.run(
            command, stdout=output, stderr=output, env=os.environ | environment, check=False
        ).returncode
    if code == 0:
        finished.touch()
    else:
        print(f"{stage.name} ended with code {code}: see {log}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
