"""What goes wrong while a store is written: kills, other writers, full disks, wrong contents."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from latent_stores import DESCRIPTION, cell_names, contents, make_store

from copgen_jax.data.latents import Shard, create_store, open_store, write_shard
from copgen_jax.errors import InputError
from copgen_jax.modalities import TINY

CELLS = {"train": cell_names(40)}


def fingerprint(path):
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and ".partial" not in file.name
    }


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from latent_stores import DESCRIPTION, cell_names, contents
from copgen_jax.data.latents import create_store, write_shard
store = create_store({path!r}, DESCRIPTION, {{"train": cell_names(40)}}, resume=True)
print("ready", flush=True)
for shard in store.missing_shards("train"):
    write_shard(store, "train", shard, contents(store, "train", shard))
print("done", flush=True)
"""


def test_killed_and_restarted_writers_leave_the_same_bytes(tmp_path):
    undisturbed = make_store(tmp_path / "undisturbed", cells=CELLS)
    code = WRITER.format(tests=str(Path(__file__).parents[1]), path=str(tmp_path / "killed"))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    rng = np.random.default_rng(0)
    kills = 0
    for attempt in range(20):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        if attempt < 4:
            time.sleep(rng.uniform(0.0, 0.04))
            writer.send_signal(signal.SIGKILL)
            kills += writer.wait() == -signal.SIGKILL
            store = open_store(tmp_path / "killed", incomplete=True)
            finished = set(range(10)) - set(store.missing_shards("train"))
            for shard in finished:
                assert_equal_shard(store, shard)
            continue
        assert writer.stdout.readline() == "done\n"
        assert writer.wait() == 0
        break
    assert kills
    assert open_store(tmp_path / "killed").complete
    assert fingerprint(tmp_path / "killed") == fingerprint(undisturbed.path)


def assert_equal_shard(store, shard):
    from copgen_jax.data.latents import MomentsReader

    truth = contents(store, "train", shard)
    rows = store.layout("train").rows_of(shard)
    read = MomentsReader(store=store, split="train", names=("DEM",)).read(rows)["DEM"]
    present = truth.presence["DEM"]
    np.testing.assert_array_equal(read[present], truth.moments["DEM"][present].astype(np.float16))
    assert np.isnan(read[~present]).all()


def test_two_writers_on_one_shard_do_no_harm(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    store = create_store(tmp_path / "store", DESCRIPTION, {"train": cell_names(4)})
    what = contents(store, "train", 0)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: write_shard(store, "train", 0, what), range(8)))
    assert fingerprint(store.path) == fingerprint(make_store(tmp_path / "one", cells={"train": cell_names(4)}).path)


def test_a_begun_store_is_continued_only_for_the_same_cells_and_model(tmp_path):
    path = tmp_path / "store"
    create_store(path, DESCRIPTION, CELLS)
    create_store(path, DESCRIPTION, CELLS, resume=True)
    with pytest.raises(InputError, match="exists already"):
        create_store(path, DESCRIPTION, CELLS)
    with pytest.raises(InputError, match="other latent space"):
        create_store(path, dataclasses.replace(DESCRIPTION, latent_space="b" * 64), CELLS, resume=True)
    with pytest.raises(InputError, match="other precision"):
        create_store(path, dataclasses.replace(DESCRIPTION, precision="float32"), CELLS, resume=True)
    other = dataclasses.replace(DESCRIPTION, modalities=TINY.subset(["DEM", "location"]))
    with pytest.raises(InputError, match="other modalities"):
        create_store(path, other, CELLS, resume=True)
    with pytest.raises(InputError, match="other cells"):
        create_store(path, DESCRIPTION, {"train": cell_names(40)[::-1]}, resume=True)
    with pytest.raises(InputError, match="other cells"):
        create_store(path, DESCRIPTION, {**CELLS, "test": ["x"]}, resume=True)
    fewer = create_store(path, DESCRIPTION, {"train": ["0U_0R"]}, overwrite=True)
    assert open_store(path, incomplete=True).layouts == fewer.layouts


def test_an_interrupted_frame_is_taken_over(tmp_path):
    whole = create_store(tmp_path / "whole", DESCRIPTION, CELLS)
    create_store(tmp_path / "store", DESCRIPTION, CELLS)
    (tmp_path / "store" / "zarr.json").unlink()
    (tmp_path / "store" / "train" / "DEM" / "zarr.json").unlink()
    with pytest.raises(InputError, match="interrupted"):
        open_store(tmp_path / "store")
    create_store(tmp_path / "store", DESCRIPTION, CELLS, resume=True)
    assert fingerprint(tmp_path / "store") == fingerprint(whole.path)


def test_only_latent_stores_are_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for options in ({}, {"resume": True}):
        with pytest.raises(InputError, match="exists already"):
            create_store(tmp_path, DESCRIPTION, CELLS, **options)
    with pytest.raises(InputError, match="no latent store"):
        create_store(tmp_path, DESCRIPTION, CELLS, overwrite=True)
    with pytest.raises(InputError, match="no latent store"):
        create_store(tmp_path / "thesis.tex", DESCRIPTION, CELLS, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({}, "hold none"),
        ({"train": []}, "0 cells"),
        ({"train": ["a", "b", "a"]}, "cell a appears twice"),
        ({"../up": ["a"]}, "no name for a split"),
    ],
)
def test_senseless_cells_are_refused(tmp_path, cells, message):
    with pytest.raises(InputError, match=message):
        create_store(tmp_path / "store", DESCRIPTION, cells)
    assert not (tmp_path / "store").exists()


def altered(shard: Shard, **changes) -> Shard:
    return dataclasses.replace(shard, **changes)


def test_contents_that_do_not_fit_are_refused(tmp_path):
    store = create_store(tmp_path / "store", DESCRIPTION, {"train": cell_names(4)})
    good = contents(store, "train", 0)
    dem = good.moments["DEM"]

    def refused(message, **changes):
        with pytest.raises(InputError, match=message):
            write_shard(store, "train", 0, altered(good, **changes))

    refused("have shape", moments={**good.moments, "DEM": dem[:, :2]})
    refused("have shape", moments={**good.moments, "DEM": dem[:-1]})
    refused("576 patches, but 575 values of latitude", latitude=good.latitude[:-1])
    refused("name different modalities", presence={"DEM": good.presence["DEM"]})
    present = int(np.flatnonzero(good.presence["DEM"])[0])
    absent = int(np.flatnonzero(~good.presence["DEM"])[0])
    for value, message in ((np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (70_000, "choose float32")):
        wrong = dem.copy()
        wrong[present, 0, 0, 0] = value
        refused(f"DEM in patch {present} of the shard are .*{message}", moments={**good.moments, "DEM": wrong})
    with pytest.raises(InputError, match="no shard 1"):
        write_shard(store, "train", 1, good)
    assert store.missing_shards("train") == (0,)
    ignored = dem.copy()
    ignored[absent] = np.nan
    write_shard(store, "train", 0, altered(good, moments={**good.moments, "DEM": ignored}))
    assert store.complete


def test_a_modality_left_out_is_absent(tmp_path):
    store = create_store(tmp_path / "store", DESCRIPTION, {"train": cell_names(1)})
    good = contents(store, "train", 0)
    without = altered(
        good,
        moments={"S2L2A_60m": good.moments["S2L2A_60m"]},
        presence={"S2L2A_60m": good.presence["S2L2A_60m"]},
    )
    write_shard(store, "train", 0, without)
    from copgen_jax.data.latents import MomentsReader, read_coordinates

    assert not read_coordinates(store, "train").presence[:, TINY.names.index("DEM")].any()
    assert np.isnan(MomentsReader(store=store, split="train", names=("DEM",)).read([0, 1])["DEM"]).all()


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from latent_stores import DESCRIPTION, cell_names, contents
from copgen_jax.data.latents import create_store, open_store, write_shard
from copgen_jax.errors import InputError
store = create_store({path!r}, DESCRIPTION, {{"train": cell_names(8)}})
write_shard(store, "train", 0, contents(store, "train", 0))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
try:
    write_shard(store, "train", 1, contents(store, "train", 1))
except InputError as error:
    print(error)
"""


def test_no_room_is_one_clear_sentence_and_finished_shards_stay(tmp_path):
    """A limit on the size of files stands in for a full disk: the write fails half way."""
    path = tmp_path / "store"
    code = FULL_DISK.format(tests=str(Path(__file__).parents[1]), path=str(path))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "cannot write shard 1 of train" in said.stdout, said
    assert "finished shards stay good" in said.stdout
    store = open_store(path, incomplete=True)
    assert store.missing_shards("train") == (1,)
    assert_equal_shard(store, 0)
    write_shard(store, "train", 1, contents(store, "train", 1))
    assert fingerprint(path) == fingerprint(make_store(tmp_path / "other", cells={"train": cell_names(8)}).path)
