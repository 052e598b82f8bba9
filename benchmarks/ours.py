"""What this project does in benchmarks: the tasks that `contest.Work` names, built with random parameters.

Speed does not depend on values, so nothing is downloaded.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import contest
from benchmarks.contest import Work
from copgen_jax.cli.allocation import keep_freed_memory
from copgen_jax.config import ModelConfig, preset
from copgen_jax.diffusion.objective import Objective
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.model import build_autoencoder, build_backbone
from copgen_jax.nn.backbone import Backbone
from copgen_jax.sampling import make_sampler, sample_keys
from copgen_jax.training.config import OptimiserConfig
from copgen_jax.training.optimiser import make_optimiser, start_state
from copgen_jax.training.step import make_train_step
from copgen_jax.types import Params

Built = tuple[Callable[[], Any], dict[str, Any]]
"""The work, to be called again and again, and what is to be said about it; its "program" as it was compiled."""


def build(work: Work) -> Built:
    """The work of a description, compiled; a process that trains keeps its memory, as the program does."""
    if work.task == "train":
        keep_freed_memory()
    return TASKS[work.task](work, preset(work.size))


def peak_megabytes() -> float:
    """Of the device where it counts; else of the process."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics["peak_bytes_in_use"] / 2**20 if "peak_bytes_in_use" in statistics else contest.peak_megabytes()


def random_params(shapes: Any, scale: float = 0.02) -> Params:
    """Normal numbers in the shapes of a tree."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda s: jax.device_put(scale * rng.standard_normal(s.shape, np.float32)), shapes)


def random_latents(config: ModelConfig, batch: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(1)
    return {m.name: jnp.asarray(rng.standard_normal((batch, *m.latent_shape), np.float32)) for m in config.modalities}


def backbone_params(config: ModelConfig) -> Params:
    backbone = build_backbone(config)
    times = {name: jnp.zeros(1) for name in config.modalities.names}
    shapes = jax.eval_shape(lambda: backbone.init(jax.random.key(0), random_latents(config, 1), times))
    return random_params(shapes["params"])


def autoencoder_params(config: ModelConfig, name: str) -> Params:
    autoencoder = build_autoencoder(config, name)
    image = jnp.zeros((1, *config.modalities[name].image_shape))
    return random_params(jax.eval_shape(lambda: autoencoder.init(jax.random.key(0), image))["params"])


def compiled(function: Callable[..., Any], *arguments: Any, donate: tuple[int, ...] = ()) -> tuple[Any, dict[str, Any]]:
    """The function compiled for these arguments, and how long that took and what it will need."""
    begun = time.perf_counter()
    program = jax.jit(function, donate_argnums=donate).lower(*arguments).compile()
    seconds = time.perf_counter() - begun
    memory: Any = program.memory_analysis()
    return program, {
        "program": program,
        "compile_seconds": seconds,
        "temporary_megabytes": memory.temp_size_in_bytes / 2**20,
        "output_bytes": memory.output_size_in_bytes - memory.alias_size_in_bytes,
    }


def _once_for_all(function: Callable[..., Any], *arguments: Any) -> Built:
    program, details = compiled(function, *arguments)
    return lambda: jax.block_until_ready(program(*arguments)), details


def _forward(work: Work, config: ModelConfig) -> Built:
    backbone = build_backbone(config, dtype=work.setting, attention=work.options.get("attention", "plain"))
    times = {name: jnp.full(work.batch, 500.0) for name in config.modalities.names}
    latents = random_latents(config, work.batch)
    params = backbone_params(config)
    return _once_for_all(lambda p, x, t: backbone.apply({"params": p}, x, t), params, latents, times)


def _train(work: Work, config: ModelConfig) -> Built:
    """A whole step: posterior and noise drawn, gradient, AdamW, average."""
    backbone = build_backbone(
        config,
        dtype=work.setting,
        attention=work.options.get("attention", "plain"),
        remat=work.options.get("remat", "none"),
    )
    optimiser = OptimiserConfig()
    step = make_train_step(backbone, Objective(schedule=NoiseSchedule(config.schedule)), optimiser, seed=0)
    rng = np.random.default_rng(2)
    batch = {
        "moments": {
            m.name: jnp.asarray(
                rng.standard_normal((work.batch, *m.latent_shape[:2], 2 * m.latent_channels), np.float32)
            )
            for m in config.modalities.images
        },
        "vectors": {m.name: jnp.ones((work.batch, 3)) for m in config.modalities.vectors},
        "presence": jnp.ones((work.batch, len(config.modalities)), bool),
    }
    state = [start_state(backbone_params(config), make_optimiser(optimiser))]
    program, details = compiled(step, state[0], batch, donate=(0,))

    def do() -> None:
        state[0], report = program(state[0], batch)
        jax.block_until_ready((state[0], report))

    return do, details


def _sample(work: Work, config: ModelConfig) -> Built:
    """Latents of all modalities from noise."""
    sample = make_sampler(
        config, solver="published", evaluations=work.options.get("evaluations", 10), dtype=work.setting
    )
    roles = jnp.asarray(config.modalities.roles(given=[], want=list(config.modalities.names)))
    keys = sample_keys(0, ["somewhere"] * work.batch, range(work.batch))
    nothing = {m.name: jnp.zeros((work.batch, *m.latent_shape)) for m in config.modalities}
    return _once_for_all(sample, backbone_params(config), nothing, roles, keys)


def _autoencode(work: Work, config: ModelConfig) -> Built:
    """`encode` or `decode` of the modalities in the options, one program each."""
    parts, details = [], {"compile_seconds": 0.0, "temporary_megabytes": 0.0, "output_bytes": 0}
    rng = np.random.default_rng(3)
    for name in work.options["modalities"]:
        modality = config.modalities[name]
        autoencoder = build_autoencoder(config, name, dtype=work.setting)
        shape = modality.image_shape if work.task == "encode" else modality.latent_shape
        values = jnp.asarray(rng.standard_normal((work.batch, *shape), np.float32))
        params = autoencoder_params(config, name)

        def apply(params: Params, values: Any, autoencoder: Any = autoencoder) -> Any:
            return autoencoder.apply({"params": params}, values, method=work.task)

        program, found = compiled(apply, params, values)
        parts.append((program, params, values))
        details["compile_seconds"] += found["compile_seconds"]
        details["temporary_megabytes"] = max(details["temporary_megabytes"], found["temporary_megabytes"])
        details["output_bytes"] += found["output_bytes"]
    return lambda: jax.block_until_ready([program(params, values) for program, params, values in parts]), details


def _matmul(work: Work, _: ModelConfig) -> Built:
    """Square matrices of `options["side"]`, or (rows, inner, columns) of `options["shape"]`."""
    rows, inner, columns = work.options["shape"]
    rng = np.random.default_rng(4)
    a, b = (jnp.asarray(rng.standard_normal(s, np.float32), work.setting) for s in ((rows, inner), (inner, columns)))
    return _once_for_all(lambda a, b: a @ b, a, b)


def _convolution(work: Work, _: ModelConfig) -> Built:
    """A 3x3 convolution, (batch, side, side, channels) to itself."""
    side, channels = work.options["side"], work.options["channels"]
    rng = np.random.default_rng(5)
    image, kernel = (
        jnp.asarray(rng.standard_normal(s, np.float32), work.setting)
        for s in ((work.batch, side, side, channels), (3, 3, channels, channels))
    )

    def convolve(image: Any, kernel: Any) -> Any:
        return jax.lax.conv_general_dilated(image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return _once_for_all(convolve, image, kernel)


TASKS: dict[str, Callable[[Work, ModelConfig], Built]] = {
    "forward": _forward,
    "train": _train,
    "sample": _sample,
    "encode": _autoencode,
    "decode": _autoencode,
    "matmul": _matmul,
    "convolution": _convolution,
}


def unrolled(config: ModelConfig) -> Backbone:
    """The backbone with its blocks one after another: XLA's cost analysis counts the body of a loop once."""
    backbone = build_backbone(config)
    return backbone.clone(written_out=backbone.depth)
