"""What the commands say: text and bars for people, one JSON object for machines, errors on standard error."""

import dataclasses
import json as json_format
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Terminal:
    """Where a command's output goes. Progress bars appear only on a terminal."""

    json: bool = False
    quiet: bool = False

    def say(self, text: str) -> None:
        """A line for people: a plan, a figure, a path."""
        if not (self.quiet or self.json):
            print(text, flush=True)

    def result(self, data: dict[str, Any], text: str = "") -> None:
        """The outcome: `data` as one JSON object under --json, else `text`."""
        if self.json:
            print(json_format.dumps(data, default=str), flush=True)
        elif text:
            self.say(text)

    def error(self, text: str) -> None:
        """One sentence on standard error."""
        print(f"copgen: {text}", file=sys.stderr, flush=True)

    def track(self, items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
        """Iterate with a progress bar and ETA (a `copgen_jax.progress.Track`)."""
        if self.quiet or self.json or not sys.stderr.isatty():
            yield from items
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            yield from bar.track(items, total=total, description=what)
