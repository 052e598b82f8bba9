"""Cells of the world on the disk: read by the readers of real data, georeferenced, resumed, refused."""

import json

import numpy as np
import pytest
import rasterio
from pyarrow import parquet

from copgen_jax.cli import main
from copgen_jax.data.majortom import cut, open_data
from copgen_jax.data.world import World
from copgen_jax.data.world.files import Cells
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("world") / "cells"
    assert main(["simulate", "--cells", "1", "--out", str(root), "--seed", "4", "--workers", "1", "--quiet"]) == 0
    return root


@pytest.fixture(scope="module")
def name():
    return World(4).cells(1)[0]


def test_the_readers_of_real_data_read_it(root, name):
    source = open_data(root)
    assert source.names == (name,)
    observation = source.read(name)
    assert observation.issues == ()
    assert observation.s2_offsets == {"S2L2A": 1000, "S2L1C": 1000}
    patches = list(cut(observation, COPGEN))
    assert len(patches) == 36
    truth = World(4).at(name, 8)
    assert patches[8].ground == truth.ground
    assert patches[8].date == truth["timestamp"]
    # the grid's equal parts, as the published model is told, are near where the pixels are
    np.testing.assert_allclose(patches[8].place[0], truth["location"][0], atol=0.02)
    assert (patches[8].images["LULC"] == truth["LULC"]).mean() > 0.97
    median = [np.median(source["S2L2A_10m"].astype(float)) for source in (patches[8].images, truth)]
    assert median[0] == pytest.approx(median[1], rel=0.05)


def test_parquet_files_hold_the_same(root, name, tmp_path):
    arguments = ["simulate", "--cells", "1", "--out", str(tmp_path), "--seed", "4", "--workers", "1"]
    assert main([*arguments, "--format", "parquet", "--quiet"]) == 0
    assert not any("Core-LULC" not in str(path) for path in tmp_path.rglob("*.tif"))
    extracted, packed = (open_data(path).read(name) for path in (root, tmp_path))
    assert packed.issues == ()
    assert packed.rasters.keys() == extracted.rasters.keys()
    for key, values in extracted.rasters.items():
        np.testing.assert_array_equal(packed.rasters[key], values)
    for field in ("cell", "ground", "date", "s2_offsets"):
        assert getattr(packed, field) == getattr(extracted, field)
    listed = parquet.read_table(tmp_path / "Core-S2L2A" / "metadata.parquet").to_pylist()
    truth = World(4).cell(name, ("cloud_mask",))["cloud_mask"]
    assert [row["grid_cell"] for row in listed] == [name]
    assert listed[0]["cloud_cover"] == pytest.approx(100 * np.isin(truth, (1, 2)).mean())
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()}
    (tmp_path / "Core-DEM" / "images" / "part_00001.parquet").unlink()
    assert main([*arguments, "--format", "parquet", "--quiet", "--resume"]) == 0
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()} == before
    assert main([*arguments, "--resume"]) == 2


def test_every_file_says_that_it_is_synthetic_and_where_it_lies(root, name):
    files = sorted(root.rglob("*.tif"))
    assert len(files) == 12 + 14 + 2 + 1 + 1
    ground = World(4).at(name, 0).ground
    for file in files:
        with rasterio.open(file) as source:
            tags = source.tags()
            assert (tags["synthetic"], tags["seed"], tags["cell"]) == ("true", "4", name)
            assert str(source.crs) == ground.crs
            assert (source.transform.c, source.transform.f) == (ground.left, ground.top)
            assert source.width * source.transform.a == 10680.0
            if "S2L" in str(file) and file.stem != "cloud_mask":
                assert (source.scales[0], source.offsets[0]) == (1e-4, -0.1)
    assert json.loads((root / "world.json").read_text())["synthetic"] is True


def test_an_interrupted_run_is_completed_to_the_same_files(root, name):
    before = {p: p.read_bytes() for p in root.rglob("*.tif")}
    stamps = {p: p.stat().st_mtime_ns for p in before}
    lost = [p for p in before if "Core-S1RTC" in str(p)]
    for path in lost:
        path.unlink()
    lost[0].parent.rmdir()
    assert main(["simulate", "--cells", "1", "--out", str(root), "--seed", "4", "--resume", "--workers", "1"]) == 0
    assert {p: p.read_bytes() for p in root.rglob("*.tif")} == before
    assert all(p.stat().st_mtime_ns == stamps[p] for p in before if p not in lost)


def test_nothing_is_drawn_for_a_complete_cell(root, name, monkeypatch):
    cells = Cells(root, World(4), (name,))
    assert cells.missing(name) == ()
    monkeypatch.setattr(Cells, "_bands", None)
    cells.write(name)


def test_a_plan_writes_nothing(tmp_path, capsys):
    out = tmp_path / "none"
    assert main(["simulate", "--cells", "7", "--out", str(out), "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["cells"], plan["patches"]) == (7, 252)
    assert plan["dry_run"]
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "4"], "not empty"),
        (["--seed", "5", "--resume"], "seed 4, not 5"),
        (["--seed", "4", "--resume", "--overwrite"], "pass one of them"),
        (["--seed", "4", "--resume", "--workers", "0"], "--workers is 0"),
    ],
)
def test_other_directories_are_refused(root, capsys, arguments, message):
    assert main(["simulate", "--cells", "1", "--out", str(root), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("count", "message"), [("0", "at least 1"), ("1000000000", "too many")])
def test_impossible_counts_are_refused(tmp_path, capsys, count, message):
    assert main(["simulate", "--cells", count, "--out", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err


def test_resuming_in_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    for options in ({"resume": True, "overwrite": False}, {"resume": False, "overwrite": True}):
        with pytest.raises(InputError, match=r"no world\.json"):
            Cells(tmp_path, World(0), ()).start(**options)
    with pytest.raises(InputError, match="is a file"):
        Cells(tmp_path / "holiday.jpg", World(0), ()).start(resume=True, overwrite=False)
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        Cells(tmp_path, World(0), ()).start(resume=True, overwrite=False)


def test_cells_of_another_world_do_not_stay_behind(tmp_path):
    Cells(tmp_path, World(0), ()).start(resume=False, overwrite=False)
    (tmp_path / "Core-DEM").mkdir()
    Cells(tmp_path, World(0), ()).start(resume=False, overwrite=True)
    assert (tmp_path / "Core-DEM").is_dir()
    Cells(tmp_path, World(1), ()).start(resume=False, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["world.json"]
