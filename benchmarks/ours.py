"""What this project does in benchmarks: the tasks that `contest.Work` names, built with random parameters.

Speed does not depend on values, so nothing is downloaded.
"""

import concurrent.futures
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import contest
from benchmarks.contest import Work
from copgen_jax.config import ModelConfig, preset
from copgen_jax.diffusion.objective import Objective
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.model import build_autoencoder, build_backbone
from copgen_jax.nn.backbone import Backbone
from copgen_jax.nn.layers import matmul
from copgen_jax.sampling import make_sampler, sample_keys
from copgen_jax.training.config import OptimiserConfig
from copgen_jax.training.optimiser import make_optimiser, start_state
from copgen_jax.training.step import make_train_step, training_backbone
from copgen_jax.types import Params

Built = tuple[Callable[[], Any], dict[str, Any]]
"""The work, to be called again and again, and what is to be said about it; its "program" as it was compiled."""

AHEAD = True
"""`build` compiles; several may at once."""


def build(work: Work) -> Built:
    """The work of a description, compiled."""
    return TASKS[work.task](work, preset(work.size))


def first(do: Callable[[], Any], details: dict[str, Any]) -> dict[str, Any]:
    """Do it the first time: seconds with compilation, and on a device that counts its peak as if it held nothing else.

    The peak is None where there was a higher one before.
    """
    held, peak_before = _device_megabytes()
    seconds = contest.timed(do)["wall"]
    _, peak = _device_megabytes()
    said = {"first": details["compile_seconds"] + seconds}
    if peak:
        said["device_megabytes"] = peak - held + details["argument_megabytes"] if peak > peak_before else None
    return said


def _device_megabytes() -> tuple[float, float]:
    """In use, and the most there ever was; zero where the device does not count."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("bytes_in_use", 0) / 2**20, statistics.get("peak_bytes_in_use", 0) / 2**20


def release() -> None:
    """What was forgotten is free already."""


def random_params(shapes: Any, scale: float = 0.02) -> Params:
    """Normal numbers in the shapes of a tree; the same ones again and again, which takes a tenth of the time."""
    numbers = scale * np.random.default_rng(0).standard_normal(1_000_003, np.float32)
    return jax.tree.map(lambda s: jax.device_put(np.resize(numbers, s.shape)), shapes)


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
        "argument_megabytes": memory.argument_size_in_bytes / 2**20,
        "temporary_megabytes": memory.temp_size_in_bytes / 2**20,
        "output_bytes": memory.output_size_in_bytes - memory.alias_size_in_bytes,
    }


def _once_for_all(function: Callable[..., Any], *arguments: Any, repeat: int = 1) -> Built:
    """`repeat`: times without waiting in between, where waiting for a device would take a part of the time."""
    program, details = compiled(function, *arguments)
    return lambda: jax.block_until_ready([program(*arguments) for _ in range(repeat)][-1]), details


def _forward(work: Work, config: ModelConfig) -> Built:
    backbone = build_backbone(config, dtype=work.setting, attention=work.options.get("attention", "plain"))
    times = {name: jnp.full(work.batch, 500.0) for name in config.modalities.names}
    latents = random_latents(config, work.batch)
    params = backbone_params(config)
    return _once_for_all(lambda p, x, t: backbone.apply({"params": p}, x, t), params, latents, times)


def _train(work: Work, config: ModelConfig) -> Built:
    """A whole step: posterior and noise drawn, gradient, AdamW, average."""
    backbone = training_backbone(
        config,
        dtype=work.setting,
        attention=work.options.get("attention", "plain"),
        remat=work.options.get("remat", "none"),
    )
    if work.options.get("written_out"):
        backbone = backbone.clone(loop=False)
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
        config,
        solver="published",
        evaluations=work.options.get("evaluations", 10),
        dtype=work.setting,
        attention=work.options.get("attention", "plain"),
    )
    roles = jnp.asarray(config.modalities.roles(given=[], want=list(config.modalities.names)))
    keys = sample_keys(0, ["somewhere"] * work.batch, range(work.batch))
    nothing = {m.name: jnp.zeros((work.batch, *m.latent_shape)) for m in config.modalities}
    return _once_for_all(sample, backbone_params(config), nothing, roles, keys)


def _autoencode(work: Work, config: ModelConfig) -> Built:
    """`encode` or `decode` of the modalities in the options, one program each."""
    parts: list[Any] = []
    details: dict[str, Any] = {}
    rng = np.random.default_rng(3)

    def part(name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        modality = config.modalities[name]
        autoencoder = build_autoencoder(config, name, dtype=work.setting)
        shape = modality.image_shape if work.task == "encode" else modality.latent_shape
        values = jax.device_put(rng.standard_normal((work.batch, *shape), np.float32))
        params = autoencoder_params(config, name)

        def apply(params: Params, values: Any) -> Any:
            return autoencoder.apply({"params": params}, values, method=work.task)

        program, found = compiled(apply, params, values)
        return (program, params, values), found

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for arrays, found in pool.map(part, work.options["modalities"]):
            parts.append(arrays)
            details = {key: details.get(key, 0.0) + found[key] for key in found if key != "program"} | {
                # The programs run one after the other.
                "temporary_megabytes": max(details.get("temporary_megabytes", 0.0), found["temporary_megabytes"])
            }
    return lambda: jax.block_until_ready([program(params, values) for program, params, values in parts]), details


def _matmul(work: Work, _: ModelConfig) -> Built:
    """(rows, inner, columns) of `options["shape"]`, `options["repeat"]` times."""
    rows, inner, columns = work.options["shape"]
    rng = np.random.default_rng(4)
    a, b = (jnp.asarray(rng.standard_normal(s, np.float32), work.setting) for s in ((rows, inner), (inner, columns)))
    return _once_for_all(matmul, a, b, repeat=work.options.get("repeat", 1))


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
    return build_backbone(config, loop=False)
