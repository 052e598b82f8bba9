"""Exports: rasters against the networks called directly, tables and geometries read by others' rules."""

import dataclasses
import json
import shutil
import struct

import jax
import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
import rasterio
import xarray as xr
from encode_data import CELLS, CONFIG, random_model, write_cells
from hypothesis import given, settings
from hypothesis import strategies as st
from majortom_files import cell_directory

from copgen_jax import units
from copgen_jax.checkpoints import load_hashes, load_model
from copgen_jax.cli import main
from copgen_jax.data.latents import MomentsReader, open_store, read_coordinates, read_grounds
from copgen_jax.data.latents.verify import verify
from copgen_jax.data.majortom import Split, open_data
from copgen_jax.encode import EncodeOptions, encode, load_encoder, make_plan
from copgen_jax.errors import InputError
from copgen_jax.export import choose, export, load_decoder
from copgen_jax.export.index import bounds, wkb
from copgen_jax.model import Model

HERE = CELLS[:3]
"""The first without terrain."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def store(model, tmp_path_factory):
    root = write_cells(tmp_path_factory.mktemp("cells"), HERE)
    shutil.rmtree(cell_directory(root, HERE[0], "DEM").parent)
    source = open_data(root, modalities=CONFIG.modalities)
    options = EncodeOptions(split=Split(test_cells=frozenset(HERE[2:])))
    plan = make_plan(source, CONFIG, latent_space=load_hashes(model).latent_space, options=options)
    encoder = load_encoder(model, plan.images, batch_size=144)
    return encode(plan, encoder, tmp_path_factory.mktemp("stores") / "store").store


@pytest.fixture(scope="module")
def decoder(model, store):
    return load_decoder(model, store)


@pytest.fixture(scope="module")
def chosen(store):
    return choose(store, patches=9)


@pytest.fixture(scope="module")
def exported(chosen, decoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "all"
    export(chosen, out, decoder=decoder, cog=True, zarr=True, latents=True)
    return out


@pytest.fixture(scope="module")
def truth(store, model, chosen):
    """Physical values (n, H, W, bands) of the chosen patches: the modes, decoded by the model itself."""
    config, params = load_model(model)
    physical = []
    for part in chosen:
        moments = MomentsReader(store=store, split=part.split, names=part.names).read(part.rows)
        latents = {
            name: np.nan_to_num(v[..., : v.shape[-1] // 2].astype(np.float32)) * config.modalities[name].scale_factor
            for name, v in moments.items()
        }
        images = jax.jit(Model(config, params).decode)(latents)
        values = {name: units.to_physical(config.modalities[name], np.asarray(v)) for name, v in images.items()}
        values["S2L2A_60m"] = values["S2L2A_60m"] / 10000
        physical.append(values)
    return {name: np.concatenate([values[name] for values in physical]) for name in physical[0]}


def test_cogs_are_decoded_modes_on_the_ground_of_the_patch(exported, chosen, truth, store):
    number = 0
    for part in chosen:
        grounds = read_grounds(store, part.split, part.rows)
        for i, patch in enumerate(part.patches):
            for name, resolution, tolerance in (("DEM", 30, 1e-3), ("S2L2A_60m", 60, 6e-5)):
                path = exported / patch / f"{name}.tif"
                assert path.exists() == bool(part.presence(name)[i])
                if not path.exists():
                    continue
                with rasterio.open(path) as dataset:
                    values = dataset.read() * dataset.scales[0]
                    assert dataset.crs.to_string() == grounds[i].crs
                    assert dataset.transform == grounds[i].transform(resolution)
                    assert dataset.tags()["synthetic"] == "false"
                    assert dataset.tags()["decoded"].startswith("mode of the posterior")
                np.testing.assert_allclose(np.moveaxis(values, 0, -1), truth[name][number], rtol=2e-3, atol=tolerance)
            number += 1
    assert number == 9


def test_items_and_collection_point_to_what_is_there(exported, chosen):
    collection = json.loads((exported / "collection.json").read_text())
    assert {"type", "stac_version", "id", "description", "license", "extent", "links"} <= set(collection)
    items = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert items == [f"{patch}/item.json" for part in chosen for patch in part.patches]
    assert all((exported / asset["href"]).exists() for asset in collection["assets"].values())
    for item in items:
        described = json.loads((exported / item).read_text())
        assert described["properties"]["datetime"] == "2020-02-23T00:00:00Z"
        assert described["properties"]["grid:code"] == "MAJORTOM-" + item.split("_patch")[0]
        west, south, east, north = described["bbox"]
        box = collection["extent"]["spatial"]["bbox"][0]
        assert box[0] <= west < east <= box[2]
        assert box[1] <= south < north <= box[3]
        for asset in described["assets"].values():
            assert (exported / item).parent.joinpath(asset["href"]).exists()
            assert asset["roles"] == ["data"]
        assert all((exported / item).parent.joinpath(link["href"]).resolve().exists() for link in described["links"])


def test_the_zarr_opens_in_xarray_with_places(exported, chosen, truth, store):
    tree = xr.open_datatree(exported / "rasters.zarr", engine="zarr")
    for name in ("DEM", "S2L2A_60m"):
        array = tree[name][name]
        assert array.dims == ("patch", "band", "y", "x")
        assert array.coords["patch"].values.tolist() == [p for part in chosen for p in part.patches]
        there = np.concatenate([part.presence(name) for part in chosen])
        values = np.moveaxis(array.values, 1, -1)
        np.testing.assert_allclose(values[there], truth[name][there], rtol=2e-3, atol=1e-3)
        assert np.isnan(values[~there]).all()
        grounds = [ground for part in chosen for ground in part.grounds]
        x, y = grounds[4].coordinates(30 if name == "DEM" else 60)
        np.testing.assert_allclose(array.left.values[4] + array.x.values, x)
        np.testing.assert_allclose(array.top.values[4] + array.y.values, y)
        assert f"EPSG:{array.epsg.values[4]}" == grounds[4].crs
        assert (array.time.values == np.datetime64("2020-02-23", "ns")).all()


def read_wkb(data):
    """GeoJSON of little-endian WKB, by OGC 06-103r4."""

    def numbers(form, at):
        return struct.unpack_from("<" + form, data, at), at + struct.calcsize("<" + form)

    def geometry(at):
        (order, kind), at = numbers("BI", at)
        assert order == 1
        if kind == 1:
            point, at = numbers("2d", at)
            return {"type": "Point", "coordinates": list(point)}, at
        (count,), at = numbers("I", at)
        parts = []
        for _ in range(count):
            if kind == 6:
                part, at = geometry(at)
                parts.append(part["coordinates"])
                continue
            (points,), at = numbers("I", at)
            flat, at = numbers(f"{2 * points}d", at)
            parts.append([list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)])
        return {"type": {3: "Polygon", 6: "MultiPolygon"}[kind], "coordinates": parts}, at

    found, end = geometry(0)
    assert end == len(data)
    return found


def test_wkb_is_that_of_the_standard():
    assert wkb(None) is None
    # POINT (1 2), as PostGIS documents it
    assert wkb({"type": "Point", "coordinates": [1, 2]}).hex() == "0101000000000000000000f03f0000000000000040"


numbers = st.floats(-180, 180)
rings = st.lists(st.tuples(numbers, numbers).map(list), min_size=4, max_size=6)
polygons = st.lists(rings, min_size=1, max_size=2)


@given(
    st.one_of(
        st.builds(lambda c: {"type": "Polygon", "coordinates": c}, polygons),
        st.builds(lambda c: {"type": "MultiPolygon", "coordinates": c}, st.lists(polygons, min_size=1, max_size=3)),
    )
)
@settings(max_examples=50, deadline=None)
def test_wkb_reads_back(geometry):
    assert read_wkb(wkb(geometry)) == geometry


def test_the_table_is_geoparquet_and_says_what_is_where(exported, chosen):
    table = pq.read_table(exported / "index.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    column = geo["columns"][geo["primary_column"]]
    assert column["encoding"] == "WKB"
    shapes = [read_wkb(value) for value in table["geometry"].to_pylist()]
    assert column["geometry_types"] == sorted({shape["type"] for shape in shapes}) == ["Polygon"]
    assert column["bbox"] == bounds(shapes)
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == [patch for part in chosen for patch in part.patches]
    for row, shape in zip(rows, shapes, strict=True):
        assert row["DEM"] == (row["cell"] != HERE[0])
        assert row["S2L2A_60m"]
        assert str(row["date"]) == "2020-02-23"
        assert row["id"] == f"{row['cell']}_patch_{row['patch_index']}"
        assert (exported / row["item"]).exists()
        to_metres = pyproj.Transformer.from_crs("EPSG:4326", row["epsg"], always_xy=True)
        x, y = to_metres.transform(*np.asarray(shape["coordinates"][0]).T)
        np.testing.assert_allclose([min(x), max(x)], [row["left"], row["left"] + 960], atol=0.01)
        np.testing.assert_allclose([min(y), max(y)], [row["top"] - 960, row["top"]], atol=0.01)


def test_latents_are_a_store_of_the_chosen_patches(exported, chosen, store):
    subset = open_store(exported / "latents")
    assert verify(subset) == []
    assert subset.description.latent_space == store.description.latent_space
    for part in chosen:
        cells, old = subset.cells(part.split), store.cells(part.split)
        rows = [cells.index(old[row // 144]) * 144 + row % 144 for row in part.rows.tolist()]
        presence = read_coordinates(subset, part.split).presence
        np.testing.assert_array_equal(presence[rows], part.coordinates.presence[part.rows])
        assert not np.delete(presence, rows, axis=0).any()
        reads = [
            MomentsReader(store=s, split=part.split, names=part.names).read(r)
            for s, r in ((subset, rows), (store, part.rows))
        ]
        for name in part.names:
            np.testing.assert_array_equal(reads[0][name], reads[1][name])
        assert read_grounds(subset, part.split, rows) == part.grounds


def test_conditions(store):
    whole = {part.split: part for part in choose(store)}
    assert {split: len(part) for split, part in whole.items()} == {"train": 288, "test": 144}
    assert [len(part) for part in choose(store, want=["DEM"])] == [144, 144]
    assert [len(part) for part in choose(store, complete=True)] == [144, 144]
    assert [part.split for part in choose(store, splits=["test"])] == ["test"]
    (part,) = choose(store, cells=[HERE[1]])
    assert {cell for cell, _ in part.places} == {HERE[1]}
    assert sum(map(len, choose(store, patches=7))) == 7
    latitude, longitude = (getattr(whole["test"].coordinates, what) for what in ("latitude", "longitude"))
    west, east = longitude.min(), np.median(longitude)
    inside = choose(store, splits=["test"], box=(west, latitude.min(), east, latitude.max()))[0]
    around = choose(store, splits=["test"], box=(east, latitude.min(), west, latitude.max()))[0]
    assert len(inside) == (longitude <= east).sum()
    assert len(around) == ((longitude >= east) | (longitude <= west)).sum()


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        ({"splits": ["trian"]}, "did you mean train"),
        ({"cells": ["433D_629L"]}, "no cell '433D_629L'"),
        ({"want": ["S1RTC"]}, "unknown product"),
        ({"want": ["location"]}, "is no image"),
        ({"box": (0, 50, 10, 40)}, "expected west, south, east, north"),
        ({"box": (0, -80, 1, -79)}, "fulfils these conditions"),
        ({"patches": 0}, "expected 1 or more"),
    ],
)
def test_senseless_conditions_are_refused(store, conditions, sentence):
    with pytest.raises(InputError, match=sentence):
        choose(store, **conditions)


def test_another_model_is_refused_and_nothing_is_left(store, chosen, decoder, tmp_path):
    with pytest.raises(InputError, match="made by other autoencoders"):
        load_decoder(random_model(tmp_path / "other", seed=1), store)
    with pytest.raises(InputError, match="that needs a model"):
        export(chosen, tmp_path / "out", cog=True)
    broken = dataclasses.replace(decoder, params={"DEM": decoder.params["S2L2A_60m"]}, _programs={})
    with pytest.raises(Exception, match="shape"):
        export(chosen, tmp_path / "out", decoder=broken, zarr=True)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_lost_moments_are_not_exported(store, decoder, tmp_path):
    shutil.copytree(store.path, tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "train" / "DEM" / "c")
    chosen = choose(open_store(tmp_path / "store"), splits=["train"], patches=4)
    for what in ({"decoder": decoder, "cog": True}, {"latents": True}):
        with pytest.raises(InputError, match="moments of train/DEM are gone"):
            export(chosen, tmp_path / "out", **what)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_places_without_ground_are_points_and_files_without_georeference(store, decoder, chosen, tmp_path):
    unplaced = [dataclasses.replace(part) for part in chosen[:1]]
    unplaced[0].__dict__["grounds"] = [None] * len(unplaced[0])
    export(unplaced, tmp_path / "out", decoder=decoder, cog=True)
    table = pq.read_table(tmp_path / "out" / "index.parquet")
    row = table.to_pylist()[0]
    assert read_wkb(row["geometry"]) == {"type": "Point", "coordinates": [row["longitude"], row["latitude"]]}
    assert row["epsg"] is None
    with rasterio.open(tmp_path / "out" / row["id"] / "S2L2A_60m.tif") as dataset:
        assert dataset.crs is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--format", "cog"], "belong together"),
        (["--box", "1,2,3"], "expected W,S,E,N"),
        (["--want", "S2"], "unknown product"),
    ],
)
def test_command_refuses_in_one_sentence(store, tmp_path, capsys, words, sentence):
    assert main(["export", "--latents", str(store.path), "--out", str(tmp_path / "out"), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
