"""What one cell gave under one experiment from one source, and its file.

    REPORT/cells/<protocol>/<source>/<experiment>/<cell>.json     numbers, problems, seconds
    REPORT/cells/<protocol>/<source>/<experiment>/<cell>.png      what it looks like, where that is worth a look

A file appears when the cell is done, so an interrupted evaluation goes on with the next cell.
"""

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.sources import file_name
from copgen_jax.files import file_aside

CELLS = "cells"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """Everything a report needs of one cell."""

    cell: str
    source: str
    experiment: str
    data: dict[str, Any]
    """Numbers of the protocol; empty if the cell drops out."""
    problems: tuple[str, ...] = ()
    samples: int = 0
    """Samples scored."""
    seconds: float = 0.0
    picture: bytes = b""
    """PNG, or nothing."""


@dataclasses.dataclass(frozen=True)
class Results:
    """The files of one protocol in a report's directory."""

    root: Path
    protocol: str

    def path(self, source: str, experiment: Experiment, cell: str) -> Path:
        """Of a cell's numbers."""
        folder = self.root / CELLS / self.protocol / file_name(source) / file_name(experiment.name)
        return folder / f"{file_name(cell)}.json"

    def done(self, source: str, experiment: Experiment, cell: str) -> bool:
        """Whether a cell is finished."""
        return self.path(source, experiment, cell).is_file()

    def write(self, experiment: Experiment, result: Result) -> None:
        """The picture first: a cell counts as done when its numbers are there."""
        path = self.path(result.source, experiment, result.cell)
        if result.picture:
            with file_aside(path.with_suffix(".png")) as aside:
                aside.write_bytes(result.picture)
        plain = {f.name: getattr(result, f.name) for f in dataclasses.fields(result) if f.name != "picture"}
        with file_aside(path) as aside:
            aside.write_text(json.dumps(to_plain(plain), allow_nan=False))

    def read(self, source: str, experiment: Experiment, cells: tuple[str, ...]) -> Iterator[Result]:
        """The finished cells, in the order given.

        Raises:
            InputError: a file is damaged.
        """
        for cell in cells:
            path = self.path(source, experiment, cell)
            if not path.is_file():
                continue
            try:
                stored = from_plain(json.loads(path.read_text()))
                stored["problems"] = tuple(stored["problems"])
                picture = path.with_suffix(".png")
                yield Result(**stored, picture=picture.read_bytes() if picture.is_file() else b"")
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(f"{path} is damaged; remove it and the cell is scored again") from error


def to_plain(value: Any) -> Any:
    """JSON without NaN: null stands for NaN, "inf" and "-inf" for the infinite."""
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def from_plain(value: Any) -> Any:
    """The inverse for numbers: null becomes NaN."""
    if isinstance(value, dict):
        return {key: from_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if value is None:
        return math.nan
    return float(value) if value in ("inf", "-inf") else value
