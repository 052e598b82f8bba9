"""The main job on real input: `copgen generate` at the true base size on the aligned Copernicus tiles.

The weights are the recipe's, so what is drawn is nonsense of the right shape; the test is about everything around it.
Run with 50 evaluations by hand: COPGEN_EVALUATIONS=50 pytest tests/test_main_job.py.
"""

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest
import rasterio
import xarray as xr
from golden_vectors import load_json, present, recipe
from processes import COMMAND, environment
from random_models import random_model
from rasterio.warp import transform_bounds

from copgen_jax.checkpoints import autoencoder_params, backbone_params, save_model
from copgen_jax.config import preset
from copgen_jax.modalities import COPGEN
from copgen_jax.model import build_autoencoder, build_backbone

TILES = Path(__file__).resolve().parents[2] / "shared" / "tiles"
OFFSETS = {"433D_629L_3_1": 1000, "38D_378R_2_3": 0, "637U_59R_1_3": 0}
"""DN of zero reflectance, as the tiles' README says; the files do not."""
EVALUATIONS = os.environ.get("COPGEN_EVALUATIONS", "2")
SEED = 7

pytestmark = [
    pytest.mark.skipif(not TILES.is_dir(), reason="the aligned tiles are not beside the repository (../shared/tiles)"),
    pytest.mark.skipif(not present("vae/models.json"), reason="no published manifests"),
]


@pytest.fixture(scope="module")
def base_model(tmp_path_factory):
    """A model directory of the base size with the autoencoders that the test needs."""
    names = ["DEM", "LULC", "S2L2A_60m", "S2L2A_10m", "S2L2A_20m"]
    config = preset("base")
    config = dataclasses.replace(config, autoencoders={name: config.autoencoders[name] for name in names})

    def backbone():
        return backbone_params(
            recipe.state_dict(load_json("backbone/manifest_base.json"), SEED), build_backbone(config)
        )

    def autoencoder(name):
        manifest = load_json(f"vae/manifest_{config.modalities[name].published_key}.json")
        return lambda: autoencoder_params(recipe.state_dict(manifest, SEED), build_autoencoder(config, name))

    path = tmp_path_factory.mktemp("model") / "base"
    save_model(path, config, {"backbone": backbone, "autoencoders": {name: autoencoder(name) for name in names}})
    return path


@pytest.fixture(scope="module")
def copgen(tmp_path_factory):
    """Run the command as a user does: in a process of its own, on one device."""
    variables = environment(tmp_path_factory.mktemp("cache"))

    def run(*arguments):
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=900, check=False)

    return run


def tile(product, name):
    return TILES / product / f"{name}.tif"


def test_all_tiles_from_a_table_of_places(copgen, base_model, tmp_path):
    """DEM, land cover (indices), place and date given; the three tiles lie in three zones, two hemispheres."""
    table = tmp_path / "places.csv"
    rows = [f"{name},{tile('DEM', name)},{tile('LULC', name)},auto,2020-06-10" for name in OFFSETS]
    table.write_text("\n".join(["name,DEM,LULC,location,timestamp", *rows]) + "\n")
    out = tmp_path / "out"
    done = copgen(
        "generate", "--model", base_model, "--places", table, "--units", "LULC=index", "--want", "S2L2A",
        "--evaluations", EVALUATIONS, "--out", out, "--format", "cog", "zarr", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [place["folder"] for place in record["places"]] == list(OFFSETS)
    assert json.loads((out / "run.json").read_text())["request"]["seed"] == 0
    for name in OFFSETS:
        with rasterio.open(tile("DEM", name)) as dem:
            crs, left, top = dem.crs, dem.bounds.left, dem.bounds.top
        for modality, size, bands in (("S2L2A_10m", 10, 4), ("S2L2A_20m", 20, 6), ("S2L2A_60m", 60, 2)):
            with rasterio.open(out / name / modality / f"{modality}_member_000.tif") as raster:
                assert raster.crs == crs
                assert raster.res == (size, size)
                assert raster.count == bands
                assert tuple(raster.bounds) == (left, top - 1920, left + 1920, top)
                assert raster.tags()["synthetic"] == "true"
                assert raster.read(1).std() > 0
        tree = xr.open_datatree(out / name / "samples.zarr", engine="zarr")
        assert set(tree.children) == {"S2L2A_10m", "S2L2A_20m", "S2L2A_60m"}
        item = json.loads((out / name / "item.json").read_text())
        expected = transform_bounds(crs, "EPSG:4326", left, top - 1920, left + 1920, top)
        assert item["bbox"] == pytest.approx(expected, abs=1e-3)
        assert (out / name / "quicklooks" / "contact_sheet.png").stat().st_size > 10_000


def test_the_offset_of_a_tile_must_be_stated_and_then_counts(copgen, tmp_path):
    """L1C to L2A of the tile whose DNs carry +1000; radar is refused as linear power because it is in dB.

    With tiny networks of all twelve modalities on the published grids.
    """
    name = "433D_629L_3_1"
    model = random_model(tmp_path / "model", COPGEN)
    common = ["generate", "--model", model, "--want", "S2L2A", "--evaluations", EVALUATIONS, "--no-pictures"]
    silent = copgen(*common, "--given", f"S2L1C={tile('S2L1C', name)}", "--out", tmp_path / "a")
    assert silent.returncode == 2
    assert "--s2-offset S2L1C=1000" in silent.stderr
    assert silent.stderr.count("\n") == 1
    radar = copgen(*common, "--given", f"S1RTC={tile('S1RTC', name)}", "--out", tmp_path / "a")
    assert radar.returncode == 2
    assert "dB" in radar.stderr
    done = copgen(
        *common, "--given", f"S2L1C={tile('S2L1C', name)}", "--s2-offset", f"S2L1C={OFFSETS[name]}",
        "--members", 2, "--name", name, "--out", tmp_path / "a",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a" / name / "S2L2A_10m" / "S2L2A_10m_standard_deviation.tif").exists()
