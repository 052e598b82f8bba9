"""Outputs of other programs: what was written is what is scored; what does not fit is told."""

import dataclasses
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import rasterio
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from copgen_jax.errors import InputError
from copgen_jax.evaluation.benchmark_parquet import BenchmarkBench, BenchmarkSource, Images, is_benchmark
from copgen_jax.evaluation.experiment import Experiment
from copgen_jax.evaluation.metrics.distribution import L2A_BANDS
from copgen_jax.evaluation.predictions import STACKED, PredictionSource
from copgen_jax.evaluation.protocols.registry import PROTOCOLS
from copgen_jax.evaluation.scenes import WorldBench, l2a_stack
from copgen_jax.modalities import COPGEN

MODALITIES = COPGEN.subset(["location", "DEM", "LULC", "S2L2A"])
BENCH = WorldBench(5, MODALITIES, 1)
CELL = "433D_629L"
GROUPS = ("S2L2A_10m", "S2L2A_20m", "S2L2A_60m")


@pytest.fixture(scope="module")
def scene():
    return dataclasses.replace(BENCH.scene(BENCH.names[0], 1), name=CELL)


def write(path, values, ground, resolution, *, shift=0.0, description=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = values if values.ndim == 3 else values[None]
    transform = from_origin(ground.left - shift, ground.top + shift, resolution, resolution)
    _, height, width = planes.shape
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", count=len(planes), height=height, width=width, crs=ground.crs,
        transform=transform,
    ) as dataset:  # fmt: skip
        dataset.write(planes.astype(np.float32))
        if description:
            dataset.descriptions = description


def write_copgen(root, scene, *, seed=0, offset=1000, shift=4380.0, names=("DEM", "LULC")) -> object:
    """A run in COP-GEN's layout, with the transform of the full tile as the original has it."""
    run = root / f"input_{'_'.join(names)}_output_S2L2A_lat_lon_seed_{seed}"
    row = CELL.split("_")[0]
    for name in GROUPS:
        modality = COPGEN[name]
        for band, plane in zip(modality.bands, scene.truths[0][name], strict=True):
            path = run / "generations" / "Core-S2L2A" / row / CELL / "product" / f"{band}.tif"
            write(path, plane * 10000 + offset, scene.ground, modality.resolution, shift=shift)
    (run / "lat_lon.csv").write_text(f"tile_id,lat,lon\n{CELL},1.5,2.5\n")
    return run


def experiment(want=("S2L2A",), given=("DEM", "LULC")):
    return Experiment(name="e", given=given, want=want, pool=tuple(range(33)), count=16)


def test_copgen_folders_come_back_as_reflectance(tmp_path, scene):
    for seed in (0, 4):
        write_copgen(tmp_path, scene, seed=seed)
    source = PredictionSource("copgen", tmp_path, 1000)
    assert source.seeds(CELL, experiment()) == (0, 4)
    assert source.seeds("1U_1R", experiment()) == ()
    assert source.cells() == {CELL}
    samples = list(source.draw([scene], experiment(("S2L2A", "location"))))
    assert [s.seed for s in samples] == [0, 4]
    for sample in samples:
        assert not sample.problems
        np.testing.assert_allclose(l2a_stack(sample.values), l2a_stack(scene.truths[0]), atol=2e-6)
        assert sample.values["location"].tolist() == [1.5, 2.5]
    without = next(iter(PredictionSource("copgen", tmp_path, 0).draw([scene], experiment())))
    difference = l2a_stack(without.values) - l2a_stack(scene.truths[0])
    np.testing.assert_allclose(difference, 0.1, atol=2e-6)  # the offset is stated, never guessed


def test_only_runs_of_the_same_conditions_serve(tmp_path, scene):
    write_copgen(tmp_path / "copgen", scene, names=("DEM", "LULC", "cloud_mask"))
    source = PredictionSource("copgen", tmp_path, 1000)
    assert source.seeds(CELL, experiment()) == ()  # knows a cloud mask, and was given it
    assert source.seeds(CELL, experiment(given=("DEM", "LULC", "cloud_mask"))) == (0,)
    (published,) = PROTOCOLS["stochastic"].experiments(COPGEN, False)
    assert source.seeds(CELL, published) == (0,)
    seasons = {e.name: e for e in PROTOCOLS["seasonality"].experiments(COPGEN, False)}
    assert source.seeds(CELL, seasons["another-place"]) == ()


def test_other_ground_swapped_and_missing_bands_are_told(tmp_path, scene):
    for seed in range(4):
        write_copgen(tmp_path, scene, seed=seed)
    folder = f"generations/Core-S2L2A/433D/{CELL}/product"
    runs = sorted(tmp_path.glob("input_*"))
    ground, plane = scene.ground, scene.truths[0]["S2L2A_60m"][0]
    write(runs[0] / folder / "B01.tif", plane, ground, 60, shift=1000.0)
    write(runs[1] / folder / "B01.tif", plane, ground, 60, description=("B09",))
    (runs[2] / folder / "B01.tif").unlink()
    write(runs[3] / folder / "B01.tif", plane[:16, :16], ground, 60)
    samples = list(PredictionSource("copgen", tmp_path, 1000).draw([scene], experiment()))
    for sample, words in zip(samples, ("other ground", "says that it holds B09", "missing", "16 x 16"), strict=True):
        assert any(words in problem for problem in sample.problems), sample.problems
        assert "S2L2A_60m" not in sample.values
        assert "S2L2A_10m" in sample.values


def stacked_truth(scene) -> np.ndarray:
    """TerraMind's stack: all bands on 10 m, sensor order."""
    stack = dict(zip(L2A_BANDS, l2a_stack(scene.truths[0]), strict=True))
    return np.stack([stack[band] for band in STACKED["S2L2A"]]) * 10000


def test_terramind_stacks_come_back_on_native_grids(tmp_path, scene):
    path = tmp_path / "input_DEM_LULC_output_S2L2A_seed_6/generations" / f"{CELL}.tif"
    padded = np.pad(stacked_truth(scene), ((0, 0), (16, 16), (16, 16)))
    write(path, padded, scene.ground, 10)
    source = PredictionSource("terramind", tmp_path, 0)
    (published,) = PROTOCOLS["stochastic"].experiments(COPGEN, False)
    assert source.seeds(CELL, published) == (6,)  # it has no cloud mask, so it need not be given one
    (sample,) = source.draw([scene], published)
    assert not sample.problems
    for name in GROUPS:
        np.testing.assert_allclose(sample.values[name], scene.truths[0][name], atol=2e-6)


def test_a_stack_with_named_bands_is_read_by_name(tmp_path, scene):
    order = STACKED["S2L2A"][::-1]
    path = tmp_path / "input_DEM_LULC_output_S2L2A_seed_6/generations" / f"{CELL}.tif"
    write(path, stacked_truth(scene)[::-1], scene.ground, 10, description=order)
    (sample,) = PredictionSource("terramind", tmp_path, 0).draw([scene], experiment())
    np.testing.assert_allclose(l2a_stack(sample.values), l2a_stack(scene.truths[0]), atol=2e-6)
    assert any("taken by name" in problem for problem in sample.problems)


def test_a_stack_of_another_length_is_told(tmp_path, scene):
    path = tmp_path / "input_DEM_LULC_output_S2L2A_seed_6/generations" / f"{CELL}.tif"
    write(path, stacked_truth(scene)[:4], scene.ground, 10)
    (sample,) = PredictionSource("terramind", tmp_path, 0).draw([scene], experiment())
    assert not sample.values
    assert any("4 bands" in problem for problem in sample.problems)


def test_a_directory_without_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="no runs"):
        _ = PredictionSource("x", tmp_path, 0).runs


# the published benchmark


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Two cells, three images each, of the described layout; the value of a pixel tells where it is."""
    root = tmp_path_factory.mktemp("benchmark")
    (root / "metadata").mkdir()
    corner = {"ul_x": 600_000.0, "ul_y": 8_000_040.0, "crs": "EPSG:32733"}
    (root / "metadata/benchmark_grid.json").write_text(json.dumps({"1U_1R": corner, "2U_2R": corner}))
    pixels = (1000 + np.arange(1056)[:, None] + np.arange(1056)[None, :]).astype(np.uint16)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", dtype="uint16", count=1, height=1056, width=1056, crs="EPSG:32733",
            transform=from_origin(600_060.0, 8_000_000.0, 10, 10), compress="deflate",
        ) as dataset:  # fmt: skip
            dataset.write(pixels, 1)
        content = memory.read()
    for kind, samples in (("real", ["00", "01"]), ("copgen", ["seed_0", "seed_3", "seed_12"])):
        (root / kind / "data").mkdir(parents=True)
        rows = [(cell, sample) for cell in ("1U_1R", "2U_2R") for sample in samples]
        table = {"grid_cell": [r[0] for r in rows], "sample_id": [r[1] for r in rows], "date": [""] * len(rows)}
        table |= {band: [content] * len(rows) for band in L2A_BANDS}
        pyarrow.parquet.write_table(pyarrow.table(table), root / kind / "data" / "part.parquet")
    return root


def test_the_published_benchmark_is_cut_at_the_window(benchmark):
    assert is_benchmark(benchmark)
    bench = BenchmarkBench(Images(benchmark, "real", 1000))
    assert bench.names == ("1U_1R", "2U_2R")
    scene = bench.scene("1U_1R", 16)
    assert len(scene.truths) == 2
    stack = l2a_stack(scene.truths[0])
    # 4380 m from the older corner, which lies 60 m left of and 40 m above the newer tile's
    row, column = (4380 - 40) / 10, (4380 - 60) / 10
    assert stack.shape == (12, 192, 192)
    np.testing.assert_allclose(stack[:, 0, 0], (row + column) / 10000, atol=1e-6)
    source = BenchmarkSource("copgen", Images(benchmark, "copgen", 0))
    (published,) = PROTOCOLS["stochastic"].experiments(bench.modalities, False)
    assert source.seeds("1U_1R", published) == (0, 3, 12)
    samples = list(source.draw([scene], published))
    np.testing.assert_allclose(l2a_stack(samples[0].values) - stack, 0.1, atol=1e-6)
    assert source.seeds("1U_1R", PROTOCOLS["peak"].experiments(COPGEN, False)[0]) == ()
