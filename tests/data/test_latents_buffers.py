import gc

import jax
import numpy as np
from latent_stores import make_store

from copgen_jax.data.latents.buffers import Buffers
from copgen_jax.data.pipeline import Batches


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_only_when_no_view_is_left():
    buffers = Buffers()
    first = buffers.take((4, 8), "float16")
    view = first[:, 2:4].reshape(4, 2, 1)
    place = address(first)
    del first
    second = buffers.take((4, 8), "float16")
    assert address(second) != place
    view[:] = 3
    second[:] = 5
    assert (view == 3).all()
    del view
    gc.collect()
    assert address(buffers.take((4, 8), "float16")) == place


def test_another_size_gets_other_memory():
    buffers = Buffers()
    small = buffers.take((3,), "float32")
    del small
    large = buffers.take((1000,), "float32")
    large[:] = 1
    assert buffers.take((0,), "float32").shape == (0,)


def test_device_arrays_outlive_the_batches_they_come_from(tmp_path):
    """On a CPU JAX may look at the host's memory instead of copying it."""
    batches = Batches(make_store(tmp_path / "store"), "train", batch_size=64, seed=0)
    kept = [np.array(batches[step]["moments"]["DEM"]) for step in range(6)]
    on_device = [jax.device_put(batches[step]["moments"]["DEM"]) for step in range(6)]
    for step in range(6, 12):
        batches[step]
    for there, truth in zip(on_device, kept, strict=True):
        np.testing.assert_array_equal(there, truth)
