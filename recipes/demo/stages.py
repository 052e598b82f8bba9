"""What made the demo model, command by command, as data.

    S2L2A_10m --> the other nine autoencoders --> second runs of some --> their model

Each autoencoder but that of S2L2A_10m starts from its first run. A second run goes on from the first with another seed
and a lower learning rate. The short variant runs two of these for a few steps: enough to see that the same commands
give the same numbers.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

WORLD = 0
"""Seed of the world that is trained on. Held-out cells are a tenth, by hash of their names."""
FIRST = "S2L2A_10m"
AUTOENCODERS: Mapping[str, tuple[int, ...]] = {
    FIRST: (2400, 3000),
    "S2L1C_10m": (500, 1500),
    "S1RTC": (700,),
    "LULC": (600, 900),
    "S2L2A_20m": (700,),
    "S2L1C_20m": (700,),
    "DEM": (1000,),
    "cloud_mask": (400,),
    "S2L2A_60m": (600,),
    "S2L1C_60m": (600,),
}
"""Updates of 8 patches in each run of a modality; the smaller the images, the cheaper a step."""
LEARNING_RATES = (1e-3, 7e-4)
"""Of first and second runs; each falls to a hundredth in a nearly straight line."""
SHORT_STEPS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One command. Stages of one wave do not need each other and may run side by side."""

    name: str
    wave: int
    arguments: tuple[str, ...]
    """Of `copgen`."""
    writes: Path


def stages(out: Path, *, short: bool = False) -> list[Stage]:
    """The recipe, in order, writing under `out`."""
    if short:
        return [_autoencoder(out, FIRST, 0, short=True), _autoencoder(out, "DEM", 0, short=True)]
    runs = [_autoencoder(out, name, run) for name, steps in AUTOENCODERS.items() for run in range(len(steps))]
    last = [str(_place(out, name, len(steps) - 1)) for name, steps in AUTOENCODERS.items()]
    model = out / "autoencoders"
    joined = ("export-model", *last, "--precision", "float16", "--out", str(model))
    return [
        *sorted(runs, key=lambda stage: stage.wave),
        Stage(name="autoencoders", wave=3, arguments=joined, writes=model),
    ]


def _autoencoder(out: Path, modality: str, run: int, *, short: bool = False) -> Stage:
    """The command of one run, which is the first (0) or the second (1) of its modality."""
    steps = AUTOENCODERS[modality][run]
    arguments = ["train", "vae", "--config", "demo", f"--config.modality={modality}", "--data", f"world:{WORLD}"]
    arguments += [f"--config.optimiser.learning_rate={LEARNING_RATES[run]}", f"--config.seed={run}"]
    arguments += [f"--config.optimiser.decay_steps={steps}", f"--config.habits.steps={SHORT_STEPS if short else steps}"]
    # The short variant has a row of the log for every step, and next to no measurement.
    arguments += [f"--config.habits.measured_patches={1 if short else 128}", *(["--config.habits.log_every=1"] * short)]
    before = (modality, run - 1) if run else (FIRST, 0) if modality != FIRST else None
    if before is not None:
        arguments += ["--init", str(_place(out, *before))]
    place = _place(out, modality, run)
    wave = run + (modality != FIRST)
    return Stage(name=place.name, wave=wave, arguments=(*arguments, "--out", str(place), "--resume"), writes=place)


def _place(out: Path, modality: str, run: int) -> Path:
    return out / f"{modality}-{run + 1}"
