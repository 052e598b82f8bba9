"""What the twin does in benchmarks: the tasks of `benchmarks/ours.py`, in two settings.

`original`: as the published code runs: float16 autocast with attention in float32, activation checkpointing in
training, nothing compiled; `original bfloat16` the same in bfloat16, for processors without float16 instructions.
`float32`, `bfloat16`, `float16`: as fast as PyTorch goes in this type: autocast, fused attention, `torch.compile` (each
kind of block once), channels-last convolutions, the fused AdamW, no checkpointing; on a GPU products of float32
matrices by its short float32 (TF32), and with the option `attention: cudnn` cuDNN's attention before PyTorch's own.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import contest
from benchmarks.contest import Work
from benchmarks.twin.autoencoder import Residual, TwinAutoencoder
from benchmarks.twin.backbone import Block, TwinBackbone
from copgen_jax.config import ModelConfig, ScheduleConfig, SolverConfig, preset
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.diffusion.solvers import solver_table
from copgen_jax.modalities import Modality
from copgen_jax.training.config import OptimiserConfig

Built = tuple[Callable[[], Any], dict[str, Any]]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


AHEAD = False
"""`build` compiles nothing yet."""


def build(work: Work) -> Built:
    """The work of a description; it compiles when it is first called."""
    torch.manual_seed(0)
    # Each of many shapes is to be compiled for itself; the default gives up after a few.
    torch._dynamo.config.recompile_limit = 64  # pyright: ignore
    torch.backends.cudnn.benchmark = True
    held = _held_megabytes()
    do = TASKS[work.task](work, preset(work.size))
    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    if work.options.get("attention") == "cudnn":
        kernels = [SDPBackend.CUDNN_ATTENTION, *kernels]

    def once() -> None:
        # Settings of the whole process, and work in another setting may have been done before.
        torch.set_float32_matmul_precision("highest" if work.original else "high")
        with sdpa_kernel(kernels, set_priority=True):
            do()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    return once, {"held_megabytes": held}


def first(do: Callable[[], Any], details: dict[str, Any]) -> dict[str, Any]:
    """Do it the first time: seconds with compilation, and a GPU's peak as if it held nothing else."""
    said, held = {"first": contest.timed(do)["wall"]}, details.pop("held_megabytes")
    if DEVICE.type == "cuda":
        # Compiling takes memory too, so the peak is that of a second time.
        torch.cuda.reset_peak_memory_stats()
        do()
        said["device_megabytes"] = torch.cuda.max_memory_allocated() / 2**20 - held
    return said


def release() -> None:
    """Give what was forgotten back to the device."""
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()


def _held_megabytes() -> float:
    return torch.cuda.memory_allocated() / 2**20 if DEVICE.type == "cuda" else 0.0


def _autocast(work: Work) -> Any:
    if work.dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(DEVICE.type, getattr(torch, work.dtype))


def _latent_shape(modality: Modality, batch: int) -> tuple[int, ...]:
    if not modality.is_image:
        return batch, 1, 1, 3
    height, width, channels = modality.latent_shape
    return batch, channels, height, width


def _backbone(work: Work, config: ModelConfig) -> TwinBackbone:
    original = work.original
    assert config.backbone is not None
    twin = TwinBackbone(
        config.modalities,
        **dataclasses.asdict(config.backbone),
        attention="float32" if original else work.options.get("attention", "fused"),
        checkpointing=original,
    ).to(DEVICE)
    return twin if original else _compiled(twin, Block)


def _compiled(module: nn.Module, kind: type[nn.Module]) -> Any:
    """Every part of a kind compiled: they share their programs."""
    for part in module.modules():
        if isinstance(part, kind):
            part.compile(dynamic=False)
    return module


def _forward(work: Work, config: ModelConfig) -> Callable[[], Any]:
    twin = _backbone(work, config).eval()
    latents = {m.name: torch.randn(_latent_shape(m, work.batch), device=DEVICE) for m in config.modalities}
    times = torch.full((len(config.modalities), work.batch), 500.0, device=DEVICE)

    def do() -> Any:
        with torch.inference_mode(), _autocast(work):
            return twin(latents, times)

    return do


def _train(work: Work, config: ModelConfig) -> Callable[[], Any]:
    """A whole step: posterior and noise drawn, gradient, AdamW, average."""
    twin = _backbone(work, config).train()
    settings = OptimiserConfig()
    parameters = list(twin.parameters())
    average = [p.detach().clone() for p in parameters]
    optimiser = torch.optim.AdamW(
        parameters,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=not work.original,
    )
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=work.dtype == "float16")
    schedule = NoiseSchedule(ScheduleConfig())
    alphas, sigmas = (
        torch.tensor([float(curve(n / 1000)) for n in range(1001)], device=DEVICE)
        for curve in (schedule.alpha, schedule.sigma)
    )
    moments = {
        m.name: torch.randn(work.batch, 2 * m.latent_channels, *m.latent_shape[:2], device=DEVICE)
        for m in config.modalities.images
    }

    def clean(modality: Modality) -> Tensor:
        if not modality.is_image:
            return torch.ones(_latent_shape(modality, work.batch), device=DEVICE)
        mean, log_variance = moments[modality.name].chunk(2, dim=1)
        deviation = torch.exp(0.5 * log_variance.clamp(-30.0, 20.0))
        return modality.scale_factor * (mean + deviation * torch.randn_like(mean))

    def do() -> Any:
        steps = torch.randint(1, 1001, (len(config.modalities), work.batch), device=DEVICE)
        noise, noised = {}, {}
        for m, n in zip(config.modalities, steps, strict=True):
            latent = clean(m)
            noise[m.name] = torch.randn_like(latent)
            shape = (-1, 1, 1, 1)
            noised[m.name] = alphas[n].view(shape) * latent + sigmas[n].view(shape) * noise[m.name]
        with _autocast(work):
            predictions = twin(noised, steps.float())
        loss = sum(((predictions[name] - noise[name]) ** 2).mean() for name in noise)
        scaler.scale(loss).backward()  # pyright: ignore
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - settings.ema_rate)

    return do


def _sample(work: Work, config: ModelConfig) -> Callable[[], Any]:
    """Latents of all modalities from noise, with the same table of coefficients."""
    twin = _backbone(work, config).eval()
    schedule = NoiseSchedule(ScheduleConfig())
    table = solver_table(SolverConfig().name, schedule, work.options.get("evaluations", 10))

    def do() -> Any:
        x = {m.name: torch.randn(_latent_shape(m, work.batch), device=DEVICE) for m in config.modalities}
        base, history = x, [{name: torch.zeros_like(v) for name, v in x.items()}] * (table.next_row.shape[1] - 1)
        with torch.inference_mode(), _autocast(work):
            for time, next_row, base_row in zip(table.network_time, table.next_row, table.base_row, strict=True):
                alpha, sigma = float(schedule.alpha(time / 1000)), float(schedule.sigma(time / 1000))
                times = torch.full((len(config.modalities), work.batch), float(time), device=DEVICE)
                noise = twin(x, times)
                data = {name: (x[name] - sigma * noise[name]) / alpha for name in x}
                history = [data, *history[:-1]]
                x, base = _combined(next_row, base, history), _combined(base_row, base, history)
        return x

    return do


def _combined(row: Any, base: dict[str, Tensor], history: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {
        name: sum((float(c) * part[name] for c, part in zip(row[1:], history, strict=True)), float(row[0]) * base[name])
        for name in base
    }


def _autoencode(work: Work, config: ModelConfig) -> Callable[[], Any]:
    parts = []
    for name in work.options["modalities"]:
        modality = config.modalities[name]
        twin = TwinAutoencoder(
            channels=modality.channels,
            latent_channels=modality.latent_channels,
            **dataclasses.asdict(config.autoencoders[name]),
            fused_attention=not work.original,
        ).to(DEVICE)
        height, width, channels = modality.image_shape if work.task == "encode" else modality.latent_shape
        values = torch.randn(work.batch, channels, height, width, device=DEVICE)
        if not work.original:
            twin, values = twin.to(memory_format=torch.channels_last), values.to(memory_format=torch.channels_last)  # pyright: ignore
            if work.options.get("compile", True):
                _compiled(twin, Residual)
        parts.append((getattr(twin.eval(), work.task), values))

    def do() -> Any:
        # The original decodes and encodes in float32.
        with torch.inference_mode(), contextlib.nullcontext() if work.original else _autocast(work):
            return [run(values) for run, values in parts]

    return do


def _matmul(work: Work, _: ModelConfig) -> Callable[[], Any]:
    rows, inner, columns = work.options["shape"]
    dtype = getattr(torch, work.setting)
    a, b = torch.randn(rows, inner, device=DEVICE).to(dtype), torch.randn(inner, columns, device=DEVICE).to(dtype)
    return lambda: [a @ b for _ in range(work.options.get("repeat", 1))][-1]


def _convolution(work: Work, _: ModelConfig) -> Callable[[], Any]:
    side, channels = work.options["side"], work.options["channels"]
    convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    convolution = convolution.to(DEVICE, getattr(torch, work.setting), memory_format=torch.channels_last)  # pyright: ignore
    image = torch.randn(work.batch, channels, side, side, device=DEVICE, dtype=getattr(torch, work.setting))
    image = image.to(memory_format=torch.channels_last)

    def do() -> Any:
        with torch.inference_mode():
            return convolution(image)

    return do


TASKS: dict[str, Callable[[Work, ModelConfig], Callable[[], Any]]] = {
    "forward": _forward,
    "train": _train,
    "sample": _sample,
    "encode": _autoencode,
    "decode": _autoencode,
    "matmul": _matmul,
    "convolution": _convolution,
}
