"""Samples that another program wrote, in the original's folders.

    RUNS/input_<given>_output_<generated>_seed_<s>/generations/Core-*/<row>/<row_col>/.../<band>.tif    COP-GEN
    RUNS/input_<given>_output_<generated>_seed_<s>/lat_lon.csv, timestamp.csv
    RUNS/input_<given>_output_<one>_seed_<s>/generations/<cell>.tif                                   TerraMind

COP-GEN writes one float32 raster per band on its own grid, with the transform of the full 1068 px tile although it
holds the middle; TerraMind stacks all bands on 10 m. A file is taken for the scene's patch if its corner is that of the
patch or of the tile around it; on other ground it is not scored, and that is said.
"""

import csv
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics.footprint import INSET
from copgen_jax.evaluation.metrics.tables import TARGETS, run_name
from copgen_jax.evaluation.scenes import Scene
from copgen_jax.evaluation.sources import Sample
from copgen_jax.modalities import COPGEN, Modality, ModalitySet
from copgen_jax.rasters.given.bands import SENSOR_ORDER
from copgen_jax.rasters.given.shrink import shrink
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.read import open_raster
from copgen_jax.units import REFLECTANCE_SCALE, indices_to_codes

PUBLISHED = {"location": "lat_lon", "timestamp": "timestamps"}
UNKNOWN_TO_TERRAMIND = ("cloud_mask", "timestamps")
STACKED = {
    "S2L2A": tuple(band for band in SENSOR_ORDER if band != "B10"),
    "S2L1C": tuple(band for band in SENSOR_ORDER if band != "B10"),
    "S1RTC": ("VV", "VH"),
    "DEM": ("DEM",),
    "LULC": ("LULC",),
}
"""Bands of TerraMind's stacks, in order; its S2L1C has no B10."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFolder:
    """One run on disk."""

    path: Path
    given: frozenset[str]
    generated: frozenset[str]
    seed: int

    @property
    def stacked(self) -> Path:
        """Where TerraMind's rasters lie."""
        return self.path / "generations"

    def serves(self, experiment: Experiment) -> bool:
        """Whether its conditions are the experiment's; one without cloud mask and date at all need not have them."""
        if set(experiment.constant) - {"cloud_mask"} or experiment.values:
            return False
        asked = {PUBLISHED.get(name, name) for name in experiment.given}
        exact = asked == self.given
        blind = not (self.given | self.generated) & set(UNKNOWN_TO_TERRAMIND)
        return exact or (blind and asked & set(TARGETS) == self.given & set(TARGETS))


@dataclasses.dataclass(frozen=True)
class PredictionSource:
    """Runs of another program."""

    name: str
    root: Path
    s2_offset: int
    """DN of zero reflectance in their Sentinel-2 rasters."""

    kind = "predictions"

    @property
    def settings(self) -> dict[str, object]:
        """Which runs, and the offset that was stated."""
        seeds = sorted({run.seed for run in self.runs})
        return {
            "kind": self.kind,
            "directory": self.root.name,
            "runs": len(self.runs),
            "seeds": seeds,
            "s2_offset as stated": self.s2_offset,
        }

    @cached_property
    def runs(self) -> tuple[RunFolder, ...]:
        """All runs at or below the directory, two levels deep.

        Raises:
            InputError: there is none.
        """
        below = [p for depth in ("*", "*/*") for p in sorted(self.root.glob(depth))]
        folders = [p for p in (self.root, *below) if _is_run(p)]
        if not folders:
            raise InputError(
                f"{self.root} holds no runs; expected directories input_<given>_output_<generated>_seed_<n> with "
                f"generations/ in them"
            )
        found = []
        for folder in folders:
            given, generated, seed = run_name(folder.resolve().name)
            found.append(RunFolder(path=folder, given=given, generated=generated, seed=seed))
        return tuple(found)

    def modalities(self, every: ModalitySet) -> ModalitySet:
        """All: what a run lacks is told sample by sample."""
        return every

    def cells(self) -> frozenset[str]:
        """All of which some run has a file or a row."""
        return frozenset(cell for run in self.runs for cell in _cells(run))

    def seeds(self, scene: str, experiment: Experiment) -> tuple[int, ...]:
        """The experiment's seeds, or as many of those that are there by the published rule."""
        wanted = {PUBLISHED.get(word, word) for word in experiment.want} | {
            COPGEN[word].product for word in experiment.want if word in COPGEN
        }
        there = {
            run.seed for run in self.runs if run.serves(experiment) and run.generated & wanted and _has(run, scene)
        }
        return experiment.seeds(scene, there)

    def draw(self, scenes: Sequence[Scene], experiment: Experiment) -> Iterator[Sample]:
        """What the files hold; several runs of one seed (TerraMind: one per output) make one sample."""
        for scene in scenes:
            for seed in self.seeds(scene.name, experiment):
                values: dict[str, np.ndarray] = {}
                problems: list[str] = []
                for run in self.runs:
                    if run.seed == seed and run.serves(experiment) and _has(run, scene.name):
                        more, odd = _read(run, scene, experiment.wanted(COPGEN), self.s2_offset)
                        values |= more
                        problems += odd
                yield Sample(cell=scene.name, seed=seed, values=values, problems=tuple(problems))


def _is_run(path: Path) -> bool:
    name = path.resolve().name
    return path.is_dir() and name.startswith("input_") and "_seed_" in name and (path / "generations").is_dir()


@lru_cache(maxsize=100_000)
def _has(run: RunFolder, cell: str) -> bool:
    """Whether a run has anything of a cell."""
    if (run.stacked / f"{cell}.tif").is_file() or cell in _places(run):
        return True
    row, _, column = cell.partition("_")
    return any((run.stacked / core / row / part).is_dir() for core in _cores(run) for part in (cell, column))


def _cells(run: RunFolder) -> Iterator[str]:
    yield from _places(run)
    yield from (path.stem for path in run.stacked.glob("*.tif"))
    for folder in run.stacked.glob("Core-*/*/*"):
        row, name = folder.parent.name, folder.name
        yield name if name.startswith(f"{row}_") else f"{row}_{name}"


def _cores(run: RunFolder) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in run.stacked.glob("Core-*")))


def _read(
    run: RunFolder, scene: Scene, wanted: Sequence[str], s2_offset: int
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted modalities of a cell as users see them, and what is odd."""
    values: dict[str, np.ndarray] = {}
    problems: list[str] = []
    for name in wanted:
        modality = COPGEN[name]
        if PUBLISHED.get(modality.product, modality.product) not in run.generated:
            continue
        try:
            if modality.encoding == "position":
                values[name] = _place(run, scene.name)
            elif modality.encoding == "date":
                continue
            elif (run.stacked / f"{scene.name}.tif").is_file():
                values[name], odd = _from_stack(run.stacked / f"{scene.name}.tif", modality, scene)
                problems += odd
            else:
                values[name] = _from_bands(run, modality, scene)
        except InputError as error:
            problems.append(f"{name}, seed {run.seed}: {error}")
            continue
        if modality.encoding == "reflectance":
            values[name] = (values[name].astype(np.float32) - np.float32(s2_offset)) / REFLECTANCE_SCALE
    return values, problems


def _from_bands(run: RunFolder, modality: Modality, scene: Scene) -> np.ndarray:
    """(band, y, x) of COP-GEN's layout.

    Raises:
        InputError: a band is missing, twice there, named otherwise inside, of another size or on other ground.
    """
    row, _, column = scene.name.partition("_")
    product = "S2L1C" if modality.product == "cloud_mask" else modality.product
    if product == "LULC":
        folder = run.stacked / "Core-LULC" / row / column
        found = {"LULC": sorted(folder.glob("*.tif"))}
    else:
        folder = run.stacked / f"Core-{product}" / row / scene.name
        files = {b: b.lower() if product == "S1RTC" else b for b in modality.bands}
        found = {band: sorted(folder.rglob(f"{file}.tif")) for band, file in files.items()}
    for band, paths in found.items():
        if len(paths) != 1:
            what = "is missing" if not paths else f"is there {len(paths)} times"
            raise InputError(f"band {band} {what} in {folder.relative_to(run.path)}")
    side = modality.image_shape[0]
    planes = []
    for band, (path,) in found.items():
        with open_raster(path) as dataset:
            inside = dataset.descriptions[0] if dataset.count == 1 else None
            if inside and inside.upper() in (*SENSOR_ORDER, "VV", "VH") and inside.upper() != band:
                raise InputError(f"{path.name} says that it holds {inside}: mixed bands are not scored")
            if dataset.count != 1 or dataset.shape != (side, side):
                raise InputError(
                    f"{path.name} has {dataset.count} bands of {dataset.height} x {dataset.width} px; expected one of "
                    f"{side} x {side}"
                )
            _check_ground(path.name, dataset, scene.ground)
            planes.append(dataset.read(1))
    return np.stack(planes)


def _from_stack(path: Path, modality: Modality, scene: Scene) -> tuple[np.ndarray, list[str]]:
    """(band, y, x) on the modality's grid from TerraMind's stack on 10 m, its middle where it is larger.

    Raises:
        InputError: another number of bands or a smaller raster.
    """
    order = STACKED[modality.product]
    problems: list[str] = []
    with open_raster(path) as dataset:
        named = [d.upper() if d else "" for d in dataset.descriptions]
        if set(order) <= set(named):
            if tuple(named[: len(order)]) != order:
                problems.append(f"{path.name}: bands are in the order {' '.join(named)}; taken by name")
            order = tuple(named)
        elif dataset.count != len(order) and modality.product != "LULC":
            raise InputError(f"{path.name} has {dataset.count} bands; expected {' '.join(order)}")
        _check_ground(path.name, dataset, scene.ground)
        raster = dataset.read().astype(np.float32)
    side = round(modality.extent / 10)
    top, left = ((size - side) // 2 for size in raster.shape[1:])
    if min(top, left) < 0:
        raise InputError(f"{path.name} has {raster.shape[1]} x {raster.shape[2]} px; expected {side} or more")
    raster = raster[:, top : top + side, left : left + side]
    if modality.product == "LULC":
        indices = raster.argmax(axis=0) if len(raster) > 1 else np.clip(raster[0], 0, len(modality.codes) - 1)
        return np.asarray(indices_to_codes(modality, indices.astype(np.int64)))[None], problems
    factor = side // modality.image_shape[0]
    missing = [band for band in modality.bands if band not in order]
    if missing:
        problems.append(f"{path.name} has no {', '.join(missing)}: not scored")
    nothing = np.full((side, side), np.nan, np.float32)
    planes = [raster[order.index(band)] if band in order else nothing for band in modality.bands]
    valid = np.ones((side, side), bool)
    return np.stack([shrink(plane, valid, factor).values if factor > 1 else plane for plane in planes]), problems


def _check_ground(name: str, dataset, ground: Ground | None) -> None:
    """The corner of the patch, or of the tile around it, within a coarse pixel."""
    if ground is None or not dataset.crs:
        return
    epsg = dataset.crs.to_epsg()
    corner = dataset.transform.c, dataset.transform.f
    if epsg is not None and ground.crs.startswith("EPSG:") and ground.crs != f"EPSG:{epsg}":
        raise InputError(f"{name} lies on other ground: EPSG:{epsg}, the truth in {ground.crs}")
    for inset in (0.0, INSET):
        if max(abs(corner[0] - ground.left + inset), abs(corner[1] - ground.top - inset)) <= 60.0:
            return
    raise InputError(
        f"{name} lies on other ground: it starts at ({corner[0]:.0f}, {corner[1]:.0f}), the truth at "
        f"({ground.left:.0f}, {ground.top:.0f})"
    )


def _place(run: RunFolder, cell: str) -> np.ndarray:
    """(latitude, longitude) from the table, or from a two-band raster."""
    path = run.stacked / f"{cell}.tif"
    if path.is_file():
        with open_raster(path) as dataset:
            if dataset.count < 2:
                raise InputError(f"{path.name} has one band; expected latitude and longitude")
            return dataset.read([1, 2])[:, 0, 0].astype(np.float64)
    if cell not in _places(run):
        raise InputError(f"lat_lon.csv has no row of {cell}")
    return np.asarray(_places(run)[cell], np.float64)


@lru_cache(maxsize=1000)
def _places(run: RunFolder) -> Mapping[str, tuple[float, float]]:
    path = run.path / "lat_lon.csv"
    if not path.is_file():
        return {}
    try:
        with path.open(newline="") as file:
            return {row["tile_id"]: (float(row["lat"]), float(row["lon"])) for row in csv.DictReader(file)}
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no table with columns tile_id, lat, lon: {error!r}") from error
