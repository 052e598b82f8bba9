"""What made the demo model, command by command, as data.

    first --> the ten autoencoders --> their model --> latents --> backbone --> the whole model

Each autoencoder but the first starts from `first`, that of S2L2A_10m after a short run; S2L2A_10m itself goes on from
there. The short variant runs three of these stages for a few steps: enough to see that the same commands give the same
numbers.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

WORLD = 0
"""Seed of the world that is trained on. Held-out cells are a tenth, by hash of their names."""
FIRST_STEPS = 2400
AUTOENCODERS: Mapping[str, int] = {
    "S2L2A_10m": 3000,
    "S2L1C_10m": 500,
    "S1RTC": 700,
    "LULC": 600,
    "S2L2A_20m": 700,
    "S2L1C_20m": 700,
    "DEM": 1000,
    "cloud_mask": 400,
    "S2L2A_60m": 600,
    "S2L1C_60m": 600,
}
"""Updates of 8 patches after `first`; the smaller the images, the cheaper a step."""
SHORT_STEPS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One command. Stages with the same `wave` do not need each other and may run side by side."""

    name: str
    wave: int
    arguments: tuple[str, ...]
    """Of `copgen`."""
    writes: Path


def stages(out: Path, *, short: bool = False) -> list[Stage]:
    """The recipe, in order, writing under `out`."""
    if short:
        return [
            _autoencoder(out, "first", "S2L2A_10m", FIRST_STEPS, wave=0, stop=SHORT_STEPS),
            _autoencoder(out, "DEM", "DEM", AUTOENCODERS["DEM"], wave=1, stop=SHORT_STEPS, init=True),
        ]
    made = [
        _autoencoder(out, name, name, steps, wave=1, init=True, second=name == "S2L2A_10m")
        for name, steps in AUTOENCODERS.items()
    ]
    runs = tuple(str(stage.writes) for stage in made)
    model = out / "autoencoders"
    return [
        _autoencoder(out, "first", "S2L2A_10m", FIRST_STEPS, wave=0),
        *made,
        Stage(name="autoencoders", wave=2, arguments=("export-model", *runs, "--out", str(model)), writes=model),
    ]


def _autoencoder(
    out: Path,
    name: str,
    modality: str,
    steps: int,
    *,
    wave: int,
    stop: int | None = None,
    init: bool = False,
    second: bool = False,
) -> Stage:
    run = out / name
    arguments = ["train", "vae", "--config", "demo", f"--config.modality={modality}", "--data", f"world:{WORLD}"]
    arguments += [f"--config.optimiser.decay_steps={steps}", f"--config.habits.steps={stop or steps}"]
    arguments += ["--config.habits.measured_patches=128"] if stop is None else _TRACED
    arguments += ["--init", str(out / "first")] if init else []
    arguments += ["--config.optimiser.learning_rate=7e-4", "--config.seed=1"] if second else []
    return Stage(name=name, wave=wave, arguments=(*arguments, "--out", str(run), "--resume"), writes=run)


_TRACED = ["--config.habits.log_every=1", "--config.habits.measured_patches=1"]
"""A row of the log for every step, and next to no measurement."""
