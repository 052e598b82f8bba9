"""The work itself: shard after shard, cells read ahead, batches under way, the last shard being written meanwhile."""

import collections
import dataclasses
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np

from copgen_jax.data.latents import LatentStore, Shard, create_store, remove_leftovers, write_shard
from copgen_jax.data.majortom import Issue, Observation, Patch, cut, patches_along, read_all
from copgen_jax.encode.encoder import Encoder
from copgen_jax.encode.pace import Pace, Standing
from copgen_jax.encode.plan import Plan, Task
from copgen_jax.progress import Track, silently
from copgen_jax.rasters.ground import Ground

UNDER_WAY = 4
"""Batches handed to the devices and not yet taken back: enough to keep them fed, few enough for their memory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoded:
    """What came of it."""

    store: LatentStore
    standing: Standing
    issues: tuple[Issue, ...]
    """What was left out, of the cells that this process read."""
    not_whole: int
    """Patches left out because they lack a modality, where only the intersection is kept."""


def encode(
    plan: Plan,
    encoder: Encoder,
    out: str | Path,
    *,
    task: Task | None = None,
    resume: bool = False,
    overwrite: bool = False,
    threads: int = 2,
    track: Track = silently,
    tell: Callable[[Standing], None] = lambda _: None,
) -> Encoded:
    """Write this process's share of the latent store at `out`.

    Args:
        plan: what is to be encoded; the same for all processes.
        encoder: of the model that the plan was made for.
        out: the store's directory.
        task: which share; everything by default. Tasks need not run at the same time, and whichever starts first makes
            the store's frame.
        resume: go on with a store that was begun; of several tasks each does.
        overwrite: replace a latent store.
        threads: that read cells.
        track: told about cells read.
        tell: told where the work stands, after every shard.

    Raises:
        InputError: the place is taken or cannot be written to. Broken data are no error: see `Encoded.issues`.
    """
    task = task or Task()
    store = create_store(out, plan.description, plan.cells, resume=resume or task.count > 1, overwrite=overwrite)
    missing = {(split, shard) for split in store.layouts for shard in store.missing_shards(split)}
    everything = [(split, shard) for split, layout in store.layouts.items() for shard in range(layout.shards)]
    work = [piece for piece in task.share(everything) if piece in missing]
    names = [plan.cells[split][cell] for split, shard in work for cell in store.layout(split).cells_of(shard)]
    if names:
        for name in track(plan.images.names, total=len(plan.images), what="compiling"):
            encoder.compile(name)
    with ThreadPoolExecutor(1, "copgen-write") as writer, ThreadPoolExecutor(1, "copgen-collect") as collector:
        shards = _Shards(plan, encoder, collector, Pace(len(work)))
        written: Future[None] | None = None
        observations = read_all(plan.source, names, threads=threads, track=track)
        for split, shard in work:
            contents = shards.encoded(store.layout(split).cells_of(shard), observations)
            with shards.pace.during("write"):
                if written:
                    written.result()
            written = writer.submit(write_shard, store, split, shard, contents)
            shards.pace.shards += 1
            tell(shards.pace.standing())
        with shards.pace.during("write"):
            if written:
                written.result()
        collections.deque(observations, maxlen=0)
    remove_leftovers(store)
    return Encoded(
        store=store,
        standing=shards.pace.standing(),
        issues=(*plan.source.issues, *shards.issues),
        not_whole=shards.not_whole,
    )


class _Shards:
    """Makes the contents of shards, one after the other."""

    def __init__(self, plan: Plan, encoder: Encoder, collector: ThreadPoolExecutor, pace: Pace):
        self.pace = pace
        self.issues: list[Issue] = []
        self.not_whole = 0
        self._plan, self._encoder, self._collector = plan, encoder, collector
        self._per_cell = plan.description.patches_per_cell

    def encoded(self, cells: range, observations: Iterator[Observation]) -> Shard:
        """The contents of the shard of the next `len(cells)` observations."""
        rows = _Rows(self._plan, len(cells) * self._per_cell)
        waiting: dict[str, list[tuple[int, np.ndarray, int]]] = {name: [] for name in self._plan.images.names}
        under_way: collections.deque[tuple[str, list[int], Future[np.ndarray]]] = collections.deque()
        for cell in range(len(cells)):
            with self.pace.during("read"):
                observation = next(observations)
            with self.pace.during("convert"):
                patches = self._cut(observation)
            for patch in patches:
                row = cell * self._per_cell + patch.index
                rows.place(row, patch)
                self.pace.patches += bool(patch.images)
                for name, image in patch.images.items():
                    offset = patch.s2_offsets.get(self._plan.images[name].product, 0)
                    waiting[name].append((row, image, offset))
                    if len(waiting[name]) == self._encoder.batch_size:
                        self._start(name, waiting[name], under_way, rows)
                        waiting[name] = []
        for name, rest in waiting.items():
            if rest:
                self._start(name, rest, under_way, rows)
        while under_way:
            self._take_back(under_way, rows)
        self.issues.extend(rows.unfit())
        return rows.shard()

    def _cut(self, observation: Observation) -> list[Patch]:
        """The patches of a cell or tile that go into the store."""
        self.issues.extend(observation.issues)
        if not observation.rasters:
            return []
        if patches_along(observation, self._plan.images) ** 2 != self._per_cell:
            reason = f"it is not cut into {self._per_cell} patches as the others are"
            self.issues.append(Issue(place=observation.name, kind="wrong size", where="tile", reason=reason))
            return []
        patches = list(cut(observation, self._plan.images))
        self.issues.extend(issue for patch in patches for issue in patch.issues)
        if self._plan.intersection:
            whole = [patch for patch in patches if _is_whole(patch, self._plan)]
            self.not_whole += len(patches) - len(whole)
            return whole
        return patches

    def _start(self, name: str, batch: list[tuple[int, np.ndarray, int]], under_way, rows: "_Rows") -> None:
        """Hand a batch to the devices, and take the oldest back if too many are under way."""
        height, width, _ = self._plan.images[name].image_shape
        self.pace.images += len(batch)
        self.pace.megapixels += len(batch) * height * width / 1e6
        with self.pace.during("convert"):
            gathered = self._encoder.gather(name, [(image, offset) for _, image, offset in batch])
        start = time.perf_counter()
        with self.pace.during("encode"):
            moments = self._encoder.submit(name, gathered)
        taken = self._collector.submit(self._awaited, moments, start)
        under_way.append((name, [row for row, _, _ in batch], taken))
        if len(under_way) > UNDER_WAY:
            self._take_back(under_way, rows)

    def _awaited(self, moments: jax.Array, start: float) -> np.ndarray:
        """A batch's moments on the host; runs in a thread of its own, so that it notes when they are there."""
        values = np.asarray(moments)
        self.pace.device_was_busy(start, time.perf_counter())
        return values

    def _take_back(self, under_way, rows: "_Rows") -> None:
        name, numbers, taken = under_way.popleft()
        with self.pace.during("encode"):
            values = taken.result()
        rows.put(name, numbers, values[: len(numbers)])


class _Rows:
    """The rows of one shard, filled as batches come back."""

    def __init__(self, plan: Plan, count: int):
        self._plan, self._count = plan, count
        self._moments: dict[str, np.ndarray] = {}
        self._presence: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}
        self._latitude, self._longitude = np.full((2, count), np.nan)
        self._time = np.full(count, np.datetime64("NaT", "D"))
        self._grounds: list[Ground | None] = [None] * count

    def place(self, row: int, patch: Patch) -> None:
        """Note where and when a patch is."""
        self._names[row] = patch.name
        self._latitude[row], self._longitude[row] = patch.place or (np.nan, np.nan)
        self._time[row] = patch.date
        self._grounds[row] = patch.ground

    def put(self, name: str, rows: list[int], values: np.ndarray) -> None:
        """Moments (n, h, w, 2c) of rows."""
        if name not in self._moments:
            shape = self._plan.description.moments_shape(name)
            self._moments[name] = np.zeros((self._count, *shape), np.float32)
            self._presence[name] = np.zeros(self._count, bool)
        self._moments[name][rows] = values
        self._presence[name][rows] = True

    def unfit(self) -> Iterator[Issue]:
        """Take out patches whose moments the store cannot keep, and say so."""
        for name, values in self._moments.items():
            with np.errstate(over="ignore"):
                fits = np.isfinite(values.astype(self._plan.description.precision)).all(axis=(1, 2, 3))
            for row in np.flatnonzero(self._presence[name] & ~fits):
                self._presence[name][row] = False
                reason = f"its moments are NaN, infinite or too large for {self._plan.description.precision}"
                yield Issue(place=self._names[int(row)], kind="no data", where=name, reason=reason)

    def shard(self) -> Shard:
        """What is written."""
        return Shard(
            moments=self._moments,
            presence=self._presence,
            latitude=self._latitude,
            longitude=self._longitude,
            time=self._time,
            grounds=self._grounds,
        )


def _is_whole(patch: Patch, plan: Plan) -> bool:
    """Whether a patch has every modality, place and date included."""
    return all(patch.physical(m) is not None for m in (*plan.images, *plan.description.modalities.vectors))
