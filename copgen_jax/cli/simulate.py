"""`copgen simulate`: cells of the synthetic world as files."""

import argparse
import concurrent.futures
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from copgen_jax.errors import InputError

if TYPE_CHECKING:
    from copgen_jax.cli.terminal import Terminal
    from copgen_jax.data.world.files import Cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `copgen simulate`."""
    parser.description = (
        "Write cells of a synthetic world in the folders and formats of extracted Major TOM cells: 10.68 km squares "
        "with all modalities, 36 patches of 192 px each. The files are a function of the seed alone."
    )
    parser.add_argument("--cells", type=int, required=True, metavar="N", help="number of cells")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory to write to")
    parser.add_argument(
        "--format",
        choices=("folders", "parquet"),
        default="folders",
        help="extracted cells, or parquet files with a GeoTIFF per band (default: folders)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the world (default: 0)")
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one per core)")
    parser.add_argument("--resume", action="store_true", help="write what an interrupted run left out")
    parser.add_argument("--overwrite", action="store_true", help="write all cells again")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and stop")


def run(arguments: argparse.Namespace, terminal: "Terminal") -> None:
    """Write the cells.

    Raises:
        InputError: a count below one, or a directory that holds something else.
    """
    from copgen_jax.data.world import World
    from copgen_jax.data.world.files import CELL_BYTES, CELL_SECONDS, Cells

    workers = arguments.workers if arguments.workers is not None else (os.cpu_count() or 1)
    for name, value in (("--cells", arguments.cells), ("--workers", workers)):
        if value < 1:
            raise InputError(f"{name} is {value}: expected at least 1")
    if arguments.resume and arguments.overwrite:
        raise InputError("--resume keeps what is there and --overwrite replaces it; pass one of them")
    world = World(arguments.seed)
    cells = Cells(arguments.out, world, world.cells(arguments.cells), arguments.format)
    plan = {
        "cells": arguments.cells,
        "patches": arguments.cells * world.patches_per_cell,
        "out": str(arguments.out),
        "seed": arguments.seed,
        "format": arguments.format,
        "workers": min(workers, arguments.cells),
        "expected_bytes": arguments.cells * CELL_BYTES,
        "expected_seconds": round(arguments.cells * CELL_SECONDS / min(workers, arguments.cells)),
    }
    terminal.say(
        f"{plan['cells']} cells ({plan['patches']} patches) to {plan['out']}: about {plan['expected_bytes'] / 1e9:.1f} "
        f"GB, {plan['expected_seconds'] / 60:.1f} min with {plan['workers']} workers of 0.8 GB memory each"
    )
    if arguments.dry_run:
        terminal.result(plan | {"dry_run": True})
        return
    cells.start(resume=arguments.resume, overwrite=arguments.overwrite)
    start = time.perf_counter()
    for _ in terminal.track(
        _written(cells, plan["workers"], arguments.overwrite), total=arguments.cells, what="simulating"
    ):
        pass
    cells.finish()
    seconds = time.perf_counter() - start
    terminal.result(
        plan | {"seconds": round(seconds, 1), "names": list(cells.names)},
        f"wrote {arguments.cells} cells in {seconds:.0f} s; read them with copgen encode --data {arguments.out}",
    )


def _written(cells: "Cells", workers: int, overwrite: bool) -> Iterator[str]:
    """Names of the cells, each as soon as it is on the disk."""
    if workers == 1:
        for name in cells.names:
            cells.write(name, overwrite=overwrite)
            yield name
        return
    # spawned, because a forked process must not inherit the threads of numerical libraries
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        tasks = {pool.submit(_write_one, cells, name, overwrite): name for name in cells.names}
        try:
            for task in concurrent.futures.as_completed(tasks):
                task.result()
                yield tasks[task]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write_one(cells: "Cells", name: str, overwrite: bool) -> None:
    cells.write(name, overwrite=overwrite)
