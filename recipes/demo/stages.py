"""What made the demo model, command by command, as data.

    S2L2A_10m --> nine other autoencoders --> further runs --> autoencoders/ --> latents/
                              latents/ --> backbone/ --> model/

Each autoencoder but that of S2L2A_10m starts from its first run. A further run goes on from the one before with another
seed and a lower learning rate. The backbone sees single patches, each of another cell with its own date and weather.
The short variant is a few steps of one autoencoder and of the backbone, the latter on block averages in place of
latents: enough to see that the same commands give the same numbers.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from copgen_jax.config import preset

WORLD = 0
"""Seed of the world that is trained on. Held-out cells are a tenth, by hash of their names."""
FIRST = "S2L2A_10m"
AUTOENCODERS: Mapping[str, tuple[int, ...]] = {
    FIRST: (2400, 3000, 600),
    "S2L1C_10m": (500, 1500, 500),
    "DEM": (1000, 2500),
    "S2L2A_20m": (700, 1100),
    "S2L1C_20m": (700, 1100),
    "S2L2A_60m": (600, 1000),
    "S2L1C_60m": (600, 1000),
    "LULC": (600, 900),
    "S1RTC": (700,),
    "cloud_mask": (400,),
}
"""Updates of 8 patches in each run of a modality; the smaller the images, the cheaper a step."""
LEARNING_RATES = (1e-3, 7e-4, 5e-4)
"""Of first, second and third runs; each falls to a hundredth in a nearly straight line."""
PATCHES = 15_000
"""Of the latent store, each of another cell; a tenth is for tests."""
WEIGHTS: Mapping[str, float] = {"location": 0.2, "timestamp": 0.2, "S2L1C_60m": 0.3, "S2L2A_60m": 0.3}
"""In the backbone's loss, where they are not 1: three numbers, or one token, count less than an image of 36 tokens."""
GIVEN = ("location+DEM+LULC+timestamp", "location+DEM+LULC+timestamp+cloud_mask", "S2L2A")
"""What the demo and the gates give: each in a sixth of the samples."""
GIVEN_SHARE = 0.6
TIME_SHIFT = 3
"""What is decided in noise is asked twice as often as by uniform times."""
STEPS = 3700
"""Updates of the backbone: two minutes of a GPU."""
ON_GPU = ("--config.dtype=bfloat16", "--config.attention=cudnn")
"""Of the backbone, where there is an NVIDIA GPU."""
HALVED = ("--precision", "float16")
SHORT, SHORT_STEPS, SHORT_BATCH = "DEM", 6, 8
"""The autoencoder of the short variant, which is the cheapest, the steps of its two runs, and the backbone's batch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One command. Stages of one wave do not need each other and may run side by side."""

    name: str
    wave: int
    arguments: tuple[str, ...]
    """Of `copgen`."""
    writes: Path


def stages(out: Path, *, jobs: int = 1, gpu: bool = False, short: bool = False) -> list[Stage]:
    """The recipe, in order, writing under `out`.

    Args:
        out: runs, latents and model go here.
        jobs: processes that draw and encode patches side by side.
        gpu: whether the backbone is trained on an NVIDIA GPU, in bfloat16.
        short: the short variant.
    """
    if short:
        return [_autoencoder(out, SHORT, 0, short=True), _backbone(out, 1, "world", short=True)]
    runs = [_autoencoder(out, name, run) for name, steps in AUTOENCODERS.items() for run in range(len(steps))]
    last = [str(run_directory(out, name, len(steps) - 1)) for name, steps in AUTOENCODERS.items()]
    wave = max(stage.wave for stage in runs)
    autoencoders, latents = out / "autoencoders", out / "latents"
    joined = ("export-model", *last, *HALVED, "--out", str(autoencoders))
    commands = [
        Stage(name="autoencoders", wave=wave + 1, arguments=joined, writes=autoencoders),
        *(_latents(latents, autoencoders, task, jobs, wave + 2) for task in range(jobs)),
        _backbone(out, wave + 3, str(latents), gpu=gpu),
        _model(out / "backbone", autoencoders, out / "model", wave + 4),
    ]
    return [*sorted(runs, key=lambda stage: stage.wave), *commands]


def _autoencoder(out: Path, modality: str, run: int, *, short: bool = False) -> Stage:
    """The command of one run, from 0, of a modality."""
    steps = AUTOENCODERS[modality][run]
    arguments = ["train", "vae", "--config", "demo", f"--config.modality={modality}", "--data", f"world:{WORLD}"]
    arguments += [f"--config.optimiser.learning_rate={LEARNING_RATES[run]}", f"--config.seed={run}"]
    # The short variant measures next to nothing.
    arguments += [f"--config.optimiser.decay_steps={steps}", f"--config.habits.measured_patches={1 if short else 128}"]
    before = (modality, run - 1) if run else (FIRST, 0) if modality != FIRST and not short else None
    if before is not None:
        arguments += ["--init", str(run_directory(out, *before))]
    place = run_directory(out, modality, run)
    arguments += [*_steps(SHORT_STEPS if short else steps, short=short), "--out", str(place), "--resume"]
    return Stage(name=place.name, wave=run + (modality != FIRST), arguments=tuple(arguments), writes=place)


def _latents(latents: Path, autoencoders: Path, task: int, tasks: int, wave: int) -> Stage:
    """The command of one of the processes that draw and encode patches."""
    arguments = ("encode", "--data", f"world:{WORLD}:{PATCHES}:patches", "--model", str(autoencoders), "--packed")
    arguments += ("--task", f"{task}/{tasks}", "--threads", "1", "--resume", "--out", str(latents))
    return Stage(name=f"latents-{task}", wave=wave, arguments=arguments, writes=latents)


def _backbone(out: Path, wave: int, latents: str, *, gpu: bool = False, short: bool = False) -> Stage:
    """The command of the backbone: the preset's run, with what is set here and the compute of a GPU."""
    place = out / "backbone"
    arguments = ["train", "backbone", "--config", "demo", "--latents", latents, *(ON_GPU if gpu else ())]
    arguments += [f"--config.objective.modality_weights.{name}={weight}" for name, weight in WEIGHTS.items()]
    arguments += [f"--config.objective.given_sets={','.join(GIVEN)}"]
    arguments += [f"--config.objective.given_sets_share={GIVEN_SHARE}", f"--config.objective.time_shift={TIME_SHIFT}"]
    arguments += [f"--config.optimiser.decay_steps={STEPS}"]
    arguments += [f"--config.batch_size={SHORT_BATCH}"] if short else []
    arguments += [*_steps(SHORT_STEPS if short else STEPS, short=short), "--out", str(place), "--resume"]
    return Stage(name=place.name, wave=wave, arguments=tuple(arguments), writes=place)


def _model(backbone: Path, autoencoders: Path, model: Path, wave: int) -> Stage:
    """The command that joins the backbone with the autoencoders, and makes the preset's solver the default."""
    solver = preset("demo").solver
    arguments = ["export-model", str(backbone), "--autoencoders", str(autoencoders), *HALVED]
    arguments += ["--solver", solver.name, "--evaluations", str(solver.evaluations), "--out", str(model)]
    return Stage(name=model.name, wave=wave, arguments=tuple(arguments), writes=model)


def _steps(steps: int, *, short: bool) -> list[str]:
    """So many updates; the short variant has a row of the log for every one."""
    return [f"--config.habits.steps={steps}", *(["--config.habits.log_every=1"] * short)]


def run_directory(out: Path, modality: str, run: int) -> Path:
    """Where a run, from 0, of a modality's autoencoder goes."""
    return out / f"{modality}-{run + 1}"
