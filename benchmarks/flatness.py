"""Whether memory stays where it is while very many samples are drawn and written: of one place, and of one place each.

What users run is run (`write_places`): drawing, decoding, units, COGs, and for many members statistics of them all. The
process's memory is taken whenever a batch begins.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import Result
from benchmarks.machine import in_own_process, own_memory

WANTED, EVALUATIONS, BATCH = "DEM", 2, 16
"""Few evaluations: what is kept does not depend on their number."""

Item = TypeVar("Item")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--model", default="demo", help="model directory (default: demo)")
    parser.add_argument("--samples", type=int, metavar="N", help="of each kind (default 10000)")


def run(quick: bool, model: str = "demo", samples: int | None = None) -> Result:
    """Each in a process of its own."""
    count = samples or (64 if quick else 10_000)
    rows = [
        in_own_process("benchmarks.flatness", model, str(places), str(members))
        for places, members in ((1, count), (count, 1))
    ]
    return Result(
        title="Memory while many samples are drawn and written",
        rows=rows,
        notes=[
            f"{WANTED} from a place and a date, {EVALUATIONS} evaluations, {BATCH} at a time, to COGs; of many members "
            "also mean, spread and quantiles over all of them. Memory is the process's own, at 10 % and 95 % of the "
            "batches, and the most it ever was, writing of statistics included."
        ],
    )


def measure(model: str, places: int, members: int) -> dict[str, Any]:
    """Draw and write `members` of each of so many places."""
    from copgen_jax.generate import load
    from copgen_jax.generate.request import Request
    from copgen_jax.generate.writing import write_places
    from copgen_jax.rasters.given.reading import read_given
    from copgen_jax.rasters.outputs.write import OutputOptions

    generator = load(model)
    request = Request(want=(WANTED,), members=members, evaluations=EVALUATIONS).settled(generator.model.config)
    given = [
        (
            f"place_{i}",
            read_given(
                {"location": (i % 120 - 60.0, i % 359 - 179.0), "timestamp": "2020-06-01"},
                generator.modalities,
                name=f"place_{i}",
            ),
        )
        for i in range(places)
    ]
    memory: list[int] = []

    def watched(items: Iterable[Item], *, total: int, what: str) -> Iterator[Item]:
        del total, what
        for item in items:
            memory.append(own_memory("VmRSS"))
            yield item

    with tempfile.TemporaryDirectory(prefix="copgen-flatness-") as folder:
        begun = time.perf_counter()
        options = OutputOptions(pictures=False)
        write_places(
            generator, given, request, Path(folder) / "out", inputs={}, options=options, batch_size=BATCH, track=watched
        )
        seconds = time.perf_counter() - begun
    return {
        "places": places,
        "members of each": members,
        "MB at 10 %": round(memory[len(memory) // 10] / 1e6),
        "MB at 95 %": round(memory[len(memory) * 95 // 100] / 1e6),
        "most MB": round(own_memory("VmHWM") / 1e6),
        "samples/s": places * members / seconds,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
