"""What is kept of the recipe's runs: the curve of each as CSV, and the last measurement of each autoencoder.

    python -m recipes.demo.logs --out DIR [--short]

reads the runs under DIR and writes `logs/` beside this file; of the short variant, `logs/short.json`, with which the
tests compare.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from copgen_jax.training.autoencoder_start import MEASURED
from copgen_jax.training.run import read_rows
from recipes.demo.stages import AUTOENCODERS, run_directory, stages

LOGS = Path(__file__).parent / "logs"
SHORT = LOGS / "short.json"
COLUMNS = ("step", "loss", "reconstruction", "kl", "learning_rate", "gradient_norm", "samples_per_second")


def write_logs(out: Path, to: Path = LOGS) -> list[Path]:
    """Write the logs of the runs under `out`; the files, in order."""
    curves, measured = to / "curves", to / "autoencoders"
    for folder in (curves, measured):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, steps in AUTOENCODERS.items():
        runs = [run_directory(out, name, run) for run in range(len(steps))]
        written += [_curve(place / "metrics.jsonl", curves / f"{place.name}.csv") for place in runs]
        target = measured / f"{name}.json"
        target.write_text((runs[-1] / MEASURED).read_text())
        written.append(target)
    written.append(_curve(out / "backbone" / "metrics.jsonl", curves / "backbone.csv"))
    return written


def versions() -> dict[str, str]:
    """Of what the numbers of a run depend on."""
    return {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}


def short_curves(out: Path) -> dict[str, list[float]]:
    """The loss of every step of the short variant's runs under `out`, by stage."""
    places = {stage.name: stage.writes / "metrics.jsonl" for stage in stages(out, short=True)}
    return {name: [row["loss"] for row in read_rows(place)] for name, place in places.items()}


def _curve(metrics: Path, target: Path) -> Path:
    with target.open("w", newline="") as file:
        rows = [row.get("generator", {}) | row for row in read_rows(metrics)]
        columns = [name for name in COLUMNS if name in rows[0]]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{row[name]:.6g}" for name in columns} for row in rows)
    return target


def main(words: Sequence[str] | None = None) -> int:
    """Write the logs and name them."""
    parser = argparse.ArgumentParser(prog="python -m recipes.demo.logs", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="what the recipe was given as --out")
    parser.add_argument("--short", action="store_true", help="the short variant's")
    arguments = parser.parse_args(words)
    LOGS.mkdir(exist_ok=True)
    if arguments.short:
        SHORT.write_text(json.dumps({"versions": versions(), "curves": short_curves(arguments.out)}, indent=1) + "\n")
        print(SHORT)
    else:
        print(*write_logs(arguments.out), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
