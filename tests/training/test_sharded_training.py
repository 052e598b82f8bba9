"""Training is the same on one device, on eight, and on two processes with four each, however the mesh is cut."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from latent_stores import make_store
from processes import LAUNCHER, environment, run

from copgen_jax.config import preset
from copgen_jax.model import build_backbone
from copgen_jax.parallel import FSDP, choose_fsdp, make_mesh, state_shardings
from copgen_jax.training.config import OptimiserConfig
from copgen_jax.training.initialise import fresh_params
from copgen_jax.training.optimiser import make_optimiser, start_state

PROGRAM = str(Path(__file__).with_name("steps_on_devices.py"))
ONE = 0
MESHES = {"pure data": 1, "mixed": 2, "pure FSDP": 8}
WHERE = {"eight devices": ("pure data", "mixed", "pure FSDP"), "two processes": ("mixed", "pure FSDP")}
"""Processes share data in the mixed mesh already, and every program takes long to compile."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{"eight devices": arrays, "two processes": arrays}, by mesh in them."""
    place = tmp_path_factory.mktemp("devices")
    store = str(make_store(place / "store").path)
    whole, shared = ([str(MESHES[mesh]) for mesh in meshes] for meshes in WHERE.values())
    env = environment(place / "cache", devices=8)
    run([sys.executable, PROGRAM, store, str(place / "8.npz"), str(ONE), *whole], env)
    env = environment(place / "cache", devices=4)
    run([*LAUNCHER, "--processes", "2", "--", sys.executable, PROGRAM, store, str(place / "2x4.npz"), *shared], env)
    return {"eight devices": dict(np.load(place / "8.npz")), "two processes": dict(np.load(place / "2x4.npz"))}


def part(arrays, prefix):
    """The arrays of a state, its counters left out."""
    of_state = {name.removeprefix(f"{prefix}/"): array for name, array in arrays.items() if name.startswith(prefix)}
    return {name: array for name, array in of_state.items() if array.ndim}


def relative(a, b):
    """Relative L2 distance, in float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)


@pytest.mark.parametrize(("where", "mesh"), [(where, mesh) for where, meshes in WHERE.items() for mesh in meshes])
def test_same_losses_and_states(runs, where, mesh):
    one, many = runs["eight devices"], runs[where]
    np.testing.assert_allclose(many[f"losses/{MESHES[mesh]}"], one[f"losses/{ONE}"], rtol=1e-5)
    expected = part(one, f"end/{ONE}")
    found = part(many, f"end/{MESHES[mesh]}")
    assert found.keys() == expected.keys()
    for name in expected:
        assert relative(found[name], expected[name]) < 1e-4, name


def test_they_start_alike(runs):
    """Random parameters are drawn whole on one device, and in shares by two processes."""
    one, two = (part(runs[where], "start") for where in ("eight devices", "two processes"))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_they_moved(runs):
    start, end = part(runs["eight devices"], "start"), part(runs["eight devices"], f"end/{ONE}")
    assert {name.split("/")[0] for name in end} == {"params", "ema_params", "moments"}
    for name in end:
        assert relative(end[name], start[name]) > 1e-3, name


def huge_state():
    backbone = build_backbone(preset("huge"))
    optimiser = make_optimiser(OptimiserConfig())
    return jax.eval_shape(lambda: start_state(fresh_params(backbone, jax.random.key(0)), optimiser))


def test_no_parameter_of_huge_is_whole_on_a_device():
    state = huge_state()
    mesh = make_mesh(fsdp=8)
    total = on_device = 0
    for (path, leaf), sharding in zip(
        jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(state_shardings(mesh, state)), strict=True
    ):
        size, share = int(np.prod(leaf.shape)), int(np.prod(sharding.shard_shape(leaf.shape)))
        # The only things that cannot be cut are single numbers: counters, and the bias of a vector's head.
        assert share * 8 == size or size == 1, jax.tree_util.keystr(path)
        total, on_device = total + size, on_device + share
    assert on_device < total / 7.99


def test_layers_of_a_stack_stay_together():
    state = huge_state()
    specs = state_shardings(make_mesh(fsdp=8), state).params
    for stack in ("in_blocks", "out_blocks"):
        for sharding in jax.tree.leaves(specs[stack]):
            assert sharding.spec[0] is None
            assert FSDP in sharding.spec


def test_whole_on_every_device_without_fsdp():
    state = huge_state()
    assert all(s.is_fully_replicated for s in jax.tree.leaves(state_shardings(make_mesh(), state)))


@pytest.mark.parametrize(
    ("state_gigabytes", "device_gigabytes", "devices", "expected"),
    [(6, 80, 8, 1), (19, 40, 8, 2), (19, 24, 8, 2), (19, 12, 8, 4), (1000, 80, 8, 8), (6, None, 8, 1), (19, 24, 1, 1)],
)
def test_the_fewest_shares_that_fit(state_gigabytes, device_gigabytes, devices, expected):
    memory = device_gigabytes and device_gigabytes * 10**9
    assert choose_fsdp(state_gigabytes * 10**9, memory, devices) == expected
