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
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="runs and the model of their autoencoders go here"
    )
    parser.add_argument("--short", action="store_true", help="six steps of two autoencoders")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="autoencoders at a time, a core each")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, and stop")
    arguments = parser.parse_args(words)
    todo = stages(arguments.out, short=arguments.short)
    if arguments.dry_run:
        print("\n".join(shlex.join(["copgen", *stage.arguments]) for stage in todo))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    for _, wave in groupby(todo, key=lambda stage: stage.wave):
        with ThreadPoolExecutor(max(1, arguments.jobs)) as pool:
            codes = list(pool.map(lambda stage: run(stage, alone=arguments.jobs < 2), wave))
        if any(codes):
            return next(code for code in codes if code)
    return 0


def run(stage: Stage, *, alone: bool = True) -> int:
    """Run a stage unless it is finished, with its output in a file; its exit code."""
    finished, log = stage.writes.with_suffix(".done"), stage.writes.with_suffix(".log")
    if finished.exists():
        return 0
    # One thread a process: two processes of one thread each do more than one after the other with two.
    single = {} if alone else {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    print(f"{stage.name}: {log}", flush=True)
    with log.open("ab") as output:
        command = [sys.executable, "-m", "copgen_jax.cli", *stage.arguments]
        code = subprocess.run(command, stdout=output, stderr=output, env=os.environ | single, check=False).returncode
    if code == 0:
        finished.touch()
    else:
        print(f"{stage.name} ended with code {code}: see {log}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
