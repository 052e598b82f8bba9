"""The world as a whole: reproducible, conditional on nothing hidden, calibrated, and joined without seams."""

import dataclasses
import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from copgen_jax import units
from copgen_jax.data.majortom.grid import cell_named
from copgen_jax.data.world import OFFSET, World
from copgen_jax.data.world.causes import Causes
from copgen_jax.data.world.graph import STATIC
from copgen_jax.data.world.noise import Stream
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, DEMO, TINY

WORLD = World(21, DEMO)


def large_field():
    """Of a whole cell and a short wavelength: the largest matrix products there are."""
    window = dataclasses.replace(WORLD.place(0).window, row=0, column=0, pixels=1068)
    return hashlib.sha256(Stream(3, window).field("a", (700, 60, 25)).tobytes()).hexdigest()


def digest(patch):
    total = hashlib.sha256()
    for name, value in patch.values.items():
        total.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("modalities", [COPGEN, DEMO, TINY], ids=["COPGEN", "DEMO", "TINY"])
def test_values_have_the_grids_and_types_of_the_modalities(modalities):
    patch = World(2, modalities).patch(0)
    assert tuple(patch.values) == modalities.names
    types = {"reflectance": "uint16", "power": "float32", "height": "float32", "classes": "uint8"}
    for modality in modalities.images:
        value = patch[modality.name]
        assert value.shape == (modality.pixels, modality.pixels, len(modality.bands))
        assert value.dtype == types[modality.encoding]
        if modality.encoding == "classes":
            assert set(np.unique(value)) <= set(modality.codes)
        elif modality.encoding == "power":
            assert (value > 0).all()
    assert patch["timestamp"].dtype == np.dtype("datetime64[D]")
    assert patch.offset == OFFSET


def test_patches_are_the_same_in_any_order_process_and_number_of_threads():
    here = [digest(WORLD.patch(i)) for i in (2, 0, 1)] + [large_field()]
    code = (
        "import sys; sys.path[:0] = sys.argv[1].split(':')\n"
        "from test_world import WORLD, digest, large_field\n"
        "print(*[digest(WORLD.patch(i)) for i in (0, 1, 2)], large_field())"
    )
    for threads in ("1", "2"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        path = ":".join([os.path.dirname(__file__), *sys.path])
        run = subprocess.run(
            [sys.executable, "-c", code, path], env=environment, capture_output=True, text=True, check=True
        )
        zero, one, two, field = run.stdout.split()
        assert [two, zero, one, field] == here


def test_a_world_travels_to_other_processes():
    again = pickle.loads(pickle.dumps(WORLD))
    assert again == WORLD
    assert digest(again.patch(0)) == digest(WORLD.patch(0))


def test_units_take_every_value():
    patch = WORLD.patch(0)
    for modality in DEMO:
        values = units.to_network(modality, patch[modality.name])
        assert values.dtype == np.float32
        assert values.shape == (modality.image_shape if modality.is_image else (3,))
        assert np.isfinite(values).all()


def test_another_seed_or_index_is_another_place():
    digests = {digest(World(seed, DEMO).place(index)) for seed in (0, 1) for index in (0, 1)}
    assert len(digests) == 4
    assert {WORLD.address(i)[0] for i in range(50)} != {World(22, DEMO).address(i)[0] for i in range(50)}


def test_a_place_is_the_static_part_of_its_patch():
    place, patch = WORLD.place(4), WORLD.patch(4)
    assert set(place.values) == set(STATIC)
    for name in STATIC:
        np.testing.assert_array_equal(place[name], patch[name])
    assert (place.cell, place.patch_index) == (patch.cell, patch.patch_index) == WORLD.address(4)


def test_acquisitions_keep_the_place_and_draw_the_rest_anew():
    place = WORLD.place(4)
    draws = list(WORLD.acquisitions(place, 4))
    assert len({digest(d) for d in draws}) == 4
    assert len({d["timestamp"] for d in draws}) > 1
    for draw in draws:
        for name in STATIC:
            np.testing.assert_array_equal(draw[name], place[name])
    assert [digest(d) for d in WORLD.acquisitions(place, 2)] == [digest(d) for d in draws[:2]]


def test_acquisitions_hold_the_date_and_the_clouds():
    patch = next(p for p in map(WORLD.patch, range(50)) if p["cloud_mask"].any())
    dated = list(WORLD.acquisitions(patch, 3, fixed=("timestamp",)))
    assert {d["timestamp"] for d in dated} == {patch["timestamp"]}
    assert any((d["cloud_mask"] != patch["cloud_mask"]).any() for d in dated)
    clouded = list(WORLD.acquisitions(patch, 3, fixed=("timestamp", "cloud_mask")))
    for draw in clouded:
        np.testing.assert_array_equal(draw["cloud_mask"], patch["cloud_mask"])
    assert len({digest(d) for d in clouded}) == 3


@pytest.mark.parametrize("fixed", [("cloud_mask",), ("S1RTC",), ("S2L2A_10m",), ("nonsense",)])
def test_other_conditions_are_refused(fixed):
    with pytest.raises(InputError, match="cannot hold"):
        WORLD.acquisitions(WORLD.patch(0), 1, fixed=fixed)


def test_holding_a_date_needs_one():
    with pytest.raises(InputError, match="timestamp"):
        WORLD.acquisitions(WORLD.place(0), 1, fixed=("timestamp",))


def test_acquisitions_know_nothing_of_what_shaped_the_place():
    """With the hidden causes of the place made impossible to draw, acquisitions are bit for bit the same."""
    place = WORLD.place(4)
    blind = World(WORLD.seed, WORLD.modalities)

    def forbidden(*_):
        raise AssertionError("a hidden cause of the place was drawn")

    hidden = WORLD.causes.ancestors(STATIC) | set(STATIC)
    assert {"relief", "ground", "moisture"} <= hidden
    blind.__dict__["causes"] = Causes(
        tuple(dataclasses.replace(v, draw=forbidden) if v.name in hidden else v for v in WORLD.causes.variables)
    )
    ours, theirs = (list(w.acquisitions(place, 2)) for w in (WORLD, blind))
    assert [digest(p) for p in ours] == [digest(p) for p in theirs]


FIGURES = {
    "red": lambda p: p["S2L2A_10m"][..., 0].mean(),
    "infrared texture": lambda p: p["S2L1C_20m"][..., 3].std(),
    "clouds": lambda p: (p["cloud_mask"] == 0).mean() + 1e-9 * p["S2L1C_60m"].mean(),
    "radar": lambda p: np.log(p["S1RTC"]).mean(),
    "day": lambda p: p["timestamp"].astype(int) + 1e-6 * p["S1RTC"].mean(),
}


def ranks(places, draws, fixed):
    """Rank of the truth among draws for it: uniform if, and only if for these figures, both have one distribution."""
    result = {name: np.zeros(draws + 1, int) for name in FIGURES if not (name == "day" and "timestamp" in fixed)}
    for index in range(places):
        truth = WORLD.patch(1000 + index)
        others = list(WORLD.acquisitions(truth, draws, fixed=fixed))
        for name, counts in result.items():
            figure = FIGURES[name]
            counts[sum(figure(o) < figure(truth) for o in others)] += 1
    return result


@pytest.mark.parametrize("fixed", [(), ("timestamp", "cloud_mask")], ids=["place", "place, date and clouds"])
def test_the_truth_ranks_uniformly_among_redraws(fixed):
    for name, counts in ranks(50, 3, fixed).items():
        assert chisquare(counts).pvalue > 1e-3, (name, counts)


@pytest.mark.slow
@pytest.mark.parametrize("fixed", [(), ("timestamp",), ("timestamp", "cloud_mask")])
def test_the_truth_ranks_uniformly_among_many_redraws(fixed):
    for name, counts in ranks(150, 9, fixed).items():
        assert chisquare(counts).pvalue > 1e-3, (name, counts)


def test_patches_of_a_cell_join():
    world = World(3)
    cell = world.address(0)[0]
    left, right = world.at(cell, 10), world.at(cell, 11)
    overlap = 768 + 192 - 876
    assert left["timestamp"] == right["timestamp"]
    for name, least in (("LULC", 0.99), ("cloud_mask", 1.0)):
        assert (left[name][:, -overlap:] == right[name][:, :overlap]).mean() >= least
    height = overlap * 10 // 30
    difference = left["DEM"][:, -height:] - right["DEM"][:, :height]
    assert np.median(np.abs(difference)) < 1.0
    assert left.ground.left + 1080.0 == right.ground.left
    assert left.ground.top == right.ground.top


def test_cells_are_different_and_a_prefix_of_more_cells():
    names = WORLD.cells(40)
    assert len(set(names)) == 40
    assert WORLD.cells(10) == names[:10]
    assert all(cell_named(name).name == name for name in names)


def test_a_patch_beyond_its_cell_is_refused():
    with pytest.raises(InputError, match="36 patches"):
        World(0).at("433D_629L", 36)


def test_mixed_extents_are_refused():
    with pytest.raises(InputError, match="one square"):
        World(0, COPGEN.replace("DEM", pixels=32))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.integers(0, 10**9))
def test_every_address_exists(seed, index):
    world = World(seed)
    cell, patch_index = world.address(index)
    assert cell_named(cell).name == cell
    assert 0 <= patch_index < world.patches_per_cell == 36
