"""The sampler as one exported program (`jax.export`), for serving without this package: size, time to load, speed.

The program holds the whole loop; parameters, given latents, roles and keys are its arguments. It is exported for CPUs
and NVIDIA GPUs at once and run here on what there is.
"""

import argparse
import importlib.util
import time
from typing import Any

from benchmarks import Result
from copgen_jax.config import PRESETS, preset
from copgen_jax.errors import InputError

PLATFORMS = ("cpu", "cuda")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=list(PRESETS), help="default: demo")


def run(quick: bool, size: str | None = None) -> Result:
    """Export, read back, run beside the usual program."""
    if not importlib.util.find_spec("flatbuffers"):
        raise InputError("jax.export writes with flatbuffers, which is not installed: pip install copgen_jax[bench]")
    import jax
    import jax.export
    import jax.numpy as jnp

    from benchmarks.ours import backbone_params
    from copgen_jax.sampling import make_sampler, sample_keys

    config = preset(size or ("tiny" if quick else "demo"))
    sample = make_sampler(config, solver="published", evaluations=10)
    params = backbone_params(config)
    nothing = {m.name: jnp.zeros((1, *m.latent_shape)) for m in config.modalities}
    roles = jnp.asarray(config.modalities.roles(given=[], want=list(config.modalities.names)))
    keys = jax.random.key_data(sample_keys(0, ["somewhere"], [0]))

    begun = time.perf_counter()
    exported = jax.export.export(jax.jit(sample), platforms=PLATFORMS)(params, nothing, roles, keys)
    program = bytes(exported.serialize())
    exporting = time.perf_counter() - begun
    begun = time.perf_counter()
    served = jax.jit(jax.export.deserialize(bytearray(program)).call)
    out = jax.block_until_ready(served(params, nothing, roles, keys))
    starting = time.perf_counter() - begun
    usual = jax.jit(sample)
    begun = time.perf_counter()
    expected = jax.block_until_ready(usual(params, nothing, roles, keys))
    compiling = time.perf_counter() - begun
    seconds: dict[str, list[float]] = {"served": [], "usual": []}
    for _ in range(5):
        for name, function in (("served", served), ("usual", usual)):
            begun = time.perf_counter()
            jax.block_until_ready(function(params, nothing, roles, keys))
            seconds[name].append(time.perf_counter() - begun)
    difference = max(float(jnp.abs(out[name] - expected[name]).max()) for name in out)
    common: dict[str, Any] = {"size": size or ("tiny" if quick else "demo"), "evaluations": 10}
    return Result(
        title="The sampler as an exported program",
        rows=[
            {**common, "program": "exported", "MB": len(program) / 1e6, "s to make": exporting,
             "s to the first sample": starting, "s warm": min(seconds["served"])},
            {**common, "program": "usual", "MB": None, "s to make": None,
             "s to the first sample": compiling, "s warm": min(seconds["usual"])},
        ],
        notes=[
            f"Exported for {' and '.join(PLATFORMS)}, without parameters. Largest difference between the samples of "
            f"the two programs: {difference:.1e}."
        ],
    )  # fmt: skip
