"""Run benchmarks by name: see the README beside this file."""

import argparse
import datetime
import functools
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import BENCHMARKS, COMMANDS, SPEED, Result, result_file
from benchmarks.machine import Watch, processor_name, use_threads
from copgen_jax.errors import InputError, suggestion
from copgen_jax.files import file_aside

RESULTS = Path(__file__).parent / "results"


def main(argv: list[str] | None = None) -> int:
    """Run the named benchmarks; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Tables of speed, memory and accuracy.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks, see --list")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--quick", action="store_true", help="a smaller run that shows that it works; nothing is kept")
    parser.add_argument("--json", action="store_true", help="print one JSON object per benchmark instead of tables")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where NAME.json goes (default: benchmarks/results)")
    parser.add_argument("--threads", type=int, metavar="N", help="processors to use (default: all)")
    arguments, rest = parser.parse_known_args(argv)
    if arguments.list:
        for name, what in (BENCHMARKS | COMMANDS).items():
            print(f"{name:12} {what}")
        return 0
    if arguments.threads:
        use_threads(arguments.threads)
    # Contestants share a GPU: none may take its memory before it needs it.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        run(arguments, rest)
    except InputError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


def run(arguments: argparse.Namespace, rest: list[str]) -> None:
    """Measure, show, and keep what was asked for.

    Raises:
        InputError: an unknown name or none, options that a benchmark does not have, or results that cannot be written.
    """
    known = [*BENCHMARKS, *COMMANDS]
    for name in arguments.names:
        if name not in known:
            raise InputError(f"unknown benchmark {name!r}: {suggestion(name, known)}")
    if not arguments.names:
        raise InputError(f"name a benchmark: {', '.join(known)}")
    names = [part for name in arguments.names for part in (SPEED if name == "speed" else [name])]
    for name in names:
        if name == "report":
            importlib.import_module("benchmarks.report").write(arguments.out or RESULTS)
            continue
        measure(name, arguments, rest)


def measure(name: str, arguments: argparse.Namespace, rest: list[str]) -> None:
    """One benchmark, with the options that are its own."""
    module = importlib.import_module(f"benchmarks.{name}")
    own = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=module.__doc__)
    if hasattr(module, "add_arguments"):
        module.add_arguments(own)
    options = vars(own.parse_args(rest))
    watch = Watch.begin()
    found = module.run(quick=arguments.quick, **options)
    # What takes long gives its table as often as there is more of it, so that an end before its end loses little.
    for result in [found] if isinstance(found, Result) else found:
        record = {
            "benchmark": name,
            "quick": arguments.quick,
            "options": {key: value for key, value in options.items() if value is not None},
            "load": watch.load(),
            **surroundings(),
            **vars(result),
        }
        if arguments.out or not arguments.quick:
            keep(record, arguments.out or RESULTS)
    if arguments.json:
        print(json.dumps(record))
    else:
        show(result)


def keep(record: dict[str, Any], folder: Path) -> None:
    """Write a result; one of a GPU lies beside that of a CPU."""
    final = folder / result_file(record["benchmark"], record["device"]["platform"])
    with file_aside(final) as aside:
        aside.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {final}", file=sys.stderr)


@functools.cache
def surroundings() -> dict[str, Any]:
    """Date, versions and device: what a figure is worth nothing without."""
    import jax

    packages = ("copgen_jax", "jax", "jaxlib", "flax", "numpy", "torch")
    installed = {d.metadata["Name"].replace("-", "_") for d in importlib.metadata.distributions() if d.metadata["Name"]}
    device = jax.devices()[0]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages if package in installed},
        },
        "device": {"kind": device.device_kind, "platform": device.platform, "count": jax.device_count()},
        "processor": processor_name(),
        "cpus": os.cpu_count(),
        "threads": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
    }


def show(result: Result) -> None:
    """Print a result as a table."""
    table = Table(title=result.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for column, value in result.rows[0].items():
        table.add_column(column, justify="left" if isinstance(value, str) else "right")
    for row in result.rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    console = Console()
    # A table that is cut to a narrow terminal, or to the 80 columns of a pipe, says nothing.
    console.width = max(console.width, 190)
    console.print(table)
    for note in result.notes:
        console.print(note)


if __name__ == "__main__":
    sys.exit(main())
