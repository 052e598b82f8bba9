"""Tables of speed, memory and accuracy: `python -m benchmarks NAME`.

A benchmark is a module with `run(quick: bool) -> Result`, registered by name in `BENCHMARKS`. Its table is printed, and
its rows are written with versions and device to `benchmarks/results/NAME.json`, from which pages are made.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a benchmark found."""

    title: str
    rows: list[dict[str, Any]]
    """One flat dict per line of the table, all with the same keys; values are plain JSON."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """Sentences that a reader needs to judge the figures."""


BENCHMARKS = {
    "pipeline": "moments per second from the latent store to host arrays, beside zarr-python and LMDB",
    "world": "time of patches and redraws of the synthetic world",
    "solvers": "error of every solver at 5 to 50 evaluations on distributions with an exact flow",
}
"""Name of the module in this package, and what it measures."""
