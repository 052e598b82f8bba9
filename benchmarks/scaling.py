"""Communication of a training step, counted in the compiled program for simulated devices; and many GPUs on paper.

Time on simulated devices means nothing, but what travels does: every collective operation of the compiled step is
counted, times the trips of the loop it stands in. With P parameters in float32 on n devices a formula says how much
it should be, in units of what a device sends in a ring:

    data parallel   gradients are summed:                    all-reduce of 4 P bytes, 2 (n - 1) / n of it sent
    FSDP            parameters gathered forward and back,
                    gradients summed into shares:            3 times 4 P bytes, (n - 1) / n of it sent

The model on paper puts this, with stated speeds of the links, beside the time of computing.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import Result
from benchmarks.formulas import train_flops
from benchmarks.machine import in_own_process
from copgen_jax.config import PRESETS, preset

DEVICES = 8
COLLECTIVES: tuple[str, ...] = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BYTES = {"f32": 4, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "pred": 1, "f64": 8, "s8": 1, "u8": 1, "s64": 8}

GPU_FLOPS = 395e12
"""A second on one H200: half of about 790 TFLOP/s measured in bfloat16 products; a target, not a measurement."""
NODE = 8
LINK_IN_NODE = 450e9
"""Bytes a second out of one GPU over NVLink (maker's figure)."""
LINK_BETWEEN_NODES = 50e9
"""Bytes a second out of one GPU between nodes (400 Gbit/s for each)."""
SAMPLES = 1024
"""Of an update, as published."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=list(PRESETS), help="compiled for simulated devices (default: demo)")


def run(quick: bool, size: str | None = None) -> Result:
    """Counts on simulated devices, then the model on paper."""
    size = size or ("tiny" if quick else "demo")
    meshes = [(DEVICES, 1), (1, DEVICES)] if quick else [(DEVICES, 1), (2, 4), (1, DEVICES)]
    rows = [_counted(size, fsdp) for _, fsdp in meshes]
    for name in ("base", "large", "huge"):
        rows += [_on_paper(name, devices) for devices in (8, 16, 32, 64, 128, 256, 512)]
    return Result(
        title="Scaling: what travels in a training step, and a model on paper",
        rows=rows,
        notes=[
            f"Counted: the compiled step of the {size} size on {DEVICES} simulated devices, collectives of loops times "
            "their trips; MB of results on one device. The formula counts parameters and gradients only.",
            f"On paper: data parallel, {SAMPLES} samples an update, {GPU_FLOPS / 1e12:.0f} TFLOP/s a GPU (half of a "
            f"measured matmul peak), {LINK_IN_NODE / 1e9:.0f} GB/s in a node of {NODE}, "
            f"{LINK_BETWEEN_NODES / 1e9:.0f} GB/s between nodes; all figures of links and GPUs are assumptions. "
            "Efficiency without any overlap of communication with computing, and with all that can be hidden behind "
            "the backward pass.",
        ],
    )


def _row(kind: str, size: str, devices: int, mesh: str, **columns: Any) -> dict[str, Any]:
    fields = ("collectives", "MB", "MB by formula", "samples/s", "efficiency, no overlap", "efficiency, overlapped")
    return {"kind": kind, "size": size, "devices": devices, "mesh": mesh, **dict.fromkeys(fields), **columns}


# Counting in a compiled program.


def _counted(size: str, fsdp: int) -> dict[str, Any]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"
    found = in_own_process("benchmarks.scaling", size, str(fsdp), XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    megabytes = sum(found["bytes"].values()) / 1e6
    expected = 4 * found["parameters"] / 1e6 * (1 if fsdp == 1 else 3 if fsdp == DEVICES else 3 + 1 / fsdp)
    return _row(
        "counted",
        size,
        DEVICES,
        f"data {DEVICES // fsdp} x fsdp {fsdp}",
        **{
            "collectives": ", ".join(f"{count} {kind}" for kind, count in found["counts"].items() if count),
            "MB": megabytes,
            "MB by formula": expected,
        },
    )


def compile_for(size: str, fsdp: int) -> tuple[str, int]:
    """The compiled step as text, and the parameters; nothing is computed."""
    import jax
    import numpy as np

    from benchmarks.ours import random_latents
    from copgen_jax.diffusion.objective import Objective
    from copgen_jax.diffusion.schedule import NoiseSchedule
    from copgen_jax.parallel import batch_sharding, make_mesh, replicated, state_shardings
    from copgen_jax.training.checkpointing import abstract_state
    from copgen_jax.training.config import OptimiserConfig
    from copgen_jax.training.optimiser import make_optimiser, start_state
    from copgen_jax.training.step import make_train_step, training_backbone

    config = preset(size)
    backbone, mesh, optimiser = training_backbone(config), make_mesh(fsdp=fsdp), OptimiserConfig()
    times = {name: np.zeros(1, np.float32) for name in config.modalities.names}

    def initial() -> Any:
        params = backbone.init(jax.random.key(0), random_latents(config, 1), times)["params"]
        return start_state(params, make_optimiser(optimiser))

    shapes = jax.eval_shape(initial)
    shardings = state_shardings(mesh, shapes)

    def array(*shape: int, dtype: Any = np.float32) -> Any:
        return jax.ShapeDtypeStruct((len(jax.devices()), *shape), dtype, sharding=batch_sharding(mesh))

    moments = {m.name: array(*m.latent_shape[:2], 2 * m.latent_channels) for m in config.modalities.images}
    vectors = {m.name: array(3) for m in config.modalities.vectors}
    batch = {"moments": moments, "vectors": vectors, "presence": array(len(config.modalities), dtype=bool)}
    step = make_train_step(
        backbone, Objective(schedule=NoiseSchedule(config.schedule)), optimiser, seed=0, mesh=mesh
    )  # fmt: skip
    jitted = jax.jit(step, out_shardings=(shardings, replicated(mesh)), donate_argnums=0)
    text = jitted.lower(abstract_state(shapes, shardings), batch).compile().as_text() or ""
    count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes.params))
    return text, count


def collectives(text: str) -> tuple[dict[str, int], dict[str, int]]:
    """How often each collective operation runs, and the bytes of its results, in a compiled program (HLO text)."""
    computations, entry = _computations(text)
    counts, sizes = dict.fromkeys(COLLECTIVES, 0), dict.fromkeys(COLLECTIVES, 0)

    def walk(name: str, times: int) -> None:
        for line in computations.get(name, []):
            for kind in COLLECTIVES:
                # An asynchronous operation is counted where it ends: its start repeats the operand in its result.
                if re.search(rf"\s{kind}(-done)?\(", line):
                    counts[kind] += times
                    sizes[kind] += times * _result_bytes(line)
            loop = re.search(r"body=%?([\w.-]+)", line)
            if loop:
                trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
                walk(loop.group(1), times * int(trips.group(1) if trips else 1))
            for called in re.findall(r"(?:to_apply|calls)=%?([\w.-]+)", line):
                if " call(" in line or " fusion(" in line:
                    walk(called, times)

    walk(entry, 1)
    return counts, sizes


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """The lines of each named computation, and the name of the one that is run."""
    found: dict[str, list[str]] = {}
    entry = name = ""
    for line in text.splitlines():
        header = re.match(r"(ENTRY )?%?([\w.-]+) .*\{$", line)
        if header and not line.startswith(" "):
            name = header.group(2)
            entry = name if header.group(1) else entry
            found[name] = []
        elif name:
            found[name].append(line)
    return found, entry


def _result_bytes(line: str) -> int:
    """Of an instruction's result, a tuple's parts together."""
    result = re.split(rf"\s(?:{'|'.join(COLLECTIVES)})", line.split("=", 1)[1])[0]
    return sum(size for size in _array_bytes(result))


def _array_bytes(text: str) -> Iterator[int]:
    for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", text):
        count = 1
        for extent in filter(None, shape.split(",")):
            count *= int(extent)
        yield count * BYTES.get(dtype, 4)


# On paper.


def _on_paper(size: str, devices: int) -> dict[str, Any]:
    from copgen_jax.model import build_backbone
    from copgen_jax.training.cost import parameter_count

    config = preset(size)
    gradients = 4 * parameter_count(build_backbone(config))
    computing = train_flops(config) * SAMPLES / devices / GPU_FLOPS
    travelling = all_reduce_seconds(gradients, devices)
    backward = computing * 2 / 3
    exposed = max(0.0, travelling - backward)
    return _row(
        "on paper",
        size,
        devices,
        f"data {devices}",
        **{
            "MB by formula": gradients / 1e6,
            "samples/s": SAMPLES / (computing + exposed),
            "efficiency, no overlap": computing / (computing + travelling),
            "efficiency, overlapped": computing / (computing + exposed),
        },
    )


def all_reduce_seconds(count: float, devices: int) -> float:
    """Summing `count` bytes over devices: in the node, then a share of it between nodes, as rings."""
    inside = min(devices, NODE)
    nodes = devices // inside
    seconds = 2 * (inside - 1) / inside * count / LINK_IN_NODE
    return seconds + 2 * (nodes - 1) / nodes * count / inside / LINK_BETWEEN_NODES


def main(size: str, fsdp: str) -> None:
    text, parameters = compile_for(size, int(fsdp))
    counts, sizes = collectives(text)
    print(json.dumps({"counts": counts, "bytes": sizes, "parameters": parameters}))


if __name__ == "__main__":
    main(*sys.argv[1:])
