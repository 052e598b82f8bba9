"""What a training run of an autoencoder is asked to do, as data. The defaults are the published run."""

import dataclasses
import typing
from typing import Literal

from copgen_jax.config import AutoencoderConfig, ModelConfig, preset
from copgen_jax.errors import InputError, suggestion
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.training.config import Habits

Start = Literal["published", "averages"]
"""Initial values: drawn as published, or such that the network shrinks by averaging and enlarges by repeating."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the loss (`copgen_jax.training.autoencoder_loss`)."""

    kl_weight: float = 1e-6
    log_variance: float = 0.0
    """Of the residuals. Meant to be learnt in the original, but in none of its optimisers."""
    discriminator_weight: float = 0.5
    """0 trains without a discriminator, in about half the time."""
    discriminator_start: int = 50_001
    """First step at which reconstructions are judged; the discriminator idles before."""

    def __post_init__(self):
        for name in ("kl_weight", "discriminator_weight", "discriminator_start"):
            if getattr(self, name) < 0:
                raise InputError(f"loss.{name} is {getattr(self, name)}; expected zero or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Size of the discriminator."""

    width: int = 64
    strided: int = 3
    """Layers of stride 2: an image needs 3 x 2 ** strided pixels a side."""

    def __post_init__(self):
        if self.width < 1 or self.strided < 1:
            raise InputError(f"discriminator sizes must be positive, got {self}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderOptimiser:
    """AdamW with a polynomial decay to a floor, and an average of the parameters that starts late.

    lr_k = learning_rate max((1 - k / decay_steps) ** decay_power, floor) for update k = 0, 1, ...
    """

    learning_rate: float = 5e-6
    decay_steps: int = 500_000
    decay_power: float = 0.95
    floor: float = 0.2
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    ema_every: int = 10
    """Updates between two changes of the average."""
    ema_start: int = 1000
    """The average is a plain copy up to this update."""
    ema_rate: float = 0.995
    """Largest share of the old average."""
    ema_power: float = 2 / 3

    def __post_init__(self):
        for name in ("beta1", "beta2", "ema_rate", "floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"optimiser.{name} is {getattr(self, name)}; expected 0 to 1")
        for name in ("learning_rate", "decay_power", "epsilon", "weight_decay", "ema_start", "ema_power"):
            if getattr(self, name) < 0:
                raise InputError(f"optimiser.{name} is {getattr(self, name)}; expected zero or more")
        for name in ("decay_steps", "ema_every"):
            if getattr(self, name) < 1:
                raise InputError(f"optimiser.{name} is {getattr(self, name)}; expected one or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderHabits(Habits):
    """How a run goes about it; all of this may change when a run is continued."""

    measure_every: int = 25_000
    """Steps between two measurements of latents and of held-out reconstructions; there is one at the end too."""
    measured_patches: int = 256
    """Patches of each: training patches for the scale factor, held-out ones for the reconstruction."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderTraining:
    """A run of one modality's autoencoder."""

    modality: str = ""
    """Which one; must be set."""
    modalities: tuple[str, ...] = ()
    """Modalities or products of the model that this autoencoder is for; empty for all twelve."""
    pixels: int = 192
    """Side of a patch at 10 m."""
    s2_offset: int = 1000
    """What is added to 10000 x reflectance in the Sentinel-2 numbers the model sees; see `ModelConfig`."""
    autoencoder: AutoencoderConfig = dataclasses.field(default_factory=AutoencoderConfig)
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    loss: LossConfig = LossConfig()
    optimiser: AutoencoderOptimiser = AutoencoderOptimiser()
    start: Start = "published"
    """Short runs do better with averages: see `copgen_jax.training.autoencoder_start.averaging_start`."""
    batch_size: int = 16
    seed: int = 0
    dtype: str = "float32"
    """Compute type; parameters and optimiser are float32."""
    habits: AutoencoderHabits = AutoencoderHabits()

    def __post_init__(self):
        if self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}; expected one or more")
        for name, accepted in (("dtype", ("float32", "bfloat16")), ("start", typing.get_args(Start))):
            if getattr(self, name) not in accepted:
                raise InputError(f"{name} is {getattr(self, name)!r}; expected {' or '.join(accepted)}")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}; expected a whole number from 0 to {2**32 - 1}")

    def model(self) -> ModelConfig:
        """The model that the run makes: all its modalities, the autoencoder of one.

        Raises:
            InputError: no modality is set, an unknown one or a vector, an image too small for the discriminator.
        """
        every = COPGEN if self.pixels == COPGEN["S2L2A_10m"].pixels else COPGEN.resized(self.pixels)
        modalities = every.subset(self.modalities) if self.modalities else every
        self._check_modality(modalities)
        side, _, _ = modalities[self.modality].image_shape
        needed = 3 * 2**self.discriminator.strided
        if self.loss.discriminator_weight and side < needed:
            raise InputError(
                f"an image of {self.modality} has {side} px a side, a discriminator with {self.discriminator.strided} "
                f"strided layers judges no less than {needed}: set discriminator.strided lower"
            )
        return ModelConfig(
            modalities=modalities,
            backbone=None,
            autoencoders={self.modality: self.autoencoder},
            s2_offset=self.s2_offset,
        )

    def _check_modality(self, modalities: ModalitySet) -> None:
        images = ", ".join(m.name for m in modalities.images)
        if not self.modality:
            raise InputError(f"say which modality the autoencoder is for: --config.modality= one of {images}")
        if self.modality not in modalities:
            raise InputError(
                f"modality is {self.modality!r}: {suggestion(self.modality, [m.name for m in modalities.images])}"
            )
        if not modalities[self.modality].is_image:
            raise InputError(f"{self.modality} is a vector and takes no autoencoder; expected one of {images}")


def _small(name: str, **changes) -> AutoencoderTraining:
    """A run of a small family's autoencoders, for a preset of `copgen_jax.config`."""
    family = preset(name)
    return AutoencoderTraining(
        pixels=96,
        s2_offset=family.s2_offset,
        autoencoder=next(iter(family.autoencoders.values())),
        batch_size=8,
        **changes,
    )


TRAININGS = {
    "vae": AutoencoderTraining(),
    "demo": _small(
        "demo",
        discriminator=DiscriminatorConfig(width=16, strided=2),
        loss=LossConfig(discriminator_weight=0.0),
        optimiser=AutoencoderOptimiser(
            learning_rate=1e-3, decay_steps=2400, floor=0.01, beta2=0.99, ema_every=1, ema_start=100, ema_rate=0.99
        ),
        start="averages",
        habits=AutoencoderHabits(steps=2400, save_every=200, keep_every=2400, measure_every=800),
    ),
    "tiny": _small(
        "tiny",
        modalities=preset("tiny").modalities.names,
        modality="DEM",
        discriminator=DiscriminatorConfig(width=8, strided=2),
        loss=LossConfig(discriminator_start=30),
        optimiser=AutoencoderOptimiser(learning_rate=3e-3, decay_steps=60, ema_every=1, ema_start=10, ema_rate=0.8),
        habits=AutoencoderHabits(steps=60, log_every=10, save_every=30, measure_every=30, measured_patches=16),
    ),
}
"""By preset: the published run, autoencoders for small machines, and a run that takes seconds on a CPU."""


def autoencoder_training_preset(name: str) -> AutoencoderTraining:
    """The autoencoder run of a preset: vae as published, demo and tiny for small machines.

    Raises:
        InputError: no such preset.
    """
    if name not in TRAININGS:
        raise InputError(f"unknown preset {name!r} for an autoencoder: {suggestion(name, TRAININGS)}")
    return TRAININGS[name]
