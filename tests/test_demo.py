"""`copgen demo`: truthful, labelled, complete."""

import html
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import rasterio
import xarray as xr

from copgen_jax.cli import main
from copgen_jax.data.world.world import World
from copgen_jax.generate.demo import DRAWN_BY, SEASONS


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--out", str(out), "--members", "2", "--quiet"]) == 0
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
    assert "ships no trained model" in page
    links = Links()
    links.feed(page)
    assert len(links.targets) == 2 * len(SEASONS)
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
    truth = world.patch(29)
    truth.values["timestamp"] = np.datetime64(SEASONS[season], "D")
    draws = list(world.acquisitions(truth, 2, fixed=("timestamp",)))
    for member, draw in enumerate(draws):
        np.testing.assert_array_equal(stored.sel(member=member).values.transpose(1, 2, 0), draw["S1RTC"])


def test_the_record_is_json_and_an_existing_demo_is_kept(demo, capsys):
    assert main(["demo", "--out", str(demo), "--members", "2"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["demo", "--out", str(demo), "--members", "1", "--overwrite"]) == 2
    assert "two or more" in capsys.readouterr().err
    assert main(["demo", "--out", str(demo), "--members", "2", "--overwrite", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["drawn_by"] == DRAWN_BY
    assert all(value > 0 for value in record["narrowing"].values())
