"""What is left when the disk fills up or the process dies: whole files or none, and a run that can go on."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio
import xarray as xr
from drawn_samples import GROUNDS, PROVENANCE, draw_samples

from copgen_jax.errors import InputError
from copgen_jax.modalities import DEMO
from copgen_jax.rasters.outputs.layout import layout
from copgen_jax.rasters.outputs.write import OutputOptions, open_outputs

FEW = DEMO.subset(["DEM", "LULC"])
OPTIONS = OutputOptions(cog=True, zarr=True, statistics=False, pictures=False)
PLACE = {
    "place": "somewhere",
    "modalities": FEW,
    "ground": GROUNDS["zone 33 north"],
    "provenance": PROVENANCE,
    "options": OPTIONS,
}
PATHS = str(Path(__file__).parents[1]) + os.pathsep + str(Path(__file__).parents[2])


def write_members(out, members, **more):
    with open_outputs(out, **{**PLACE, **more}) as outputs:
        for member in members:
            outputs.write(draw_samples(FEW, members=[member]))


def check_whole(out):
    """Every file under a final name opens and holds what its member has."""
    paths = layout(out, "somewhere")
    for path in paths.directory.glob("*/[!.]*.tif"):  # what a killed process was writing has another name
        with rasterio.open(path) as dataset:
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            name, member = path.stem.split("_member_")
            expected = draw_samples(FEW, members=[int(member)])[name].values[0]
            assert (dataset.read() == expected).all()
    if paths.samples.exists():
        tree = xr.open_datatree(paths.samples, engine="zarr")
        assert tree["DEM/DEM"].notnull().all()


def run_script(script, *arguments, before=()):
    environment = {**os.environ, "PYTHONPATH": PATHS}
    return subprocess.Popen([*before, sys.executable, "-c", script, *map(str, arguments)], env=environment)


@pytest.mark.parametrize("fails", ["write_bytes", "write_text", "fsync"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path, monkeypatch, fails):
    write_members(tmp_path, [0])
    write_bytes = Path.write_bytes

    def full(path, data, *arguments, **more):
        write_bytes(path, (data if isinstance(data, bytes) else data.encode())[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_at_flush(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(*((os, fails, full_at_flush) if fails == "fsync" else (Path, fails, full)))
        with pytest.raises(InputError, match=r"cannot write .*: the disk is full"):
            write_members(tmp_path, [1], resume=True)
    check_whole(tmp_path)
    assert not list(tmp_path.rglob(".partial-*"))
    with open_outputs(tmp_path, **PLACE, resume=True) as outputs:
        assert outputs.complete == {0}
        outputs.write(draw_samples(FEW, members=[1, 2]))
    check_whole(tmp_path)
    stored = xr.open_datatree(layout(tmp_path, "somewhere").samples, engine="zarr")["LULC/LULC"]
    assert stored.member.values.tolist() == [0, 1, 2]
    assert (stored.values == draw_samples(FEW, members=[0, 1, 2])["LULC"].values).all()


@pytest.mark.parametrize("fails", ["LULC/LULC", "DEM/member", "LULC/member"])
@pytest.mark.parametrize("row_is_made", [False, True], ids=["before", "half-way"])
def test_a_store_that_fails_keeps_its_complete_members(tmp_path, monkeypatch, fails, row_is_made):
    """An array cannot be written, or is left with a row and nothing in it: what was new is cut off again."""
    from copgen_jax.rasters.outputs import zarrstore

    write_members(tmp_path, [0, 1])
    extend = zarrstore._extend

    def fail(array, start, values):
        if array.path == fails:
            if row_is_made:
                array.resize((start + len(values), *array.shape[1:]))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        extend(array, start, values)

    with monkeypatch.context() as patch:
        patch.setattr(zarrstore, "_extend", fail)
        with pytest.raises(InputError, match="the disk is full"):
            write_members(tmp_path, [2], resume=True)
    stored = xr.open_datatree(layout(tmp_path, "somewhere").samples, engine="zarr")
    for name in ("DEM", "LULC"):
        assert stored[f"{name}/{name}"].member.values.tolist() == [0, 1]
        assert (stored[f"{name}/{name}"].values == draw_samples(FEW, members=[0, 1])[name].values).all()
    write_members(tmp_path, [2], resume=True)
    stored = xr.open_datatree(layout(tmp_path, "somewhere").samples, engine="zarr")
    assert stored["LULC/LULC"].member.values.tolist() == [0, 1, 2]


def test_a_killed_run_goes_on(tmp_path):
    script = (
        "import sys; sys.path[:0] = [sys.argv[2]]\n"
        "from test_write_faults import write_members\n"
        "import itertools\n"
        "write_members(sys.argv[1], itertools.count())\n"
    )
    process = run_script(script, tmp_path, Path(__file__).parent)
    paths = layout(tmp_path, "somewhere")
    third = paths.member("LULC", 3)
    try:
        for _ in range(1200):
            if third.exists() or process.poll() is not None:
                break
            with_timeout(process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert third.exists()
    assert not paths.samples.exists()
    check_whole(tmp_path)
    with open_outputs(tmp_path, **PLACE, resume=True) as outputs:
        assert {0, 1} <= outputs.complete
        members = sorted(outputs.complete)
        outputs.write(draw_samples(FEW, members=[1000]))
    check_whole(tmp_path)
    stored = xr.open_datatree(paths.samples, engine="zarr")["LULC/LULC"]
    assert set(stored.member.values.tolist()) >= {*members, 1000}
    assert (stored.sel(member=members).values == draw_samples(FEW, members=members)["LULC"].values).all()


def with_timeout(process):
    """Wait a moment, or until the process ends."""
    try:
        process.wait(timeout=0.05)
    except subprocess.TimeoutExpired:
        return


def test_a_disk_that_is_really_full(tmp_path):
    """On a file system of 400 kB, where the system allows to mount one."""
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    probe = f"mount -t tmpfs -o size=400k tmpfs {tmp_path}"
    if not shutil.which("unshare") or subprocess.run([*mount, probe], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    script = (
        "import sys; sys.path[:0] = [sys.argv[2]]\n"
        "from test_write_faults import check_whole, write_members\n"
        "from copgen_jax.errors import InputError\n"
        "import pathlib\n"
        "try:\n"
        "    write_members(sys.argv[1], range(1000))\n"
        "except InputError as error:\n"
        "    assert 'the disk is full' in str(error), error\n"
        "    check_whole(sys.argv[1])\n"
        "    sys.exit(0 if list(pathlib.Path(sys.argv[1]).rglob('*.tif')) else 3)\n"
        "sys.exit(4)\n"
    )
    process = run_script(script, tmp_path, Path(__file__).parent, before=[*mount, f'{probe} && exec "$@"', "sh"])
    assert process.wait(timeout=120) == 0
