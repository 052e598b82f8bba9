"""What a training run is asked to do, as data. The defaults are the published run.

A `BackboneTraining` names sizes, objective, optimiser and habits of a run; the modalities themselves come from the
latent store, which knows their grids and scale factors.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Literal

from copgen_jax.config import PRESETS, BackboneConfig, Prediction, ScheduleConfig, preset
from copgen_jax.diffusion.objective import Objective
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.errors import InputError, suggestion
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.nn.attention import Implementation
from copgen_jax.nn.backbone import Remat

Start = Literal["published", "places"]
Method = Literal["adamw", "muon"]


def _check_choice(name: str, value: str, kind: Any) -> None:
    """Whether a setting is one of the words of a `Literal`.

    Raises:
        InputError: it is not.
    """
    if value not in typing.get_args(kind):
        raise InputError(f"{name} is {value!r}; expected one of {', '.join(typing.get_args(kind))}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """An optimiser with decay on every parameter, a linear warm-up from zero, and an average of the parameters."""

    method: Method = "adamw"
    """As published, or Muon for the matrices of blocks and AdamW for the rest (`copgen_jax.training.optimiser`)."""
    learning_rate: float = 2e-4
    beta1: float = 0.99
    beta2: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.03
    warmup_steps: int = 5000
    """The k-th update (from 0) has the learning rate times min(k / warmup_steps, 1); 0 for none."""
    decay_steps: int | None = None
    """Update at which the learning rate has fallen to zero in a straight line; None keeps it, as published."""
    ema_rate: float = 0.9999
    clip_norm: float | None = None
    """Largest norm of the gradient of all parameters together; None leaves gradients as they are."""

    def __post_init__(self):
        _check_choice("optimiser.method", self.method, Method)
        for name in ("beta1", "beta2", "ema_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"optimiser.{name} is {getattr(self, name)}; expected 0 or more and less than 1")
        for name in ("learning_rate", "epsilon", "weight_decay", "warmup_steps"):
            if getattr(self, name) < 0:
                raise InputError(f"optimiser.{name} is {getattr(self, name)}; expected zero or more")
        if self.decay_steps is not None and self.decay_steps < 1:
            raise InputError(f"optimiser.decay_steps is {self.decay_steps}; expected one or more, or None")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise InputError(f"optimiser.clip_norm is {self.clip_norm}; expected a positive number, or None")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Departures from the published objective: see `copgen_jax.diffusion.objective.Objective`."""

    conditional_share: float = 0.0
    hiding_share: float = 1.0
    given_sets: tuple[str, ...] = ()
    """Each names products or modalities, joined by +: "location+DEM+LULC"."""
    given_sets_share: float = 0.0
    shared_time: float = 0.0
    time_shift: float = 1.0
    modality_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    min_snr: float | None = None
    continuous_time: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Habits:
    """How a run goes about it; all of this may change when a run is continued."""

    steps: int = 500_000
    """Updates in all."""
    log_every: int = 50
    save_every: int = 2500
    keep_last: int = 3
    """Newest checkpoints to keep."""
    keep_every: int = 50_000
    """Checkpoints at multiples of this step are kept for good."""
    stop_after_bad: int = 20
    """Updates in a row with a gradient that is not finite, after which the run stops. Each is skipped and counted."""
    fsdp: int | None = None
    """Devices that share one copy of the parameters; None chooses (`copgen_jax.parallel.choose_fsdp`)."""
    peak_tflops: float | None = None
    """Of one device, for the MFU; None takes the maker's figure where the device is known."""

    def __post_init__(self):
        for name in (field.name for field in dataclasses.fields(self) if field.type is int):
            if getattr(self, name) < 1:
                raise InputError(f"habits.{name} is {getattr(self, name)}; expected one or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneHabits(Habits):
    """How a backbone's run goes about it."""

    sample_every: int = 10_000
    """Steps between two sheets of samples; there is one at the beginning and at the end too."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneTraining:
    """A backbone run. `batch_size` is the number of samples per update, over all devices and micro-batches."""

    backbone: BackboneConfig = dataclasses.field(default_factory=BackboneConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    prediction: Prediction = "eps"
    modalities: tuple[str, ...] = ()
    """Modalities or products to train, of those in the store; empty for all."""
    complete_only: bool = True
    """Only patches that have every modality, as published; else what a patch lacks is masked."""
    objective: ObjectiveConfig = ObjectiveConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    batch_size: int = 1024
    accumulation: int = 1
    """Micro-batches that a batch is computed in, one after the other. Changes memory, not the update."""
    seed: int = 0
    dtype: str = "bfloat16"
    """Compute type; parameters and optimiser are float32."""
    attention: Implementation = "plain"
    start: Start = "published"
    """What parameters begin with: as published, or knowing what lies at the same place (`training.backbone_start`)."""
    remat: Remat = "full"
    """What a block keeps for its gradient: none (everything), dots (products and attention) or full (its input)."""
    habits: BackboneHabits = BackboneHabits()

    def __post_init__(self):
        if self.batch_size < 1 or self.accumulation < 1 or self.batch_size % self.accumulation:
            raise InputError(
                f"a batch of {self.batch_size} does not divide into {self.accumulation} micro-batches: make batch_size "
                f"a multiple of accumulation"
            )
        for name, kind in (
            ("prediction", Prediction),
            ("start", Start),
            ("attention", Implementation),
            ("remat", Remat),
        ):
            _check_choice(name, getattr(self, name), kind)
        if self.dtype not in ("float32", "bfloat16"):
            raise InputError(f"dtype is {self.dtype!r}; expected float32 or bfloat16")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}; expected a whole number from 0 to {2**32 - 1}")
        self.make_objective()

    def make_objective(self, modalities: ModalitySet = COPGEN) -> Objective:
        """The objective with its noise schedule, for the modalities that are trained.

        Raises:
            InputError: an option out of its range, or a set of given modalities that names what is not trained.
        """
        o = self.objective
        return Objective(
            schedule=NoiseSchedule(self.schedule),
            prediction=self.prediction,
            conditional_share=o.conditional_share,
            hiding_share=o.hiding_share,
            given_sets=tuple(modalities.resolve(words.split("+")) for words in o.given_sets),
            given_sets_share=o.given_sets_share,
            shared_time=o.shared_time,
            time_shift=o.time_shift,
            modality_weights=o.modality_weights,
            min_snr=o.min_snr,
            continuous_time=o.continuous_time,
        )


ACCUMULATIONS = {"base": 2, "large": 4, "huge": 8}
"""Micro-batches of the published sizes: 1024 samples per update in each."""

DEMO_STEPS = 5_000
"""Updates of 256 samples: minutes on a GPU, a day on two cores."""
_SMALL: Mapping[str, Any] = {"dtype": "float32", "remat": "none", "complete_only": False}
"""Where networks and data are small."""


def training_preset(name: str) -> BackboneTraining:
    """The backbone run of a preset: base, large and huge as published, demo for one GPU, tiny for a CPU.

    Raises:
        InputError: no such preset.
    """
    sizes = preset(name).backbone
    if sizes is None:
        raise InputError(f"{name} has no backbone: {suggestion(name, PRESETS)}")
    if name in ACCUMULATIONS:
        return BackboneTraining(backbone=sizes, accumulation=ACCUMULATIONS[name])
    if name == "tiny":
        return BackboneTraining(
            backbone=sizes,
            modalities=preset(name).modalities.names,
            batch_size=8,
            optimiser=OptimiserConfig(learning_rate=1e-3, warmup_steps=10, ema_rate=0.9),
            habits=BackboneHabits(steps=60, log_every=10, save_every=30, keep_every=1000, sample_every=30),
            **_SMALL,
        )
    return BackboneTraining(
        backbone=sizes,
        schedule=preset(name).schedule,
        prediction=preset(name).prediction,
        start="places",
        batch_size=256,
        objective=ObjectiveConfig(conditional_share=0.85, hiding_share=0.25, shared_time=0.9),
        optimiser=OptimiserConfig(
            method="muon",
            learning_rate=1.5e-3,
            beta1=0.9,
            weight_decay=0.1,
            warmup_steps=200,
            decay_steps=DEMO_STEPS,
            ema_rate=0.999,
        ),
        habits=BackboneHabits(steps=DEMO_STEPS, save_every=1000, keep_every=DEMO_STEPS, sample_every=DEMO_STEPS),
        **_SMALL,
    )
