"""From the start of a process to what it was started for, without and with the compilation cache of an earlier one."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import Result
from copgen_jax.config import PRESETS, preset

COMMAND = [sys.executable, "-m", "copgen_jax.cli"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=list(PRESETS), help="default: demo")


def run(quick: bool, size: str | None = None) -> Result:
    """`copgen --help`, and one sample of a small product by `copgen generate`, twice."""
    from benchmarks.ours import autoencoder_params, backbone_params
    from copgen_jax.checkpoints import save_model

    size = size or ("tiny" if quick else "demo")
    config = preset(size)
    with tempfile.TemporaryDirectory(prefix="copgen-coldstart-") as folder:
        autoencoders = {name: autoencoder_params(config, name) for name in config.autoencoders}
        model = Path(folder) / "model"
        save_model(model, config, {"backbone": backbone_params(config), "autoencoders": autoencoders})
        generate = ["generate", "--model", str(model), "--given", "location=48.1,11.5", "timestamp=2020-06-01"]
        generate += ["--want", "DEM", "--evaluations", "10", "--quiet", "--out"]
        rows = [_row(size, "copgen --help", _seconds(["--help"], Path(folder)))]
        for turn, what in enumerate(("nothing compiled before", "compiled by an earlier process", "once more")):
            seconds = _seconds([*generate, str(Path(folder) / f"out{turn}")], Path(folder))
            rows.append(_row(size, f"copgen generate, {what}", seconds))
    return Result(
        title="Cold start: seconds from the start of the process to its end",
        rows=rows,
        notes=["One sample of DEM from a place and a date, 10 evaluations, a process each; random parameters."],
    )


def _row(size: str, what: str, seconds: float) -> dict[str, Any]:
    return {"size": size, "what": what, "s": seconds}


def _seconds(arguments: list[str], home: Path) -> float:
    """Of a command whose cache lies below `home`."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    root = str(Path(__file__).parents[1])
    environment |= {"XDG_CACHE_HOME": str(home), "PYTHONPATH": root}
    begun = time.perf_counter()
    subprocess.run([*COMMAND, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
