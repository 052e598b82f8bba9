"""Given rasters in, georeferenced samples out: placement, reproducibility, runs that go on."""

import dataclasses
import itertools
import json
import threading

import jax
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from random_models import write_random_model

import copgen_jax as cg
from copgen_jax.config import preset
from copgen_jax.errors import InputError
from copgen_jax.generate.request import Request
from copgen_jax.generate.writing import write_places
from copgen_jax.memory import MemoryEstimate, choose_batch
from copgen_jax.rasters.given.reading import read_given
from copgen_jax.rasters.outputs.write import OutputOptions

CONFIG = preset("tiny")
UTM = {"north": ("EPSG:32633", 399960.0, 5000040.0), "south": ("EPSG:32718", 699960.0, 5890240.0)}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return write_random_model(tmp_path_factory.mktemp("models") / "tiny", CONFIG)


@pytest.fixture(scope="session")
def generator(model):
    return cg.load(model)


def write_dem(path, zone="north", patches=1, seed=0):
    """A DEM at 30 m of patches x patches patches of 960 m."""
    crs, left, top = UTM[zone]
    side = 32 * patches
    heights = np.random.default_rng(seed).uniform(10, 900, (side, side)).astype(np.float32)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "float32", "crs": crs}
    with rasterio.open(path, "w", **profile, transform=Affine(30, 0, left, 0, -30, top)) as raster:
        raster.write(heights, 1)
    return path


@pytest.mark.parametrize("zone", UTM)
def test_outputs_lie_exactly_on_the_ground_of_what_is_given(generator, tmp_path, zone):
    dem = write_dem(tmp_path / "dem.tif", zone)
    out = generator.generate({"DEM": dem}, ["S2L2A", "location", "timestamp"], members=3, evaluations=2)
    assert set(out) == {"S2L2A_60m", "location", "timestamp"}
    samples = out["S2L2A_60m"]
    assert samples.dims == ("member", "band", "y", "x")
    assert samples.shape == (3, 2, 16, 16)
    assert list(samples.band.values) == ["B01", "B09"]
    crs, left, top = UTM[zone]
    np.testing.assert_allclose([samples.x[0], samples.y[0]], [left + 30, top - 30])
    np.testing.assert_allclose([samples.x[-1], samples.y[-1]], [left + 960 - 30, top - 960 + 30])
    assert rasterio.crs.CRS.from_wkt(samples.spatial_ref.attrs["crs_wkt"]) == rasterio.crs.CRS.from_string(crs)
    assert out["location"].shape == (3, 2)
    assert out["timestamp"].dtype.kind == "M"
    assert np.isfinite(samples).all()


def test_members_are_the_same_alone_in_any_batch_and_differ_from_each_other(generator, tmp_path):
    dem = write_dem(tmp_path / "dem.tif")
    options = {"given": {"DEM": dem}, "want": ["S2L2A"], "evaluations": 2, "seed": 3}
    many = generator.generate(**options, members=10, batch_size=8)["S2L2A_60m"].values
    few = generator.generate(**options, members=2, batch_size=16)["S2L2A_60m"].values
    np.testing.assert_allclose(many[:2], few, rtol=1e-5, atol=1e-6)
    assert not np.allclose(many[0], many[1])
    other_seed = generator.generate(**{**options, "seed": 4}, members=1)["S2L2A_60m"].values
    assert not np.allclose(other_seed[0], many[0])


def test_what_else_is_wanted_does_not_change_a_member(generator, tmp_path):
    dem = write_dem(tmp_path / "dem.tif")
    alone = generator.generate({"DEM": dem}, ["S2L2A"], evaluations=2)["S2L2A_60m"].values
    with_others = generator.generate({"DEM": dem}, ["S2L2A", "timestamp"], evaluations=2)["S2L2A_60m"].values
    np.testing.assert_allclose(alone, with_others, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("posterior", ["fresh", "shared", "mode"])
def test_given_images_enter_as_asked(generator, tmp_path, posterior):
    request = Request(want=("S2L2A",), members=2, posterior=posterior, evaluations=1).settled(CONFIG)
    place = read_given({"DEM": write_dem(tmp_path / "dem.tif")}, CONFIG.modalities)[0]
    condition = generator._condition(0, place, request)
    latents = np.asarray(generator._draw([(condition, 0), (condition, 1)], request, 8)["DEM"])
    assert np.array_equal(latents[0], latents[1]) == (posterior != "fresh")
    if posterior == "mode":
        mean = condition.moments["DEM"][..., :8] * CONFIG.modalities["DEM"].scale_factor
        np.testing.assert_allclose(latents[0], mean, rtol=1e-6)


def test_arrays_without_georeference_have_no_crs(generator):
    heights = np.random.default_rng(0).uniform(0, 100, (1, 32, 32)).astype(np.float32)
    out = generator.generate({"DEM": heights, "location": (48.1, 11.6)}, ["S2L2A"], evaluations=1)
    assert "spatial_ref" not in out["S2L2A_60m"].coords
    assert out["S2L2A_60m"].shape == (1, 2, 16, 16)


def test_samples_say_what_they_are(generator, tmp_path):
    out = generator.generate({"DEM": write_dem(tmp_path / "dem.tif")}, ["S2L2A"], seed=5, evaluations=1)
    attributes = out["S2L2A_60m"].attrs
    assert attributes["synthetic"] == "true"
    assert attributes["model_hash"] == generator.hashes.backbone
    assert attributes["seed"] == 5
    assert json.loads(attributes["conditions"]) == ["DEM"]
    assert set(out.to_datatree().children) == {"S2L2A_60m"}


def run(generator, dem, out, *, members=2, window="all", options=None, **more):
    request = Request(want=("S2L2A",), members=members, evaluations=1).settled(CONFIG)
    places = [(None, read_given({"DEM": dem}, CONFIG.modalities, window=window))]
    return write_places(generator, places, request, out, inputs={}, options=options, **more)


def test_every_patch_of_a_raster_is_written_where_it_lies(generator, tmp_path):
    dem = write_dem(tmp_path / "dem.tif", "south", patches=2)
    record = run(generator, dem, tmp_path / "out", batch_size=8)
    assert len(record["places"]) == 4
    crs, left, top = UTM["south"]
    corners = set()
    for place in record["places"]:
        path = tmp_path / "out" / place["folder"] / "S2L2A_60m" / "S2L2A_60m_member_001.tif"
        with rasterio.open(path) as raster:
            assert raster.crs == rasterio.crs.CRS.from_string(crs)
            assert raster.res == (60, 60)
            assert raster.descriptions == ("B01", "B09")
            assert raster.tags()["synthetic"] == "true"
            corners.add((raster.bounds.left, raster.bounds.top))
    assert corners == {(left + 960 * i, top - 960 * j) for i in (0, 1) for j in (0, 1)}


def files(directory):
    return {p.relative_to(directory): p.read_bytes() for p in directory.rglob("*.tif")}


def test_a_run_goes_on_where_it_stopped_and_gives_the_same_files(generator, tmp_path):
    dem = write_dem(tmp_path / "dem.tif")
    options = OutputOptions(zarr=True, pictures=False, statistics=False)
    run(generator, dem, tmp_path / "whole", members=4, options=options)
    run(generator, dem, tmp_path / "part", members=2, options=options)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "part").rglob("*_member_000.tif")}
    run(generator, dem, tmp_path / "part", members=4, options=options, resume=True)
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())
    assert files(tmp_path / "part") == files(tmp_path / "whole")
    folder = next(p for p in (tmp_path / "part").iterdir() if p.is_dir())
    tree = xr.open_datatree(folder / "samples.zarr", engine="zarr")
    assert sorted(tree["S2L2A_60m"].member.values) == [0, 1, 2, 3]


def test_a_failing_disk_leaves_complete_members_only(generator, tmp_path, monkeypatch):
    from copgen_jax.rasters.outputs import write

    dem = write_dem(tmp_path / "dem.tif", patches=2)
    original, calls = write.write_image, []

    def fails_later(*args):
        calls.append(1)
        if len(calls) > 5:
            raise InputError("the disk is full")
        original(*args)

    monkeypatch.setattr(write, "write_image", fails_later)
    with pytest.raises(InputError, match="disk is full"):
        run(generator, dem, tmp_path / "out", members=2)
    monkeypatch.undo()
    assert not (tmp_path / "out" / "run.json").exists()
    assert not list((tmp_path / "out").rglob(".partial-*"))
    run(generator, dem, tmp_path / "out", members=2, resume=True)
    run(generator, dem, tmp_path / "again", members=2)
    assert files(tmp_path / "out") == files(tmp_path / "again")


def test_the_next_samples_are_drawn_while_files_are_written(generator, tmp_path, monkeypatch):
    from copgen_jax.rasters.outputs import write

    draws, drawn_twice = itertools.count(1), threading.Event()
    draw, write_image = type(generator)._draw, write.write_image

    def draws_and_tells(*args):
        if next(draws) == 2:
            drawn_twice.set()
        return draw(*args)

    def waits_and_writes(*args):
        assert drawn_twice.wait(60)
        write_image(*args)

    monkeypatch.setattr(type(generator), "_draw", draws_and_tells)
    monkeypatch.setattr(write, "write_image", waits_and_writes)
    members = 2 * jax.local_device_count()
    run(generator, write_dem(tmp_path / "dem.tif"), tmp_path / "out", members=members, batch_size=1)
    assert next(draws) == 3


def test_what_was_drawn_before_an_error_is_written(generator, tmp_path, monkeypatch):
    dem = write_dem(tmp_path / "dem.tif", patches=2)
    draws, draw = itertools.count(1), type(generator)._draw

    def fails_later(*args):
        if next(draws) > 3:
            raise InputError("a place cannot be read")
        return draw(*args)

    monkeypatch.setattr(type(generator), "_draw", fails_later)
    members = jax.local_device_count()
    with pytest.raises(InputError, match="cannot be read"):
        run(generator, dem, tmp_path / "out", members=members, batch_size=1)
    monkeypatch.undo()
    written = [path.name for path in files(tmp_path / "out") if "_member_" in path.name]
    assert len(written) == 3 * members
    run(generator, dem, tmp_path / "out", members=members, batch_size=1, resume=True)
    run(generator, dem, tmp_path / "whole", members=members, batch_size=1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_an_existing_output_is_kept_unless_told_otherwise(generator, tmp_path):
    dem = write_dem(tmp_path / "dem.tif")
    run(generator, dem, tmp_path / "out")
    with pytest.raises(InputError, match="--overwrite or --resume"):
        run(generator, dem, tmp_path / "out")
    run(generator, dem, tmp_path / "out", overwrite=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"want": ("S2L2A", "snow")}, "unknown product or modality 'snow'"),
        ({"want": ()}, "nothing is wanted"),
        ({"members": 0}, "0 members"),
        ({"seed": -1}, "seed is -1"),
        ({"solver": "euler"}, "unknown solver"),
        ({"evaluations": 0}, "at least one"),
        ({"posterior": "median"}, "unknown posterior"),
        ({"unasked": "none"}, "expected joint or marginal"),
        ({"guidance_scale": float("nan")}, "guidance scale"),
    ],
)
def test_impossible_wishes_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(Request(want=("S2L2A",)), **changes).settled(CONFIG)


def test_the_batch_follows_memory_items_and_devices():
    estimate = MemoryEstimate(parameters=0, per_sample=10**9, available=10**10)
    assert choose_batch(estimate, items=1, asked="auto") == 8
    assert choose_batch(estimate, items=1000, asked="auto") == 4 * 8
    assert choose_batch(estimate, items=1000, asked=3) == 8
    with pytest.raises(InputError, match="does not fit"):
        choose_batch(dataclasses.replace(estimate, available=10**9), items=1, asked="auto")
    with pytest.raises(InputError, match="batch size is 0"):
        choose_batch(estimate, items=1, asked=0)
