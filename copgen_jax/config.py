"""What a model is: frozen dataclasses, checked when they are made, and their JSON form.

A configuration is data only. It is written to `config.json` of a model directory and read back by field names; nothing
in it is executed. Sizes come as presets, changed with `dataclasses.replace`.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from copgen_jax.errors import InputError, suggestion
from copgen_jax.modalities import COPGEN, DEMO, TINY, ModalitySet

Prediction = Literal["eps", "x0", "v"]
"""What the backbone predicts: the noise, the clean latent, or the velocity alpha eps - sigma x_0."""

FORMAT_VERSION = 1
"""Version of `config.json`; a reader refuses a newer one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Size of the diffusion transformer."""

    width: int = 1024
    depth: int = 20
    """Attention blocks without the middle one: depth / 2 on the way in, as many on the way out."""
    heads: int = 16
    mlp_ratio: int = 4

    def __post_init__(self):
        if min(self.width, self.depth, self.heads, self.mlp_ratio) < 1:
            raise InputError(f"backbone sizes must be positive, got {self}")
        if self.width % self.heads or self.width % 2:
            raise InputError(f"backbone width {self.width} must be even and divide into {self.heads} heads")
        if self.depth % 2:
            raise InputError(f"backbone depth {self.depth} must be even: half of the blocks lead in, half lead out")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Size of one modality's KL autoencoder; its channels and latent channels come from the modality."""

    base_width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    """Residual blocks per level of the encoder; the decoder has one more."""
    groups: int = 32

    def __post_init__(self):
        if min(self.base_width, self.blocks, self.groups, *self.multipliers) < 1:
            raise InputError(f"autoencoder sizes must be positive, got {self}")
        for multiplier in self.multipliers:
            if (self.base_width * multiplier) % self.groups:
                raise InputError(
                    f"autoencoder width {self.base_width * multiplier} does not divide into {self.groups} groups"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Variance-preserving noise schedule: beta_n = linspace(sqrt(beta_start), sqrt(beta_end), steps)^2."""

    beta_start: float = 0.00085
    beta_end: float = 0.012
    steps: int = 1000

    def __post_init__(self):
        if not 0 < self.beta_start <= self.beta_end < 1 or self.steps < 2:
            raise InputError(f"a noise schedule needs 0 < beta_start <= beta_end < 1 and two steps or more, got {self}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """How the model is sampled unless asked otherwise. Outside both hashes: it changes no parameter."""

    name: str = "published"
    evaluations: int = 50

    def __post_init__(self):
        if self.evaluations < 1:
            raise InputError(f"a solver needs at least one evaluation, got {self.evaluations}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that says what a model's parameters mean."""

    modalities: ModalitySet = COPGEN
    backbone: BackboneConfig | None = BackboneConfig()
    """None where a model directory holds autoencoders only."""
    autoencoders: Mapping[str, AutoencoderConfig] = dataclasses.field(default_factory=dict)
    """By image modality."""
    schedule: ScheduleConfig = ScheduleConfig()
    prediction: Prediction = "eps"
    solver: SolverConfig = SolverConfig()
    s2_offset: int = 1000
    """What is added to 10000 x reflectance in the Sentinel-2 numbers the model was trained on (published: 1000, since
    Major TOM's products carry the offset of processing baseline 04.00; 0 for surface reflectance proper)."""
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Where the parameters come from: free text for people, not part of any hash."""

    def __post_init__(self):
        if self.prediction not in typing.get_args(Prediction):
            raise InputError(f"prediction is {self.prediction!r}: expected eps, x0 or v")
        for name, autoencoder in self.autoencoders.items():
            modality = self.modalities[name]
            if not modality.is_image:
                raise InputError(f"{name} is a vector and takes no autoencoder")
            factor = 2 ** (len(autoencoder.multipliers) - 1)
            if factor != modality.downsampling:
                raise InputError(
                    f"the autoencoder of {name} shrinks its image {factor} times, the modality expects "
                    f"{modality.downsampling} times"
                )


COPGEN_AUTOENCODERS = {m.name: AutoencoderConfig() for m in COPGEN.images}
_SMALL_AUTOENCODER = AutoencoderConfig(base_width=16, multipliers=(1, 1, 2, 3), blocks=1, groups=4)
_TINY_AUTOENCODER = AutoencoderConfig(base_width=8, multipliers=(1, 1, 1, 1), blocks=1, groups=4)

BASE = ModelConfig(autoencoders=COPGEN_AUTOENCODERS)
"""The published model: 286,986,562 parameters in the backbone, 837 million in the ten autoencoders."""
LARGE = dataclasses.replace(BASE, backbone=BackboneConfig(width=1152, depth=28, heads=16))
HUGE = dataclasses.replace(BASE, backbone=BackboneConfig(width=1536, depth=30, heads=24))
SMALL = ModelConfig(
    modalities=DEMO,
    backbone=BackboneConfig(width=256, depth=8, heads=4),
    autoencoders={m.name: _SMALL_AUTOENCODER for m in DEMO.images},
    prediction="v",
    schedule=ScheduleConfig(beta_end=0.02),
    solver=SolverConfig(name="unipc", evaluations=15),
    s2_offset=0,
)
"""Preset "demo": what one GPU trains in minutes and two cores sample, on 0.96 km patches.

Its schedule ends at alpha = 0.016. At the published end, 0.068, what many correlated modalities have in common over a
patch still shows through the noise: a network learns to read it, and then reads it into the pure noise that sampling
starts from (Lin et al. 2024, arXiv 2305.08891).
"""
SMALLEST = ModelConfig(
    modalities=TINY,
    backbone=BackboneConfig(width=32, depth=2, heads=2),
    autoencoders={m.name: _TINY_AUTOENCODER for m in TINY.images},
    s2_offset=0,
)
"""Preset "tiny": trains in seconds on a CPU."""

PRESETS = {"base": BASE, "large": LARGE, "huge": HUGE, "demo": SMALL, "tiny": SMALLEST}


def preset(name: str) -> ModelConfig:
    """The model configuration of a preset: base, large, huge, demo or tiny."""
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}: {suggestion(name, PRESETS)}")
    return PRESETS[name]


def to_json(config: Any) -> str:
    """A configuration as readable JSON, with the format's version."""
    return json.dumps({"format_version": FORMAT_VERSION, **dataclasses.asdict(config)}, indent=1) + "\n"


def from_json(text: str, kind: type = ModelConfig, *, source: str | Path = "the configuration") -> Any:
    """Read a configuration of dataclass `kind` back from JSON; `source` names the file in errors.

    Raises:
        InputError: not JSON, a newer format, an unknown or missing field, a value of another type.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InputError(f"{source} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{source} holds a {type(data).__name__}; expected an object with named fields")
    version = data.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise InputError(f"{source} has format version {version}; this program reads version {FORMAT_VERSION}")
    return _build(kind, data, str(source))


def _build(kind: Any, value: Any, where: str) -> Any:
    """`value` (plain JSON) as an instance of the annotated type `kind`; `where` is the path for messages."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{where} is {value!r}; expected one of {', '.join(map(str, arguments))}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return _build(inner, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where} is {value!r}; expected a list")
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise InputError(f"{where} is {value!r}; expected an object")
        return {key: _build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{where} is {value!r}; expected a {kind.__name__}")
    return value


def _build_dataclass(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"{where} is {value!r}; expected an object")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in value:
        if key not in fields:
            raise InputError(f"{where} has an unknown field {key!r}: {suggestion(key, fields)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise InputError(f"{where} lacks the field {name!r}")
    return kind(**{key: _build(hints[key], item, f"{where}.{key}") for key, item in value.items()})
