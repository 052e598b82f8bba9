"""Ten updates on this job's devices, for some meshes; writes losses and states: `steps_on_devices.py STORE OUT FSDP...`

FSDP 0 stands for one device alone.
"""

import dataclasses
import sys
import time

import jax
import numpy as np

from copgen_jax.data.pipeline import on_devices
from copgen_jax.parallel import batch_sharding, make_mesh, replicated, start_processes, state_shardings
from copgen_jax.training.backbone import plan_backbone
from copgen_jax.training.config import OptimiserConfig, training_preset

STEPS = 10


def main(store, out, *fsdps):
    start_processes()
    training = dataclasses.replace(
        training_preset("tiny"),
        modalities=("DEM", "timestamp"),
        batch_size=16,
        optimiser=OptimiserConfig(learning_rate=1e-3, warmup_steps=0, ema_rate=0.9),
    )
    plan = plan_backbone(training, store)
    found = {}
    for fsdp in map(int, fsdps):
        mesh = make_mesh(fsdp=fsdp) if fsdp else make_mesh(jax.devices()[:1])
        begun = time.perf_counter()
        # Micro-batches must not change anything either: on the mixed mesh there are two.
        micro = dataclasses.replace(training, accumulation=2 if fsdp == 2 else 1)
        on_mesh = dataclasses.replace(plan, mesh=mesh, training=micro)
        shapes = on_mesh.state_shapes()
        shardings = state_shardings(mesh, shapes)
        step, _ = on_mesh.compiled_step(shapes, shardings)
        if not found:
            record(found, "start", on_mesh.initial_state(shardings), mesh)
        state = begun_with(part(found, "start"), shapes, shardings)
        batches = on_devices(plan.batches.from_step(0), batch_sharding(mesh))
        losses = []
        for _ in range(STEPS):
            state, report = step(state, next(batches))
            losses.append(float(report.loss))
        found[f"losses/{fsdp}"] = np.array(losses)
        record(found, f"end/{fsdp}", state, mesh)
        print(f"fsdp {fsdp}: {time.perf_counter() - begun:.1f} s", flush=True)
    if jax.process_index() == 0:
        np.savez(out, **found)


def record(found, prefix, state, mesh):
    """All arrays of a state, whole, in host memory."""
    if not all(leaf.is_fully_addressable or leaf.is_fully_replicated for leaf in jax.tree.leaves(state)):
        state = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(state)
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        found[f"{prefix}/{name_of(path)}"] = np.asarray(leaf)


def begun_with(arrays, shapes, shardings):
    """A state from whole arrays; compiling the draw of every parameter anew takes most of a run as short as this."""

    def placed(path, shape, sharding):
        array = arrays[name_of(path)].astype(shape.dtype)
        return jax.make_array_from_callback(shape.shape, sharding, lambda index: array[index])

    return jax.tree_util.tree_map_with_path(placed, shapes, shardings)


def part(found, prefix):
    return {name.removeprefix(f"{prefix}/"): array for name, array in found.items() if name.startswith(f"{prefix}/")}


def name_of(path):
    return jax.tree_util.keystr(path, simple=True, separator="/")


if __name__ == "__main__":
    main(*sys.argv[1:])
