"""A global batch depends on (seed, step) only, and holds what the store holds."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec
from latent_stores import cell_names, expected, make_store

from copgen_jax import units
from copgen_jax.data.latents import create_store, open_store, read_coordinates
from copgen_jax.data.pipeline import Batches, on_devices, shuffled_positions
from copgen_jax.errors import InputError
from copgen_jax.modalities import TINY


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("latents") / "store"
    make_store(path)
    return open_store(path)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**40), patches=st.integers(1, 300), epoch=st.integers(0, 5))
def test_every_epoch_is_a_permutation(seed, patches, epoch):
    positions = shuffled_positions(seed, epoch * patches, patches, patches)
    np.testing.assert_array_equal(np.sort(positions), np.arange(patches))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [
        tuple(shuffled_positions(seed, epoch * 500, 500, 500)) for seed, epoch in itertools.product(range(3), range(3))
    ]
    assert len(set(orders)) == 9
    # Neighbours in the stream are no neighbours in the store: a fixed order would have a mean distance of 1.
    for order in orders:
        assert 120 < np.abs(np.diff(order)).mean() < 215  # a third of 500 for a random order


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_global_batches_do_not_depend_on_the_number_of_processes(store, processes):
    whole = Batches(store, "train", batch_size=16, seed=3)
    parts = [Batches(store, "train", batch_size=16, seed=3, process=p, processes=processes) for p in range(processes)]
    for step in (0, 1, 1000):
        joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *(part[step] for part in parts))
        jax.tree.map(np.testing.assert_array_equal, joined, whole[step])


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_a_run_restarts_from_the_step_alone(store, threads):
    batches = Batches(store, "train", batch_size=8, seed=0)
    from_start = list(itertools.islice(batches.from_step(0, threads=threads), 7))
    resumed = list(itertools.islice(Batches(store, "train", batch_size=8, seed=0).from_step(4, threads=threads), 3))
    jax.tree.map(np.testing.assert_array_equal, resumed, from_start[4:])
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(from_start[0]["moments"]["DEM"], from_start[1]["moments"]["DEM"])


def test_a_batch_holds_what_the_store_holds(store):
    batches = Batches(store, "train", batch_size=64, seed=5)
    truth, _ = expected(store, "train")
    coordinates = read_coordinates(store, "train")
    rows, batch = batches.rows(2), batches[2]
    np.testing.assert_array_equal(batch["presence"], coordinates.presence[rows])
    for name, values in batch["moments"].items():
        np.testing.assert_array_equal(values, np.nan_to_num(truth[name][rows]))
        assert values.dtype == np.float16
    place = units.position_to_network(np.stack([coordinates.latitude[rows], coordinates.longitude[rows]], -1))
    np.testing.assert_array_equal(batch["vectors"]["location"], np.nan_to_num(place))
    np.testing.assert_array_equal(
        batch["vectors"]["timestamp"], np.nan_to_num(units.date_to_network(coordinates.time[rows]))
    )
    for column, name in enumerate(TINY.names):
        values = batch["vectors"].get(name, batch["moments"].get(name)).reshape(64, -1)
        assert not values[~batch["presence"][:, column]].any()
        assert values[batch["presence"][:, column]].any(axis=1).all()


def test_an_epoch_has_every_eligible_patch_once(store):
    presence = read_coordinates(store, "train").presence
    images = [TINY.names.index(m.name) for m in TINY.images]
    for complete_only, eligible in ((False, presence[:, images].any(1)), (True, presence.all(1))):
        batches = Batches(store, "train", batch_size=1, seed=0, complete_only=complete_only)
        assert batches.patches == eligible.sum() < len(presence)
        assert batches.steps_per_epoch == batches.patches
        rows = np.concatenate([batches.rows(step) for step in range(batches.patches)])
        np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(eligible))


def test_a_model_of_fewer_modalities_reads_only_those(store):
    fewer = TINY.subset(["DEM", "timestamp"])
    batch = Batches(store, "train", batch_size=4, seed=0, modalities=fewer, complete_only=True)[0]
    assert set(batch["moments"]) == {"DEM"}
    assert set(batch["vectors"]) == {"timestamp"}
    assert batch["presence"].shape == (4, 2)
    assert batch["presence"].all()


def test_batches_become_global_device_arrays(store):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    batches = Batches(store, "train", batch_size=16, seed=0)
    on_device = list(on_devices([batches[0], batches[1], batches[2]], sharding))
    assert len(on_device) == 3
    for step, batch in enumerate(on_device):
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, batch), batches[step])
        assert batch["moments"]["DEM"].sharding == sharding


def test_moments_whose_file_is_gone_are_no_absent_ones(tmp_path):
    store = make_store(tmp_path / "store")
    for path in (store.path / "train" / "DEM" / "c").rglob("*"):
        path.unlink() if path.is_file() else None
    with pytest.raises(InputError, match=r"moments of train/DEM are gone; `copgen inspect .*--verify`"):
        Batches(store, "train", batch_size=16, seed=0)[0]
    assert Batches(store, "train", batch_size=16, seed=0, modalities=TINY.subset(["S2L2A_60m"]))[0]["presence"].any()


def test_senseless_requests_are_refused(store, tmp_path):
    with pytest.raises(InputError, match="does not divide between 3 processes"):
        Batches(store, "train", batch_size=16, seed=0, processes=3)
    with pytest.raises(InputError, match="no split"):
        Batches(store, "validation", batch_size=16, seed=0)
    with pytest.raises(InputError, match="another kind of DEM"):
        Batches(store, "train", batch_size=16, seed=0, modalities=TINY.replace("DEM", scale_factor=2.0))
    empty = create_store(tmp_path / "empty", store.description, {"train": cell_names(1)})
    with pytest.raises(InputError, match="no patch in split train"):
        Batches(empty, "train", batch_size=16, seed=0)
