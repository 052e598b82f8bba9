"""Encoding: against the networks called directly, in shares, with gaps in the data, from every kind of source."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from encode_data import CELLS, CONFIG, contents, random_model, write_cells
from majortom_files import cell_directory

from copgen_jax.checkpoints import load_hashes, load_model
from copgen_jax.cli import main
from copgen_jax.data.latents import open_store, read_coordinates, read_grounds
from copgen_jax.data.latents.verify import verify
from copgen_jax.data.majortom import Split, cut, open_data, tally
from copgen_jax.data.world import World
from copgen_jax.encode import EncodeOptions, Task, encode, load_encoder, make_plan, open_source
from copgen_jax.encode.pace import Pace
from copgen_jax.errors import InputError
from copgen_jax.model import Model

TILES = Path(__file__).parents[2] / "shared" / "tiles"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def encoder(model):
    return load_encoder(model, CONFIG.modalities.subset(["DEM", "S2L2A"]), batch_size=144)


def plan_of(data, model, **options):
    source = data if hasattr(data, "read") else open_data(data, modalities=CONFIG.modalities)
    latent_space = load_hashes(model).latent_space
    return make_plan(source, CONFIG, latent_space=latent_space, options=EncodeOptions(**options))


@pytest.fixture(scope="module")
def encoded(data, model, encoder, tmp_path_factory):
    plan = plan_of(data, model, precision="float32", split=Split(test_share=0.3))
    return encode(plan, encoder, tmp_path_factory.mktemp("stores") / "whole")


def moments_of(store, split):
    with xr.open_zarr(store.path, group=split) as opened:
        return opened.load()


def test_moments_are_those_of_the_networks_called_directly(data, model, encoded):
    config, params = load_model(model)
    autoencode = jax.jit(Model(config, params).encode)
    source = open_data(data, modalities=config.modalities)
    for split in encoded.store.layouts:
        stored = moments_of(encoded.store, split)
        for number, cell in enumerate(encoded.store.cells(split)):
            patches = list(cut(source.read(cell), config.modalities))
            values = [patch.network_values(config.modalities, s2_offset=config.s2_offset) for patch in patches]
            images = {m.name: np.stack([v[m.name] for v in values]) for m in config.modalities.images}
            rows = slice(144 * number, 144 * (number + 1))
            for name, moments in autoencode(images).items():
                np.testing.assert_allclose(stored[name][rows], moments, rtol=1e-4, atol=1e-4)
            assert stored.cell[rows].values.tolist() == [cell] * 144
            np.testing.assert_allclose(stored.lat[rows], [patch.place[0] for patch in patches])
            assert read_grounds(encoded.store, split, range(rows.start, rows.stop)) == [p.ground for p in patches]
            assert (stored.time[rows].values == np.datetime64(patches[0].date, "ns")).all()


def test_the_store_opens_in_xarray_says_whose_it_is_and_is_whole(encoded, model, data):
    store = encoded.store
    assert store.complete
    assert verify(store) == []
    assert store.description.latent_space == load_hashes(model).latent_space
    assert sorted(cell for split in store.layouts for cell in store.cells(split)) == sorted(CELLS)
    assert all(Split(test_share=0.3).of(cell) == split for split in store.layouts for cell in store.cells(split))
    stored = moments_of(store, "train")
    assert stored.DEM.dims == ("patch", "y_4", "x_4", "moment")
    assert stored.presence.all()
    assert set(stored.coords) >= {"lat", "lon", "time", "cell", "patch_index"}


def test_half_precision_rounds_the_same_moments(data, model, encoder, encoded, tmp_path):
    half = encode(plan_of(data, model, split=Split(test_share=0.3)), encoder, tmp_path / "half").store
    whole, rounded = moments_of(encoded.store, "train"), moments_of(half, "train")
    np.testing.assert_array_equal(whole.DEM.values.astype(np.float16), rounded.DEM.values)


def test_other_batches_give_the_same_moments_up_to_rounding(data, model, encoded, tmp_path):
    encoder = load_encoder(model, CONFIG.modalities.subset(["DEM", "S2L2A"]), batch_size=33)
    assert encoder.batch_size == 40, "rounded up to fill eight devices"
    plan = plan_of(data, model, precision="float32", split=Split(test_share=0.3))
    other = moments_of(encode(plan, encoder, tmp_path / "store").store, "test")
    np.testing.assert_allclose(other.S2L2A_60m, moments_of(encoded.store, "test").S2L2A_60m, rtol=1e-4, atol=1e-4)


def test_tasks_write_what_one_process_writes(data, model, encoder, encoded, tmp_path):
    plan = plan_of(data, model, precision="float32", split=Split(test_share=0.3))
    shares = [encode(plan, encoder, tmp_path / "store", task=Task(index=i, count=2)) for i in (1, 0)]
    assert sum(share.standing.shards for share in shares) == encoded.standing.shards
    assert min(share.standing.shards for share in shares) > 0
    assert contents(tmp_path / "store") == contents(encoded.store.path)


def test_tasks_together_do_every_piece_once():
    for count in (1, 2, 3, 7):
        shares = [Task(index=i, count=count).share(range(5)) for i in range(count)]
        assert sorted(piece for share in shares for piece in share) == list(range(5))
    with pytest.raises(InputError, match="counted from 0"):
        Task(index=3, count=3)


@pytest.fixture
def patchy(tmp_path):
    """Five cells: the first without terrain, the second with half a file, the third whole, ..."""
    root = write_cells(tmp_path / "patchy", CELLS[:5])
    shutil.rmtree(cell_directory(root, CELLS[0], "DEM").parent)
    band = cell_directory(root, CELLS[1], "S2L2A") / "B09.tif"
    band.write_bytes(band.read_bytes()[:2000])
    return root


def test_gaps_are_told_counted_and_masked_and_the_rest_is_as_ever(patchy, model, encoder, encoded, tmp_path):
    result = encode(plan_of(patchy, model, precision="float32", split=Split(test_share=0)), encoder, tmp_path / "out")
    assert tally(result.issues) == {"missing": 1, "broken": 1}
    store = result.store
    presence = read_coordinates(store, "train").presence.reshape(5, 144, 4)
    columns = dict(zip(store.description.modalities.names, presence.all(axis=1).T.tolist(), strict=True))
    assert columns["DEM"] == [False, True, True, True, True]
    assert columns["S2L2A_60m"] == [True, False, True, True, True]
    assert verify(store) == []
    gaps, whole = (
        moments_of(store, "train"),
        xr.concat([moments_of(encoded.store, s) for s in ("train", "test")], "patch"),
    )
    for name, cell in (("S2L2A_60m", CELLS[0]), ("DEM", CELLS[1]), ("DEM", CELLS[4])):
        here, there = (s[name].values[s.cell.values == cell] for s in (gaps, whole))
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-4)


def test_the_intersection_keeps_whole_patches_only(patchy, model, encoder, tmp_path):
    result = encode(plan_of(patchy, model, intersection=True, split=Split(test_share=0)), encoder, tmp_path / "out")
    assert result.not_whole == 2 * 144
    presence = read_coordinates(result.store, "train").presence.reshape(5, 144, 4)
    assert presence[2:].all()
    assert not presence[:2, :, 1:3].any()


def test_moments_that_do_not_fit_are_left_out_and_told(data, model, tmp_path):
    encoder = load_encoder(model, CONFIG.modalities.subset(["DEM", "S2L2A"]))
    encoder.params["DEM"] = jax.tree.map(lambda x: x * 1e20, encoder.params["DEM"])
    result = encode(plan_of(data, model, split=Split(test_share=0)), encoder, tmp_path / "out")
    assert tally(result.issues) == {"no data": len(CELLS) * 144}
    assert "too large for float16" in result.issues[-1].reason
    presence = read_coordinates(result.store, "train").presence
    assert not presence[:, 1].any()
    assert presence[:, 2].all()


@pytest.mark.skipif(not TILES.is_dir(), reason="the aligned tiles are not here")
def test_aligned_tiles(model, encoder, tmp_path):
    stated = {"S2L2A": 0, "433D_629L_3_1/S2L2A": 1000}
    source = open_data(TILES, modalities=CONFIG.modalities, s2_offset=stated)
    store = encode(plan_of(source, model, split=Split(test_share=0)), encoder, tmp_path / "out").store
    assert store.description.patches_per_cell == 4
    assert list(store.cells("train")) == list(source.names)
    stored = moments_of(store, "train")
    assert stored.presence.sel(modality=["location", "DEM", "S2L2A_60m"]).all()
    assert verify(store) == []


def test_a_world_without_files_is_the_simulated_one():
    modalities = CONFIG.modalities
    source = open_source("world:3:2", modalities)
    cell = source.read(source.names[0])
    drawn = World(3, modalities).cell(source.names[0])
    for modality in modalities.images:
        np.testing.assert_array_equal(cell.rasters[modality.name], drawn[modality.name])
    assert cell.date == drawn["timestamp"].astype("datetime64[D]")
    assert len(list(cut(cell, modalities))) == 144
    with pytest.raises(InputError, match="world of no cells"):
        open_source("world:3:0", modalities)


def test_single_patches_of_a_world_are_its_own_and_lie_on_their_cells_side_of_the_split():
    modalities = CONFIG.modalities
    source = open_source("world:3:5:patches", modalities)
    cells = {name.rpartition("_")[0] for name in source.names}
    assert len(cells) == len(source.names) == 5
    dates = set()
    for name in source.names[:2]:
        cell, _, index = name.rpartition("_")
        drawn = World(3, modalities).at(cell, int(index))
        (patch,) = cut(source.read(name), modalities)
        for modality in modalities.images:
            np.testing.assert_array_equal(patch.images[modality.name], drawn[modality.name])
        assert patch.place == pytest.approx(drawn["location"], abs=1e-3)
        assert patch.date == drawn["timestamp"].astype("datetime64[D]")
        assert Split().of(name) == Split().of(cell)
        dates.add(patch.date)
    assert len(dates) == 2
    with pytest.raises(InputError, match="world of no cells"):
        open_source("world:3:0:patches", modalities)


def test_a_model_that_cannot_encode_the_data_is_refused(data, model):
    source = open_data(data, modalities=CONFIG.modalities)
    for config, latent_space in ((dataclasses.replace(CONFIG, autoencoders={}), "a"), (CONFIG, None)):
        with pytest.raises(InputError, match="no autoencoders"):
            make_plan(source, config, latent_space=latent_space)


def test_pace_counts_devices_as_busy_once(monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 10.0])
    monkeypatch.setattr("copgen_jax.encode.pace.time.perf_counter", lambda: next(clock))
    pace = Pace(4)
    with pace.during("read"):
        pass
    pace.device_was_busy(1.0, 4.0)
    pace.device_was_busy(2.0, 5.0)
    pace.shards, pace.megapixels = 2, 30.0
    standing = pace.standing()
    assert standing.idle_share == pytest.approx(0.6)
    assert standing.waits["read"] == pytest.approx(0.2)
    assert standing.megapixels_per_second == pytest.approx(3.0)
    assert standing.seconds_left == pytest.approx(10.0)
    assert "shard 2/4: 0 patches, 3 MPix/s, 0:00:10 left" in str(standing)


def run(capsys, *arguments):
    code = main([*map(str, arguments)])
    return code, capsys.readouterr()


def test_command_says_figures_and_goes_on(data, model, tmp_path, capsys):
    base = ("encode", "--data", data, "--model", model, "--out", tmp_path / "out", "--test-share", "0")
    code, said = run(capsys, *base, "--dry-run", "--json")
    assert code == 0
    assert json.loads(said.out)["patches"] == len(CELLS) * 144
    assert not (tmp_path / "out").exists()
    code, said = run(capsys, *base, "--s2-offset", "1000", f"{CELLS[0]}=0", "--task", "0/2", "--json")
    figures = json.loads(said.out)
    assert (code, figures["complete"], figures["shards"]) == (0, False, 2)
    assert figures["megapixels_per_second"] > 0
    assert 0 <= figures["idle_share"] < 1
    assert set(figures["waits"]) == {"read", "convert", "encode", "write"}
    code, said = run(capsys, *base)
    assert (code, said.err.count("--resume")) == (2, 1)
    code, said = run(capsys, *base, "--resume")
    assert code == 0
    assert "shard 1/1" in said.out
    assert open_store(tmp_path / "out").complete


def test_processes_of_a_jax_job_take_their_shares(data, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    shards = []
    for process in range(2):
        monkeypatch.setenv("JAX_PROCESS_ID", str(process))
        code, said = run(capsys, "encode", "--data", data, "--model", model, "--out", tmp_path / "out", "--json")
        assert code == 0
        shards.append(json.loads(said.out)["shards"])
    assert min(shards) > 0
    assert open_store(tmp_path / "out").complete


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--task", "2/2"], "counted from 0"),
        (["--task", "first"], "expected I/N"),
        (["--task", "0/2", "--overwrite"], "delete the store first"),
        (["--batch-size", "0"], "expected 1 or more"),
        (["--threads", "0"], "expected 1 or more"),
        (["--s2-offset", "S2L2A=much"], "whole number"),
        (["--s2-offset", "0", "1000"], "whole number"),
        (["--data", "nowhere"], "does not exist"),
        (["--model", "nowhere"], "no such directory"),
        (["--split-list", "nowhere.txt"], "nowhere.txt"),
        (["--test-share", "2"], "expected 0 to 1"),
    ],
)
def test_wrong_input_is_one_sentence(data, model, tmp_path, capsys, change, sentence):
    arguments = ["encode", "--data", data, "--model", model, "--out", tmp_path / "out", *change]
    code, said = run(capsys, *arguments)
    assert code == 2
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
