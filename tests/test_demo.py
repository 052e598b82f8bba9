"""`copgen demo`: truthful, labelled, complete."""

import html
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import rasterio
import xarray as xr
from random_models import random_model

from copgen_jax.cli import main
from copgen_jax.cli.demo import PLACE
from copgen_jax.data.world.world import World
from copgen_jax.generate.demo import REVERSE, SEASONS, reverse_errors
from copgen_jax.generate.drawers import Simulator
from copgen_jax.modalities import DEMO
from copgen_jax.rasters.samples import build_samples

DRAWN_BY = Simulator.name
BY_SIMULATOR = ("demo", "--model", "simulator")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    assert main([*BY_SIMULATOR, "--out", str(out), "--members", "2", "--quiet"]) == 0
    return out


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.targets = []

    def handle_starttag(self, tag, attrs):
        self.targets += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_says_who_drew_and_its_links_resolve(demo):
    page = (demo / "index.html").read_text()
    assert DRAWN_BY in html.unescape(page)
    assert "No model drew these" in page
    links = Links()
    links.feed(page)
    assert len(links.targets) == 3 * len(SEASONS)
    assert all((demo / target).is_file() for target in links.targets)


@pytest.mark.parametrize("season", SEASONS)
def test_files_hold_the_draws_of_the_simulator(demo, season):
    """The stored member equals the world's own redraw with the date held."""
    tree = xr.open_datatree(demo / season / "samples.zarr", engine="zarr")
    stored = tree["S1RTC"]["S1RTC"]
    assert stored.sizes["member"] == 2
    assert DRAWN_BY in stored.attrs["drawn_by"]
    with rasterio.open(demo / season / "S2L2A_10m" / "S2L2A_10m_member_001.tif") as raster:
        assert raster.tags()["synthetic"] == "true"
        assert DRAWN_BY in raster.tags()["drawn_by"]
        reflectance = raster.read(1) * raster.scales[0]
    assert -0.2 < np.median(reflectance) < 1.2
    world = World(0)
    truth = world.patch(PLACE)
    truth.values["timestamp"] = np.datetime64(SEASONS[season], "D")
    draws = list(world.acquisitions(truth, 2, fixed=("timestamp",)))
    for member, draw in enumerate(draws):
        np.testing.assert_array_equal(stored.sel(member=member).values.transpose(1, 2, 0), draw["S1RTC"])


def test_seasons_can_be_chosen(tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*BY_SIMULATOR, "--dates", "15.7.2023", "--out", str(out)]) == 2
    assert "'15.7.2023'; expected days such as 2023-07-15" in capsys.readouterr().err
    assert not out.exists()
    assert main([*BY_SIMULATOR, "--dates", "2022-04-01", "--members", "2", "--out", str(out), "--quiet"]) == 0
    assert {path.name for path in out.iterdir()} == {"index.html", "2022-04-01", "2022-04-01.png"}
    tree = xr.open_datatree(out / "2022-04-01" / "samples.zarr", engine="zarr")
    assert str(tree["S1RTC"]["S1RTC"].coords["time"].values)[:10] == "2022-04-01"


def test_the_record_is_json_and_an_existing_demo_is_kept(demo, capsys):
    assert main([*BY_SIMULATOR, "--out", str(demo), "--members", "2"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*BY_SIMULATOR, "--out", str(demo), "--members", "1", "--overwrite"]) == 2
    assert "two or more" in capsys.readouterr().err
    assert main([*BY_SIMULATOR, "--out", str(demo), "--members", "2", "--overwrite", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["drawn_by"] == DRAWN_BY
    (narrowing,) = record["narrowing"].values()
    assert list(narrowing) == ["+ land cover", "+ date", "+ clouds"]
    assert all(value > 0 for value in narrowing.values())
    assert record["reverse"] is None


def test_a_model_draws_beside_the_simulator_and_the_other_way_round(tmp_path, capsys):
    """Random weights: what is drawn means nothing, who drew what is said everywhere."""
    model = random_model(tmp_path / "model", DEMO)
    out = tmp_path / "out"
    assert main(["demo", "--model", str(model), "--out", str(out), "--members", "2", "--quiet", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    by_model, by_simulator = record["narrowing"].values()
    assert len(by_model) == 6
    assert len(by_simulator) == 3
    assert set(record["reverse"]) >= {"class_error", "relief_rmse"}
    links = Links()
    links.feed((out / "index.html").read_text())
    shown = {f"{name}.png" for name in (REVERSE, *SEASONS)}
    assert {target.split("/")[0] for target in links.targets} == {
        *shown,
        *SEASONS,
        *(f"{s}-simulator" for s in SEASONS),
    }
    assert all((out / target).is_file() for target in links.targets)
    with rasterio.open(out / "july" / "S2L2A_10m" / "S2L2A_10m_member_001.tif") as raster:
        assert raster.shape == (96, 96)
        assert raster.tags()["model"] == "model"
        assert "drawn_by" not in raster.tags()
    with rasterio.open(out / "july-simulator" / "S2L2A_10m" / "S2L2A_10m_member_001.tif") as raster:
        assert DRAWN_BY in raster.tags()["drawn_by"]
    small = random_model(tmp_path / "small", DEMO.subset(["DEM", "LULC"]))
    assert main(["demo", "--model", str(small), "--out", str(tmp_path / "b")]) == 2
    assert "has no location" in capsys.readouterr().err


def test_errors_of_the_reverse_direction():
    """Truth drawn: no error. Truth lifted by 5 m and one class of four wrong: both are seen, relief is not."""
    truth = World(0, DEMO.subset(["location", "DEM", "LULC"])).place(29)
    height, codes = truth["DEM"][..., 0], truth["LULC"][..., 0]

    def drawn(heights, codes):
        arrays = {"DEM": np.stack(heights)[..., None], "LULC": np.stack(codes)[..., None]}
        members = range(len(heights))
        return build_samples(arrays, modalities=DEMO, ground=None, members=members, provenance={})

    exact = reverse_errors(drawn([height], [codes]), truth)
    assert exact["height_rmse"] == exact["relief_rmse"] == exact["class_error"] == 0
    assert exact["flat_rmse"] == pytest.approx(height.std(), rel=1e-5)
    wrong = codes.copy()
    wrong[::2, ::2] = 99
    moved = reverse_errors(drawn([height, height + 5], [codes, wrong]), truth)
    assert moved["height_rmse"] == pytest.approx(5 / np.sqrt(2), rel=1e-4)
    assert moved["relief_rmse"] == pytest.approx(0, abs=1e-3)
    assert moved["class_error"] == pytest.approx(1 / 8)
