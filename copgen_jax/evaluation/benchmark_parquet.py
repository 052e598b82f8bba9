"""The published benchmark's parquet files, as far as they are described.

    ROOT/real/data/*.parquet, ROOT/copgen/data/*.parquet, ROOT/terramind/data/*.parquet
        a row per image: grid_cell, sample_id ("seed_3"), date, and a GeoTIFF of 1056 px at 10 m per Level-2A band
    ROOT/metadata/benchmark_grid.json    {cell: {"ul_x", "ul_y", "crs"}}: corner of the older grid's tile

They hold twelve bands and no conditions, so other programs' samples can be scored here but no network be run. The DN
offset is not described either: it is stated by whoever evaluates.
"""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.data.majortom.metadata import open_parquet
from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics.distribution import L2A_BANDS
from copgen_jax.evaluation.metrics.footprint import Tile, window_of
from copgen_jax.evaluation.scenes import Scene, Values
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.rasters.given.reading import GivenPlace
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.read import open_raster
from copgen_jax.units import REFLECTANCE_SCALE

GRID = "metadata/benchmark_grid.json"
CONDITIONS = ("DEM", "LULC")
"""What is known of how the samples were drawn: they serve the stochastic benchmark only."""


def is_benchmark(path: Path) -> bool:
    """Whether a directory is the published benchmark."""
    return (path / GRID).is_file() and (path / "real" / "data").is_dir()


@dataclasses.dataclass(frozen=True)
class Images:
    """The rows of one of the three sets."""

    root: Path
    """Of the benchmark."""
    kind: str
    s2_offset: int

    @cached_property
    def grid(self) -> Mapping[str, Mapping]:
        """Corner of the older grid's tile by cell.

        Raises:
            InputError: damaged.
        """
        try:
            return dict(json.loads((self.root / GRID).read_text()))
        except ValueError as error:
            raise InputError(f"{self.root / GRID} is not valid JSON: {error}") from error

    @cached_property
    def rows(self) -> Mapping[str, Sequence[tuple[Path, int, str]]]:
        """{cell: (file, row, sample id)}."""
        found: dict[str, list[tuple[Path, int, str]]] = defaultdict(list)
        for path in sorted((self.root / self.kind / "data").glob("*.parquet")):
            with open_parquet(path) as parquet:
                absent = [c for c in ("grid_cell", "sample_id", *L2A_BANDS) if c not in parquet.schema_arrow.names]
                if absent:
                    raise InputError(f"{path} has no column {absent[0]}; expected the published benchmark's files")
                table = parquet.read(columns=["grid_cell", "sample_id"]).to_pydict()
                for row, (cell, sample) in enumerate(zip(table["grid_cell"], table["sample_id"], strict=True)):
                    found[cell].append((path, row, str(sample)))
        return found

    def read(self, cell: str, chosen: Sequence[tuple[Path, int, str]]) -> Iterator[tuple[str, Values]]:
        """(sample id, evaluated window in reflectance; 0 where there is nothing) of some images of a cell."""
        files: dict[Path, dict[int, str]] = defaultdict(dict)
        for path, row, sample in chosen:
            files[path][row] = sample
        for path, samples in files.items():
            with open_parquet(path) as parquet:
                for row, images in _rows(parquet, sorted(samples)):
                    bands = {b: self._window(cell, images[b], f"{path}, row {row}, {b}") for b in L2A_BANDS}
                    values = {m.name: np.stack([bands[b] for b in m.bands]) for m in COPGEN if m.product == "S2L2A"}
                    yield samples[row], values

    def _window(self, cell: str, content: bytes, where: str) -> np.ndarray:
        if cell not in self.grid:
            raise InputError(f"{GRID} has no cell {cell}")
        corner = self.grid[cell]
        with open_raster(content, where=where) as dataset:
            tile = Tile(left=dataset.transform.c, top=dataset.transform.f, crs=str(dataset.crs), side=dataset.width)
            raster = dataset.read(1)
        older = Tile(left=corner["ul_x"], top=corner["ul_y"], crs=corner["crs"], side=1068)
        dn = window_of(older, tile).cut(raster).astype(np.float32)
        return np.where(dn == 0, np.float32(0), (dn - self.s2_offset) / REFLECTANCE_SCALE)


def _rows(parquet: Any, wanted: Sequence[int]) -> Iterator[tuple[int, Mapping[str, bytes]]]:
    """(row, files of its bands): reads the row groups that hold any of the rows, one after the other."""
    first = 0
    for group in range(parquet.num_row_groups):
        count = parquet.metadata.row_group(group).num_rows
        here = [row for row in wanted if first <= row < first + count]
        if here:
            table = parquet.read_row_group(group, columns=list(L2A_BANDS))
            for row in here:
                yield row, {band: table.column(band)[row - first].as_py() for band in L2A_BANDS}
        first += count


@dataclasses.dataclass(frozen=True)
class BenchmarkBench:
    """Real acquisitions of the published cells."""

    images: Images
    cells: int | None = None

    synthetic = False
    modalities = COPGEN.subset(["S2L2A"])

    @property
    def names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self.images.rows))[: self.cells]

    @property
    def description(self) -> str:
        """For the report."""
        return f"published benchmark, {len(self.names)} cells, DN offset stated as {self.images.s2_offset}"

    def scene(self, name: str, acquisitions: int, *, clear: bool = False) -> Scene:
        """A cell, whose dates were chosen without cloud. Nothing can be given there."""
        del clear
        rows = self.images.rows[name][:acquisitions]
        corner = self.images.grid.get(name, {})
        ground = Ground(corner["crs"], corner["ul_x"] + 4380.0, corner["ul_y"] - 4380.0, 1920.0) if corner else None
        place = GivenPlace(place_id=name, ground=ground, values={}, offsets={}, notes=())
        return Scene(name=name, place=place, truths=tuple(values for _, values in self.images.read(name, rows)))


@dataclasses.dataclass(frozen=True)
class BenchmarkSource:
    """Samples of one model of the published benchmark."""

    name: str
    images: Images

    kind = "predictions"

    @property
    def settings(self) -> dict[str, object]:
        """Which set, and the offset that was stated."""
        return {"kind": self.kind, "set": self.images.kind, "s2_offset as stated": self.images.s2_offset}

    def modalities(self, every: ModalitySet) -> ModalitySet:
        """Level 2A."""
        return every.subset(["S2L2A"])

    def cells(self) -> frozenset[str]:
        """All of its files."""
        return frozenset(self.images.rows)

    def seeds(self, scene: str, experiment: Experiment) -> tuple[int, ...]:
        """By the published rule, for the stochastic benchmark's conditions only."""
        if not set(CONDITIONS) <= set(experiment.given) <= {*CONDITIONS, "cloud_mask"}:
            return ()
        return experiment.seeds(scene, self._by_seed(scene))

    def draw(self, scenes: Sequence[Scene], experiment: Experiment) -> Iterator[Sample]:
        """The chosen images."""
        for scene in scenes:
            by_seed = self._by_seed(scene.name)
            chosen = {by_seed[seed][2]: seed for seed in self.seeds(scene.name, experiment)}
            for sample, values in self.images.read(scene.name, [by_seed[seed] for seed in chosen.values()]):
                yield Sample(cell=scene.name, seed=chosen[sample], values=values)

    def _by_seed(self, cell: str) -> dict[int, tuple[Path, int, str]]:
        rows = self.images.rows.get(cell, ())
        return {int(row[2].removeprefix("seed_")): row for row in rows if row[2].removeprefix("seed_").isdigit()}
