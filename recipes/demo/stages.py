"""What made the demo model, command by command, as data.

    cells/ --> ten autoencoders --> autoencoders/ --> latents/ --> backbone/ --> model/

Autoencoders go on from those beside this file, on whole cells of the synthetic world, whose patches share place, date
and weather; the backbone is trained on single patches, each of another cell with a date and weather of its own. The
short variant is a few steps of one autoencoder and of the backbone, fresh ones, on patches drawn one by one in place of
cells, and on block averages in place of latents: enough to see that the same commands give the same numbers.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from copgen_jax.config import preset

WORLD = 0
"""Seed of the world that is trained on. Held-out cells are a tenth, by hash of their names."""
BEGINNING = Path(__file__).parent / "autoencoders"
"""Autoencoders that two cores trained in two hours; `logs/` has their curves."""
CELLS = 96
"""Of the autoencoders: 11,600 patches."""
AUTOENCODERS: Mapping[str, int] = {
    "S2L2A_10m": 2000,
    "S2L1C_10m": 2000,
    "LULC": 1500,
    "S1RTC": 500,
    "cloud_mask": 500,
    "S2L2A_20m": 2000,
    "S2L1C_20m": 2000,
    "S2L2A_60m": 2500,
    "S2L1C_60m": 2500,
    "DEM": 4000,
}
"""Updates of 32 patches in the run of a modality; the smaller the images, the cheaper a step."""
AUTOENCODER_BATCH, AUTOENCODER_RATE = 32, 7e-4
SAVE_EVERY = 2000
"""Updates of an autoencoder: seconds on a GPU, and a checkpoint takes one."""
PATCHES = 50_000
"""Of the latent store, each of another cell; a tenth is for tests."""
HALVED = ("--precision", "float16")
WEIGHTS: Mapping[str, float] = {"location": 0.2, "timestamp": 0.2, "S2L1C_60m": 0.3, "S2L2A_60m": 0.3}
"""In the backbone's loss, where they are not 1: three numbers, or one token, count less than an image of 36 tokens."""
GIVEN = ("location+DEM+LULC+timestamp", "location+DEM+LULC+timestamp+cloud_mask", "S2L2A")
"""What the demo and the gates give: each in a sixth of the samples of the backbone."""
GIVEN_SHARE = 0.6
ON_GPU = ("--config.dtype=bfloat16", "--config.attention=cudnn")
"""Of the backbone, where there is an NVIDIA GPU."""
SHORT, SHORT_STEPS, SHORT_BATCH = "DEM", 6, 8
"""The autoencoder of the short variant, which is the cheapest, and the steps of its two runs."""


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
        jobs: processes that draw the world side by side.
        gpu: whether the backbone is trained on an NVIDIA GPU, in bfloat16.
        short: the short variant.
    """
    if short:
        return [_autoencoder(out, SHORT, short=True), _backbone(out, "world", short=True)]
    cells, autoencoders, latents = out / "cells", out / "autoencoders", out / "latents"
    simulated = ("simulate", "--seed", str(WORLD), "--cells", str(CELLS), "--workers", str(jobs))
    joined = ("export-model", *(str(out / name) for name in AUTOENCODERS), *HALVED, "--out", str(autoencoders))
    return [
        Stage(name="cells", wave=0, arguments=(*simulated, "--resume", "--out", str(cells)), writes=cells),
        *(_autoencoder(out, name) for name in AUTOENCODERS),
        Stage(name="autoencoders", wave=2, arguments=joined, writes=autoencoders),
        *(_latents(latents, autoencoders, task, jobs) for task in range(jobs)),
        _backbone(out, str(latents), gpu=gpu),
        _model(out / "backbone", autoencoders, out / "model"),
    ]


def _autoencoder(out: Path, modality: str, *, short: bool = False) -> Stage:
    """The run of a modality's autoencoder."""
    steps, data = (SHORT_STEPS, f"world:{WORLD}") if short else (AUTOENCODERS[modality], str(out / "cells"))
    arguments = ["train", "vae", "--config", "demo", f"--config.modality={modality}", "--data", data]
    arguments += [f"--config.batch_size={SHORT_BATCH if short else AUTOENCODER_BATCH}"]
    arguments += [] if short else ["--init", str(BEGINNING), f"--config.optimiser.learning_rate={AUTOENCODER_RATE}"]
    # The learning rate falls over the run's own length; the short variant measures next to nothing.
    arguments += [f"--config.optimiser.decay_steps={AUTOENCODERS[modality]}", *_steps(steps, short=short)]
    arguments += [f"--config.habits.measure_every={steps}", f"--config.habits.measured_patches={1 if short else 128}"]
    arguments += [f"--config.habits.save_every={SAVE_EVERY}"]
    place = out / modality
    return Stage(name=modality, wave=1, arguments=(*arguments, "--out", str(place), "--resume"), writes=place)


def _latents(latents: Path, autoencoders: Path, task: int, tasks: int) -> Stage:
    """The command of one of the processes that draw and encode patches."""
    arguments = ("encode", "--data", f"world:{WORLD}:{PATCHES}:patches", "--model", str(autoencoders), "--packed")
    arguments += ("--task", f"{task}/{tasks}", "--threads", "1", "--resume", "--out", str(latents))
    return Stage(name=f"latents-{task}", wave=3, arguments=arguments, writes=latents)


def _backbone(out: Path, latents: str, *, gpu: bool = False, short: bool = False) -> Stage:
    """The command of the backbone: all but its data, its weights and the compute of a GPU is the preset's."""
    place = out / "backbone"
    arguments = ["train", "backbone", "--config", "demo", "--latents", latents, *(ON_GPU if gpu else ())]
    arguments += [f"--config.objective.modality_weights.{name}={weight}" for name, weight in WEIGHTS.items()]
    arguments += [f"--config.objective.given_sets={','.join(GIVEN)}"]
    arguments += [f"--config.objective.given_sets_share={GIVEN_SHARE}"]
    arguments += [f"--config.batch_size={SHORT_BATCH}", *_steps(SHORT_STEPS, short=True)] if short else []
    return Stage(name="backbone", wave=4, arguments=(*arguments, "--out", str(place), "--resume"), writes=place)


def _model(backbone: Path, autoencoders: Path, model: Path) -> Stage:
    """The command that joins the backbone with the autoencoders, and makes the preset's solver the default."""
    solver = preset("demo").solver
    arguments = ["export-model", str(backbone), "--autoencoders", str(autoencoders), *HALVED]
    arguments += ["--solver", solver.name, "--evaluations", str(solver.evaluations), "--out", str(model)]
    return Stage(name="model", wave=5, arguments=tuple(arguments), writes=model)


def _steps(steps: int, *, short: bool) -> list[str]:
    """So many updates; the short variant has a row of the log for every one."""
    return [f"--config.habits.steps={steps}", *(["--config.habits.log_every=1"] * short)]
