"""Run the demo model's recipe: `python -m recipes.demo --out DIR`. What is finished is not done again."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from recipes.demo.stages import Stage, stages


def main(words: Sequence[str] | None = None) -> int:
    """Print or run the commands; the exit code of the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m recipes.demo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="runs, latents and model go here")
    parser.add_argument("--short", action="store_true", help="six steps of one autoencoder and of the backbone")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="cores: one for each autoencoder, all for what follows"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, and stop")
    arguments = parser.parse_args(words)
    todo = stages(arguments.out, short=arguments.short)
    if arguments.dry_run:
        print("\n".join(shlex.join(["copgen", *stage.arguments]) for stage in todo))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    for _, wave in groupby(todo, key=lambda stage: stage.wave):
        with ThreadPoolExecutor(max(1, arguments.jobs)) as pool:
            codes = list(pool.map(lambda stage: run(stage, cores=arguments.jobs), wave))
        if any(codes):
            return next(code for code in codes if code)
    return 0


def run(stage: Stage, *, cores: int = 1) -> int:
    """Run a stage unless it is finished, with its output in a file; its exit code."""
    finished, log = stage.writes.with_suffix(".done"), stage.writes.with_suffix(".log")
    if finished.exists():
        return 0
    flags = os.environ.get("XLA_FLAGS", "").split()
    if cores > 1 and stage.arguments[0] == "train":
        # Two computations of one thread each do more than one of two threads, be they processes or devices of one.
        flags.append("--xla_cpu_multi_thread_eigen=false")
        flags += [f"--xla_force_host_platform_device_count={cores}"] * stage.shared
    print(f"{stage.name}: {log}", flush=True)
    environment = os.environ | {"XLA_FLAGS": " ".join(flags)}
    with log.open("ab") as output:
        command = [sys.executable, "-m", "copgen_jax.cli", *stage.arguments]
        code = subprocess.run(command, stdout=output, stderr=output, env=environment, check=False).returncode
    if code == 0:
        finished.touch()
    else:
        print(f"{stage.name} ended with code {code}: see {log}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
