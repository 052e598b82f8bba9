"""How fast it goes, and what waits on what.

The thread that leads the work is always doing one of four things: waiting for the next cell to be read, gathering
patches into batches, waiting for devices, or waiting for the previous shard to be written. The largest share is the
bottleneck. Devices are idle when no batch is under way on them.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

Stage = Literal["read", "convert", "encode", "write"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """Where the work stands."""

    shards: int
    total_shards: int
    patches: int
    """With at least one image."""
    images: int
    megapixels: float
    """Pixels of all images encoded, each on its own grid, in millions."""
    seconds: float
    waits: Mapping[Stage, float]
    """Share of the time spent waiting for (or, of "convert", spent on) each stage."""
    idle_share: float
    """Share of the time in which the devices had nothing to do."""

    @property
    def megapixels_per_second(self) -> float:
        """Throughput over all modalities."""
        return self.megapixels / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float:
        """If the rest goes as the shards so far."""
        return self.seconds / self.shards * (self.total_shards - self.shards) if self.shards else 0.0

    def __str__(self) -> str:
        waits = ", ".join(f"{stage} {share:.0%}" for stage, share in self.waits.items())
        return (
            f"shard {self.shards}/{self.total_shards}: {self.patches:,} patches, "
            f"{self.megapixels_per_second:.3g} MPix/s, {_minutes(self.seconds_left)} left; time goes to {waits}; "
            f"devices idle {self.idle_share:.0%}"
        )


class Pace:
    """The clock of one run."""

    def __init__(self, total_shards: int):
        """Start the clock."""
        self._start = time.perf_counter()
        self._seconds: dict[Stage, float] = dict.fromkeys(get_args(Stage), 0.0)
        self._total_shards = total_shards
        self._busy, self._last_end = 0.0, self._start
        self.shards = self.patches = self.images = 0
        self.megapixels = 0.0

    @contextlib.contextmanager
    def during(self, stage: Stage) -> Iterator[None]:
        """Time of the leading thread spent on a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] += time.perf_counter() - start

    def device_was_busy(self, start: float, end: float) -> None:
        """A batch was under way between these times; batches come in order of their end. Called by one thread."""
        self._busy += end - max(start, self._last_end)
        self._last_end = end

    def standing(self) -> Standing:
        """Figures so far."""
        seconds = time.perf_counter() - self._start
        return Standing(
            shards=self.shards,
            total_shards=self._total_shards,
            patches=self.patches,
            images=self.images,
            megapixels=self.megapixels,
            seconds=seconds,
            waits={stage: spent / seconds for stage, spent in self._seconds.items()},
            idle_share=max(0.0, 1.0 - self._busy / seconds),
        )


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
