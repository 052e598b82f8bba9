"""docs/tutorial.md: what it tells a newcomer to type is typed here, in its order, in an empty directory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from processes import ROOT, environment

TUTORIAL = ROOT / "docs" / "tutorial.md"
BY_HAND = re.compile(r"<!-- (?!end)[^>]*-->.*?<!-- end -->", re.DOTALL)
"""Blocks that install, need files from elsewhere or take hours; each says which."""
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where everything was typed."""
    place = tmp_path_factory.mktemp("tutorial")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    typed = environment(place / "cache") | {"PATH": path}
    blocks = BLOCK.findall(BY_HAND.sub("", TUTORIAL.read_text()))
    assert [language for language, _ in blocks] == ["sh", "sh", "python", "python"]
    for language, text in blocks:
        command = ["bash", "-euc", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=place, env=typed, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
    return place


def test_the_map_lies_where_the_patch_was(place):
    """Corner of the cell's height model, 144 pixels down and 240 to the right; an index with spread."""
    with rasterio.open(next(place.glob("world/Core-DEM/*/*/id/DEM.tif"))) as dem:
        left, top = dem.bounds.left, dem.bounds.top
    with rasterio.open(place / "ndvi.tif") as drawn:
        assert tuple(drawn.bounds) == (left + 2400, top - 1440 - 960, left + 2400 + 960, top - 1440)
        mean, spread = drawn.read()
    assert np.isfinite(mean).all()
    assert (np.abs(mean) < 1).all()
    assert spread.mean() > 0


def test_the_pictures_it_names_are_there(place):
    assert (place / "images/july/quicklooks/contact_sheet.png").stat().st_size > 10_000
    assert len(list((place / "images/july/S2L2A_10m").glob("S2L2A_10m_member_*.tif"))) == 8
