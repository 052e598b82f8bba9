"""Damage of every kind is found and named; a sound store is said to be sound."""

import dataclasses
import json
import random
import shutil

import numpy as np
import pytest
import tensorstore
from latent_stores import DESCRIPTION, cell_names, contents, make_store

from copgen_jax.cli import main
from copgen_jax.data.latents import create_store, open_store, read_coordinates, write_shard
from copgen_jax.data.latents.documents import documents_of
from copgen_jax.data.latents.store import MomentsReader
from copgen_jax.data.latents.summary import places, summarise
from copgen_jax.data.latents.verify import verify
from copgen_jax.errors import InputError

CELLS = {"train": cell_names(5), "test": cell_names(1)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("latents") / "store"
    make_store(path, description=dataclasses.replace(DESCRIPTION, packed=True), cells=CELLS)
    return open_store(path)


@pytest.fixture
def copy(sound, tmp_path):
    shutil.copytree(sound.path, tmp_path / "store")
    return open_store(tmp_path / "store")


def test_a_sound_store_has_no_damage(sound):
    assert verify(sound) == []


def test_a_flipped_bit_is_found_in_whatever_file_it_is(copy):
    chance = random.Random(0)
    files = sorted(file for file in copy.path.rglob("*") if file.is_file() and file != copy.path / "zarr.json")
    assert len(files) > 40
    for file in files:
        good = file.read_bytes()
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        file.write_bytes(bad)
        found = verify(copy)
        assert found, file
        array = str(file.relative_to(copy.path)).removesuffix("/zarr.json").split("/c/")[0]
        assert array in {damage.where for damage in found}, (file, found)
        file.write_bytes(good)
    assert verify(copy) == []


def test_changed_root_metadata_are_found(copy):
    root = copy.path / "zarr.json"
    document = json.loads(root.read_text())
    document["attributes"]["s2_offset"] = 1000
    root.write_text(json.dumps(document))
    assert {damage.where for damage in verify(open_store(copy.path))} >= {"train", "test"}


def test_damage_is_pinned_to_the_patch_and_reading_it_is_refused(tmp_path):
    copy = make_store(tmp_path / "store", cells=CELLS)
    file = copy.path / "train/DEM/c/0/0/0/0"
    data = bytearray(file.read_bytes())
    data[40] ^= 4  # in the first chunk of the shard, that of the first patch that has a DEM
    file.write_bytes(data)
    first = int(np.flatnonzero(contents(copy, "train", 0).presence["DEM"])[0])
    (damage,) = verify(copy)
    assert (damage.where, damage.shard) == ("train/DEM", 0)
    assert damage.what == f"unreadable (checksum does not match); 1 patches, the first is number {first}"
    reader = MomentsReader(store=copy, split="train", names=("DEM",))
    with pytest.raises(InputError, match="is damaged; `copgen inspect"):
        reader.read([first])
    assert np.isfinite(reader.read([first + 1, first + 2])["DEM"]).any()


def test_missing_shards_are_found(copy):
    shutil.rmtree(copy.path / "train/presence/c/1")
    assert [(d.where, d.shard) for d in verify(copy)] == [("train", 1)]
    (copy.path / "test/DEM/c/0/0/0/0").unlink()
    assert [(d.where, d.shard) for d in verify(copy)] == [("train", 1), ("test/DEM", 0)]


def overwrite(store, array, row, value):
    spec = {"driver": "zarr3", "kvstore": f"file://{store.path}/{array}/"}
    opened = tensorstore.open(spec, open=True).result()
    opened[row].write(np.asarray(value, opened.dtype.numpy_dtype)).result()


def test_numbers_where_none_should_be_are_found(copy):
    presence = read_coordinates(copy, "test").presence[:, 1]
    overwrite(copy, "test/DEM", int(np.flatnonzero(presence)[0]), np.nan)
    (first, twin) = verify(copy)
    assert "1 patches are not finite" in first.what
    assert twin.where == "test/packed"
    overwrite(copy, "test/DEM", int(np.flatnonzero(~presence)[0]), 0.0)
    assert any("presence says absent" in damage.what for damage in verify(copy))


def test_every_document_is_written(sound):
    software = json.loads((sound.path / "zarr.json").read_text())["attributes"]["software"]
    documents = documents_of(sound.description, sound.layouts, software=software)
    on_disk = {str(file.relative_to(sound.path)) for file in sound.path.rglob("zarr.json")}
    assert on_disk == set(documents)


def test_summary_counts_what_is_there(sound):
    summary = summarise(sound, "train")
    coordinates = read_coordinates(sound, "train")
    assert summary.cells == 5
    assert summary.presence["DEM"] == coordinates.presence[:, 1].sum()
    assert summary.complete_patches == coordinates.presence.all(1).sum()
    assert summary.patches == coordinates.presence[:, 1:3].any(1).sum()
    south, west, north, east = summary.bounding_box
    assert -80 <= south < north <= 80
    assert -180 <= west < east <= 180
    moments = np.concatenate([contents(sound, "train", s).moments["DEM"][..., :8] for s in range(2)])
    present = np.concatenate([contents(sound, "train", s).presence["DEM"] for s in range(2)])
    histogram = summary.means["DEM"]
    assert sum(histogram.counts) == present.sum() * 4 * 4 * 8
    assert histogram.mean == pytest.approx(moments[present].mean(), abs=1e-3)
    assert histogram.standard_deviation == pytest.approx(moments[present].std(), abs=1e-3)


def test_places_lie_where_they_are(sound):
    coordinates = dataclasses.replace(
        read_coordinates(sound, "test"),
        latitude=np.array([89.9, -89.9, 0.1, np.nan]),
        longitude=np.array([-179.9, 179.9, 0.1, 5.0]),
    )
    counts = places(coordinates, rows=18, columns=36)
    assert np.argwhere(counts).tolist() == [[0, 0], [8, 18], [17, 35]]
    assert counts.sum() == 3


class TestCommand:
    def test_prints_counts_and_map(self, sound, capsys, tmp_path):
        assert main(["inspect", str(sound.path), "--verify", "--map", str(tmp_path / "map.png")]) == 0
        text = capsys.readouterr().out
        assert "patches of 5 cells in 2 shards" in text
        assert "every checksum matches" in text
        assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")

    def test_json(self, sound, capsys):
        assert main(["inspect", str(sound.path), "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert data["complete"] is True
        assert data["sound"] is None
        assert data["splits"]["test"]["cells"] == 1

    def test_damage_exits_2_and_is_listed(self, copy, capsys):
        (copy.path / "test/DEM/c/0/0/0/0").unlink()
        assert main(["inspect", str(copy.path), "--verify", "--json"]) == 2
        said = capsys.readouterr()
        assert json.loads(said.out)["damage"][0]["where"] == "test/DEM"
        assert "is damaged in 1 places" in said.err

    def test_an_unfinished_store_is_shown(self, tmp_path, capsys):
        store = create_store(tmp_path / "store", DESCRIPTION, CELLS)
        assert main(["inspect", str(store.path)]) == 0
        write_shard(store, "train", 0, contents(store, "train", 0))
        assert main(["inspect", str(store.path)]) == 0
        assert "1 of them missing" in capsys.readouterr().out

    def test_pictures_need_a_model(self, sound, capsys):
        assert main(["inspect", str(sound.path), "--picture", "x.png"]) == 2
        assert "belong together" in capsys.readouterr().err
