"""Ten updates on this job's devices, for some meshes; writes losses and states: `steps_on_devices.py STORE OUT FSDP...`

FSDP 0 stands for one device alone.
"""

import dataclasses
import sys
import time

import jax
import numpy as np

from copgen_jax.data.pipeline import on_devices
from copgen_jax.parallel import batch_sharding, make_mesh, replicated, start_processes
from copgen_jax.training.backbone import compiled_step, initial_state, plan_backbone, state_layout
from copgen_jax.training.config import OptimiserConfig, training_preset

STEPS = 10


def main(store, out, *fsdps):
    start_processes()
    training = dataclasses.replace(
        training_preset("tiny"),
        batch_size=16,
        accumulation=2,
        optimiser=OptimiserConfig(learning_rate=1e-3, warmup_steps=0, ema_rate=0.9),
    )
    plan = plan_backbone(training, store)
    found = {}
    for fsdp in map(int, fsdps):
        mesh = make_mesh(fsdp=fsdp) if fsdp else make_mesh(jax.devices()[:1])
        begun = time.perf_counter()
        on_mesh = dataclasses.replace(plan, mesh=mesh)
        shapes, shardings = state_layout(on_mesh)
        step, _ = compiled_step(on_mesh, shapes, shardings)
        state = initial_state(on_mesh, shardings)
        record(found, f"{fsdp}/start", state, mesh)
        batches = on_devices(plan.batches.from_step(0), batch_sharding(mesh))
        losses = []
        for _ in range(STEPS):
            state, report = step(state, next(batches))
            losses.append(float(report.loss))
        found[f"{fsdp}/losses"] = np.array(losses)
        record(found, f"{fsdp}/end", state, mesh)
        print(f"fsdp {fsdp}: {time.perf_counter() - begun:.1f} s", flush=True)
    if jax.process_index() == 0:
        np.savez(out, **found)


def record(found, prefix, state, mesh):
    """All arrays of a state, whole, in host memory."""
    parts = {"params": state.params, "ema": state.ema_params, "moments": state.moments}
    whole = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(parts)
    for path, leaf in jax.tree_util.tree_leaves_with_path(whole):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        found[f"{prefix}/{name}"] = np.asarray(leaf.addressable_data(0))


if __name__ == "__main__":
    main(*sys.argv[1:])
