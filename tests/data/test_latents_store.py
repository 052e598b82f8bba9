"""What is written is read back: by this package, by xarray, by zarr-python; and what does not fit is refused."""

import dataclasses
import json
import warnings

import numpy as np
import pytest
import xarray
import zarr
from latent_stores import DESCRIPTION, cell_names, contents, expected, make_store

from copgen_jax.data.latents import (
    MomentsReader,
    create_store,
    open_store,
    read_coordinates,
    read_grounds,
    require_latent_space,
    write_shard,
)
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, DEMO
from copgen_jax.rasters.ground import Ground

PRECISIONS = ("float16", "float32")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("latents") / "store"
    make_store(path)
    return open_store(path)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("packed", [False, True])
def test_rows_come_back_as_they_were_written(tmp_path, precision, packed):
    description = dataclasses.replace(DESCRIPTION, precision=precision, packed=packed)
    make_store(tmp_path / "store", description=description)
    store = open_store(tmp_path / "store")
    assert store.description == description
    rows = np.random.default_rng(1).permutation(store.layout("train").patches)[:200]
    names = tuple(m.name for m in description.modalities.images)
    truth, _ = expected(store, "train")
    read = MomentsReader(store=store, split="train", names=names).read(rows)
    for name in names:
        assert read[name].dtype == precision
        np.testing.assert_array_equal(read[name], truth[name][rows])
        alone = MomentsReader(store=store, split="train", names=(name,)).read(rows[:5])
        np.testing.assert_array_equal(alone[name], truth[name][rows[:5]])


def test_coordinates_come_back(store):
    coordinates = read_coordinates(store, "train")
    _, shards = expected(store, "train")
    known = ~np.isnan(np.concatenate([s.latitude for s in shards]))
    np.testing.assert_array_equal(coordinates.latitude, np.concatenate([s.latitude for s in shards]))
    np.testing.assert_array_equal(coordinates.longitude, np.concatenate([s.longitude for s in shards]))
    np.testing.assert_array_equal(coordinates.time, np.concatenate([s.time for s in shards]))
    names = store.description.modalities.names
    np.testing.assert_array_equal(coordinates.presence[:, names.index("location")], known)
    np.testing.assert_array_equal(coordinates.presence[:, names.index("timestamp")], ~np.isnat(coordinates.time))
    for name in shards[0].presence:
        truth = np.concatenate([s.presence[name] for s in shards])
        np.testing.assert_array_equal(coordinates.presence[:, names.index(name)], truth)
    assert 0 < coordinates.presence.mean() < 1
    assert store.cells("train") == cell_names(10)


def test_opens_in_plain_xarray(store):
    truth, shards = expected(store, "train")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xarray.open_zarr(store.path, group="train")
        tree = xarray.open_datatree(store.path, engine="zarr")
    assert set(tree.children) == {"train", "test"}
    assert dataset["DEM"].dims == ("patch", "y_4", "x_4", "moment")
    assert {"cell", "patch_index", "lat", "lon", "time", "epsg", "left", "top", "modality"} <= set(dataset.coords)
    np.testing.assert_array_equal(dataset["DEM"].values, truth["DEM"])
    np.testing.assert_array_equal(
        dataset["time"].values.astype("datetime64[D]"), np.concatenate([s.time for s in shards])
    )
    names = store.description.modalities.names
    assert tuple(dataset["modality"].values) == names
    dem = dataset["presence"].sel(modality="DEM").values
    np.testing.assert_array_equal(dem, np.concatenate([s.presence["DEM"] for s in shards]))
    row = store.layout("train").row(3, 17)
    assert (dataset["cell"].values[row], dataset["patch_index"].values[row]) == (cell_names(10)[3], 17)
    assert dataset["moment"].values[0] == "mean_0"
    assert dataset["moment"].values[-1] == "log_variance_7"


def test_opens_in_plain_zarr(store):
    truth, _ = expected(store, "test")
    group = zarr.open_group(store.path, mode="r")
    assert group.attrs["latent_space"] == DESCRIPTION.latent_space
    array = group["test/S2L2A_60m"]
    assert array.chunks == (1, 2, 2, 16)
    assert array.shards == (576, 2, 2, 16)
    np.testing.assert_array_equal(array[:], truth["S2L2A_60m"])


def test_an_absent_patch_takes_no_space(tmp_path):
    full = make_store(tmp_path / "full", cells={"train": cell_names(4)}, absent=0.0)
    half = make_store(tmp_path / "half", cells={"train": cell_names(4)}, absent=0.5)
    size = {s: sum(f.stat().st_size for f in (s.path / "train/DEM/c").rglob("*") if f.is_file()) for s in (full, half)}
    assert size[half] < 0.6 * size[full]


@pytest.mark.parametrize("modalities", [COPGEN, DEMO])
def test_frame_of_the_published_sets(tmp_path, modalities):
    description = dataclasses.replace(DESCRIPTION, modalities=modalities, patches_per_cell=36)
    store = create_store(tmp_path / "store", description, {"train": cell_names(17)})
    assert store.missing_shards("train") == (0, 1)
    dataset = xarray.open_zarr(store.path, group="train")
    for modality in modalities.images:
        side = modality.pixels // 8
        assert dataset[modality.name].shape == (17 * 36, side, side, 16)
        assert dataset[modality.name].dtype == np.float16
    assert open_store(store.path, incomplete=True).description == description


def test_unfinished_store_is_refused_unless_asked_for(tmp_path):
    store = create_store(tmp_path / "store", DESCRIPTION, {"train": cell_names(10)})
    write_shard(store, "train", 1, contents(store, "train", 1))
    with pytest.raises(InputError, match=r"train: 0, 2\b"):
        open_store(store.path)
    again = open_store(store.path, incomplete=True)
    assert again.missing_shards("train") == (0, 2)
    assert not read_coordinates(again, "train").presence[again.layout("train").rows_of(0)].any()


def test_newer_format_is_refused(tmp_path):
    store = make_store(tmp_path / "store", cells={"train": cell_names(1)})
    root = store.path / "zarr.json"
    document = json.loads(root.read_text())
    document["attributes"]["format_version"] = 2
    root.write_text(json.dumps(document))
    with pytest.raises(InputError, match="format version 2; this program reads up to version 1"):
        open_store(store.path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"attributes": {}}', "no latent store"),
        ('{"attributes": {"format": "copgen_jax latents", "format_version": 1}}', "damaged attributes"),
        ('{"attributes": {"format": "copgen_jax latents", "format_version": "1"}}', "format version 1"),
    ],
)
def test_foreign_and_damaged_metadata_are_refused(tmp_path, text, message):
    (tmp_path / "zarr.json").write_text(text)
    with pytest.raises(InputError, match=message):
        open_store(tmp_path)


def test_no_store_at_all_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no zarr\.json"):
        open_store(tmp_path / "nowhere")


def test_latents_of_another_model_are_refused(store):
    require_latent_space(store, DESCRIPTION.latent_space)
    with pytest.raises(InputError, match="made by other autoencoders"):
        require_latent_space(store, "b" * 64)


def test_unknown_split_is_refused(store):
    with pytest.raises(InputError, match="did you mean train"):
        store.layout("trian")


def test_float16_keeps_moments_to_a_two_thousandth():
    # Rounding to 11 bits: relative error at most 2^-11 down to 6e-5, where float16 becomes a fixed grid of 6e-8.
    values = np.random.default_rng(0).normal(scale=10, size=100_000).astype(np.float32)
    stored = values.astype(np.float16).astype(np.float32)
    assert np.all(np.abs(stored - values) <= np.maximum(np.abs(values) * 2.0**-11, 2.0**-25))


def test_grounds_come_back_where_they_have_a_code(tmp_path):
    store = create_store(tmp_path / "store", DESCRIPTION, {"train": cell_names(1)})
    grounds = [Ground("EPSG:32733", 6e5 + i, 4e6 - i, 960.0) for i in range(144)]
    grounds[3], grounds[5] = None, Ground("a CRS without a code", 0.0, 0.0, 960.0)
    write_shard(store, "train", 0, dataclasses.replace(contents(store, "train", 0), grounds=grounds))
    assert read_grounds(store, "train", [4, 3, 5, 2]) == [grounds[4], None, None, grounds[2]]
    make_store(tmp_path / "unknown")
    assert read_grounds(open_store(tmp_path / "unknown"), "train", [0]) == [None]
