"""The original's two LMDB layouts, written here as its programs write them, become the same store."""

import json
import pickle

import lmdb
import numpy as np
import pytest

from copgen_jax import units
from copgen_jax.cli import main
from copgen_jax.data.latents import Description, MomentsReader, open_store, read_coordinates
from copgen_jax.data.majortom.grid import cell_named
from copgen_jax.data.published_latents import import_latents
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN

SET = COPGEN.subset(["location", "DEM", "S2L2A_60m", "timestamp"])
DESCRIPTION = Description(modalities=SET, latent_space="c" * 64, patches_per_cell=36, s2_offset=1000)
CELLS = ["618U_30L", "433D_629L"]
KEYS = {m.name: m.published_key for m in SET}
PATCHES = {(cell, n): i for i, (cell, n) in enumerate((c, n) for c in CELLS for n in (0, 7, 35))}


def moments(name, number):
    """Channel-first, as the original stores them."""
    height, width, channels = SET[name].latent_shape
    rng = np.random.default_rng([number, len(name)])
    return rng.normal(size=(2 * channels, height, width)).astype(np.float32)


def vectors(number):
    place = units.position_to_network([10.0 + number, -20.0 - number])
    return {"location": place, "timestamp": units.date_to_network(np.datetime64("2020-02-27") + number)}


def write_lmdb(folder, entries):
    folder.mkdir(parents=True)
    environment = lmdb.open(str(folder), map_size=1 << 26)
    with environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value if isinstance(value, bytes) else pickle.dumps(value))
    environment.close()


def merged(folder, **extra):
    entries = {}
    for (cell, n), number in PATCHES.items():
        numbers = {KEYS[name]: moments(name, number).tobytes() for name in ("DEM", "S2L2A_60m")}
        numbers |= {KEYS[name]: value.tobytes() for name, value in vectors(number).items()}
        entries[f"{cell}_patch_{n}"] = numbers
    write_lmdb(folder, entries | extra)


def per_modality(folder):
    for name in ("DEM", "S2L2A_60m"):
        write_lmdb(folder / KEYS[name], {f"{c}_patch_{n}": moments(name, i) for (c, n), i in PATCHES.items()})
    for name in ("location", "timestamp"):
        entries = {f"{c}_patch_{n}": vectors(i)[name].reshape(1, 1, 3) for (c, n), i in PATCHES.items()}
        write_lmdb(folder / KEYS[name], entries)


LAYOUTS = {
    "merged, alone": (lambda root: merged(root), "train"),
    "merged, by split": (lambda root: merged(root / "val"), "val"),
    "per modality": (lambda root: per_modality(root), "train"),
    "per modality, by split": (lambda root: per_modality(root / "test"), "test"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_becomes_the_same_store(tmp_path, layout):
    write, split = LAYOUTS[layout]
    write(tmp_path / "lmdb")
    imported = import_latents(tmp_path / "lmdb", tmp_path / "store", DESCRIPTION)
    assert imported.patches == {split: 6}
    assert imported.unknown == ()
    store = open_store(tmp_path / "store")
    assert store.cells(split) == sorted(CELLS)
    coordinates = read_coordinates(store, split)
    assert coordinates.presence[:, 1:3].sum() == 12
    for (cell, n), number in PATCHES.items():
        row = store.layout(split).row(sorted(CELLS).index(cell), n)
        assert coordinates.presence[row].all()
        assert coordinates.latitude[row] == pytest.approx(10 + number, abs=1e-5)
        assert coordinates.longitude[row] == pytest.approx(-20 - number, abs=1e-5)
        assert coordinates.time[row] == np.datetime64("2020-02-27") + number
        for name in ("DEM", "S2L2A_60m"):
            read = MomentsReader(store=store, split=split, names=(name,)).read([row])[name][0]
            truth = moments(name, number).astype(np.float16)
            for channel in range(16):
                np.testing.assert_array_equal(read[..., channel], truth[channel])


def test_places_come_from_the_grid_where_the_lmdb_has_none(tmp_path):
    write_lmdb(tmp_path / "lmdb", {"433D_629L_patch_8": {KEYS["DEM"]: moments("DEM", 0).tobytes()}})
    import_latents(tmp_path / "lmdb", tmp_path / "store", DESCRIPTION)
    coordinates = read_coordinates(open_store(tmp_path / "store"), "train")
    place = cell_named("433D_629L").patch_places(6)[1, 2]
    np.testing.assert_allclose([coordinates.latitude[8], coordinates.longitude[8]], place)
    assert np.isnat(coordinates.time).all()
    np.testing.assert_array_equal(coordinates.presence.sum(0), [36, 1, 0, 0])


def test_what_is_no_patch_or_no_modality_is_counted_and_left_out(tmp_path):
    entries = {"7U_1R_patch_0": {KEYS["DEM"]: moments("DEM", 0).tobytes(), "S9_new": b"1234"}}
    write_lmdb(tmp_path / "lmdb", entries | {"__len__": b"1"})
    imported = import_latents(tmp_path / "lmdb", tmp_path / "store", DESCRIPTION)
    assert (imported.other_keys, imported.unknown) == (1, ("S9_new",))


class Danger:
    def __reduce__(self):
        import os

        return os.system, ("touch hacked",)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"7U_1R_patch_0": Danger()}, r"refused: its pickle names posix\.system"),
        ({"7U_1R_patch_0": b"garbage"}, "damaged"),
        ({"7U_1R_patch_0": [1, 2]}, "is a list; a merged LMDB"),
        ({"7U_1R_patch_0": {"DEM_DEM": b"1234"}}, "this model expects 1024"),
        ({"7U_1R_patch_0": {"DEM_DEM": "text"}}, "DEM_DEM is str"),
        ({"7U_1R_patch_36": {}}, "patch 36 of cell 7U_1R"),
        ({"length": b"1"}, "no keys like"),
    ],
)
def test_entries_of_another_kind_are_refused(tmp_path, entries, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lmdb(tmp_path / "lmdb", entries)
    with pytest.raises(InputError, match=message):
        import_latents(tmp_path / "lmdb", tmp_path / "store", DESCRIPTION)
    assert not (tmp_path / "hacked").exists()


def test_no_lmdb_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="no LMDB of moments"):
            import_latents(place, tmp_path / "store", DESCRIPTION)
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(InputError, match="no readable LMDB"):
        import_latents(tmp_path, tmp_path / "store", DESCRIPTION)


def test_an_import_is_continued(tmp_path):
    merged(tmp_path / "lmdb")
    import_latents(tmp_path / "lmdb", tmp_path / "store", DESCRIPTION)
    with pytest.raises(InputError, match="exists already"):
        import_latents(tmp_path / "lmdb", tmp_path / "store", DESCRIPTION)
    assert import_latents(tmp_path / "lmdb", tmp_path / "store", DESCRIPTION, resume=True).patches == {"train": 0}
    assert import_latents(tmp_path / "lmdb", tmp_path / "store", DESCRIPTION, overwrite=True).patches == {"train": 6}


def test_command(tmp_path, capsys):
    import jax

    from copgen_jax.checkpoints import load_hashes, save_model
    from copgen_jax.config import AutoencoderConfig, ModelConfig
    from copgen_jax.nn.autoencoder import Autoencoder

    small = AutoencoderConfig(base_width=8, multipliers=(1, 1, 1, 1), blocks=1, groups=4)
    config = ModelConfig(modalities=SET, backbone=None, autoencoders={m.name: small for m in SET.images})
    params = {}
    for modality in SET.images:
        network = Autoencoder(
            channels=modality.channels, base_width=8, multipliers=(1, 1, 1, 1), blocks=1, latent_channels=8, groups=4
        )
        image = np.zeros((1, *modality.image_shape), np.float32)
        shapes = jax.eval_shape(network.init, jax.random.key(0), image)["params"]
        params[modality.name] = jax.tree.map(lambda shape: np.zeros(shape.shape, shape.dtype), shapes)
    save_model(tmp_path / "model", config, {"autoencoders": params})
    merged(tmp_path / "lmdb")
    command = ["import-latents", str(tmp_path / "lmdb"), "--model", str(tmp_path / "model"), "--json"]
    assert main([*command, "--out", str(tmp_path / "store")]) == 0
    assert json.loads(capsys.readouterr().out)["patches"] == {"train": 6}
    store = open_store(tmp_path / "store")
    assert store.description.latent_space == load_hashes(tmp_path / "model").latent_space
    assert store.description.s2_offset == 1000
    shown = ["inspect", str(tmp_path / "store"), "--model", str(tmp_path / "model"), "--picture"]
    assert main([*shown, str(tmp_path / "patches.png")]) == 0
    assert (tmp_path / "patches.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "store")]) == 2
    assert "exists already" in capsys.readouterr().err
