"""`copgen generate` as a command: plans, repeats, and one sentence for every kind of wrong input."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from affine import Affine
from random_models import write_random_model

from copgen_jax.cli import main
from copgen_jax.config import preset, to_json

LEFT, TOP = 600000.0, 5300040.0


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A directory with a configuration of all twelve modalities: enough for all that happens before loading."""
    path = tmp_path_factory.mktemp("described")
    (path / "config.json").write_text(to_json(preset("demo")))
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_random_model(tmp_path_factory.mktemp("models") / "tiny", preset("tiny"))


@pytest.fixture
def make(tmp_path):
    """make(name, values, pixel=10, ...) writes a GeoTIFF with its corner at (LEFT, TOP)."""

    def write(name, values, pixel=10.0, crs="EPSG:32633", driver="GTiff", left=LEFT, descriptions=(), nodata=None):
        values = np.asarray(values)
        values = values[None] if values.ndim == 2 else values
        path = tmp_path / name
        profile = {"driver": driver, "count": len(values), "dtype": values.dtype, "crs": crs, "nodata": nodata}
        transform = Affine(pixel, 0, left, 0, -pixel, TOP)
        with rasterio.open(
            path, "w", width=values.shape[2], height=values.shape[1], transform=transform, **profile
        ) as raster:
            raster.write(values)
            for i, text in enumerate(descriptions, 1):
                raster.set_band_description(i, text)
        return path

    return write


def heights(side=32):
    return np.random.default_rng(0).uniform(5, 500, (side, side)).astype(np.float32)


def s2(bands, side=96):
    return np.random.default_rng(1).integers(200, 4000, (bands, side, side)).astype(np.uint16)


WRONG = {
    "an unknown product": (lambda make: [f"DEMM={make('d.tif', heights(), 30)}"], "did you mean DEM"),
    "an unknown band": (
        lambda make: [f"S1RTC={make('s.tif', np.ones((2, 96, 96), np.float32), descriptions=('VV', 'HH'))}"],
        "VH",
    ),
    "pixels of another size": (lambda make: [f"DEM={make('d.tif', heights(64), 15)}"], "15 m"),
    "another CRS": (
        lambda make: [
            f"DEM={make('d.tif', heights(), 30)}",
            f"LULC={make('l.tif', np.full((96, 96), 11, np.uint8), crs='EPSG:32634')}",
        ],
        "EPSG:32634",
    ),
    "another ground": (
        lambda make: [
            f"DEM={make('d.tif', heights(), 30)}",
            f"LULC={make('l.tif', np.full((96, 96), 11, np.uint8), left=LEFT + 960)}",
        ],
        "l.tif",
    ),
    "a geographic CRS": (lambda make: [f"DEM={make('d.tif', heights(), 30, crs='EPSG:4326')}"], "4326"),
    "too small a raster": (lambda make: [f"DEM={make('d.tif', heights(16), 30)}"], "d.tif"),
    "nothing but nodata": (
        lambda make: [f"DEM={make('d.tif', np.full((32, 32), -9999, np.float32), 30, nodata=-9999)}"],
        "data",
    ),
    "a land-cover code that does not exist": (
        lambda make: [f"LULC={make('l.tif', np.asarray([[3, 11]] * 48 * 96, np.uint8).reshape(96, 96))}"],
        "3",
    ),
    "land cover that may be codes or indices": (
        lambda make: [f"LULC={make('l.tif', np.asarray([[2, 4]] * 48 * 96, np.uint8).reshape(96, 96))}"],
        "LULC=index",
    ),
    "decibels given as linear power": (
        lambda make: [f"S1RTC={make('s.tif', np.full((2, 96, 96), -12.0, np.float32))}"],
        "dB",
    ),
    "no statement of the offset": (lambda make: [f"S2L2A={make('s.tif', s2(12))}"], "--s2-offset S2L2A=1000"),
    "a raster of another driver": (
        lambda make: [f"DEM={make('d.png', heights().astype(np.uint8), 30, driver='PNG')}"],
        "d.png",
    ),
    "a virtual path": (lambda make: ["DEM=/vsizip/a.zip/d.tif"], "/vsizip"),
    "a network path": (lambda make: ["DEM=https://example.org/d.tif"], "https://example.org"),
    "a file that is not there": (lambda make: ["DEM=nowhere.tif"], "nowhere.tif"),
    "the same modality given and wanted": (
        lambda make: [
            f"S2L2A_10m={make('s.tif', s2(4), descriptions=('B04', 'B03', 'B02', 'B08'))}",
            "--s2-offset=1000",
        ],
        "both given and wanted",
    ),
    "a word without value": (lambda make: ["DEM"], "expected KEY=VALUE"),
    "an impossible place": (lambda make: ["location=91,0"], "91"),
    "an impossible date": (lambda make: ["timestamp=2023-02-30"], "2023-02-30"),
}  # fmt: skip


def one_sentence(capsys):
    error = capsys.readouterr().err
    assert error.startswith("copgen: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_sentence_and_nothing_is_written(case, described, make, tmp_path, capsys):
    given, expected = WRONG[case]
    out = tmp_path / "out"
    code = main(["generate", "--model", str(described), "--want", "S2L2A", "--out", str(out), "--given", *given(make)])
    assert code == 2
    assert expected in one_sentence(capsys)
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--want", "snow"], "unknown product"),
        ([], "nothing is wanted"),
        (["--want", "S2L2A", "--window", "960,0"], "window"),
        (["--want", "S2L2A", "--window", "here"], "ROW,COLUMN"),
        (["--want", "S2L2A", "--members", "0"], "0 members"),
        (["--want", "S2L2A", "--batch-size", "many"], "--batch-size"),
        (["--want", "S2L2A", "--s2-offset", "S2L2A=high"], "--s2-offset"),
        (["--want", "S2L2A", "--units", "DEM=feet"], "feet"),
        (["--want", "S2L2A", "--solver", "euler"], "euler"),
        (["--want", "S2L2A", "--places", "nowhere.csv"], "--places"),
    ],
)
def test_wrong_options_are_one_sentence(options, expected, described, make, tmp_path, capsys):
    given = f"DEM={make('d.tif', heights(), 30)}"
    out = tmp_path / "out"
    assert main(["generate", "--model", str(described), "--given", given, "--out", str(out), *options]) == 2
    assert expected in one_sentence(capsys)
    assert not out.exists()


@pytest.mark.parametrize("model", ["nowhere", "{described}"])
def test_a_model_that_is_not_whole_is_one_sentence(model, described, make, tmp_path, capsys):
    """No directory at all; a configuration without parameters."""
    model = model.format(described=described)
    given = f"DEM={make('d.tif', heights(), 30)}"
    command = ["generate", "--model", model, "--given", given, "--want", "S2L2A", "--out", str(tmp_path / "out")]
    assert main([*command, "--quiet"]) == 2
    assert model in one_sentence(capsys)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_prints_the_plan_and_writes_nothing(described, make, tmp_path, capsys):
    command = ["generate", "--model", str(described), "--given", f"DEM={make('d.tif', heights(), 30)}"]
    command += ["--want", "S2L2A", "--members", "4", "--out", str(tmp_path / "out"), "--dry-run"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "1 patch of 960 m, 4 members each" in text
    assert "unit m (default)" in text
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["request"]["members"] == 4
    assert not (tmp_path / "out").exists()


def test_a_run_can_be_repeated_from_its_record(tiny, make, tmp_path, capsys):
    given = f"DEM={make('d.tif', heights(), 30)}"
    first, second = tmp_path / "first", tmp_path / "second"
    command = ["generate", "--model", str(tiny), "--given", given, "location=auto", "--want", "S2L2A", "--seed", "11"]
    assert main([*command, "--members", "2", "--evaluations", "2", "--out", str(first)]) == 0
    assert main(["generate", "--again", str(first / "run.json"), "--out", str(second)]) == 0
    images = {p.relative_to(first): p.read_bytes() for p in first.rglob("*.tif")}
    assert len(images) > 2
    assert images == {p.relative_to(second): p.read_bytes() for p in second.rglob("*.tif")}
    capsys.readouterr()
    assert main([*command, "--out", str(first)]) == 2
    assert "--overwrite or --resume" in one_sentence(capsys)
    (first / "run.json").write_text("{}")
    assert main(["generate", "--again", str(first / "run.json"), "--out", str(tmp_path / "third")]) == 2
    assert "no run.json" in one_sentence(capsys)


def test_help_starts_fast():
    """No array library is imported for it."""
    started = time.perf_counter()
    code = "import sys; from copgen_jax.cli import main; main(['--help']); assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert time.perf_counter() - started < 2.0
    for command in ("generate", "convert"):
        done = subprocess.run(
            [sys.executable, "-m", "copgen_jax.cli", command, "--help"], check=True, capture_output=True, text=True
        )
        assert "--out" in done.stdout
