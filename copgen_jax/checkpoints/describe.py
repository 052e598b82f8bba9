"""What a model directory holds, and what it needs, without loading it."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from copgen_jax.checkpoints.arrays import describe_arrays
from copgen_jax.checkpoints.model_directory import AUTOENCODERS, BACKBONE, load_config, load_hashes
from copgen_jax.config import ModelConfig
from copgen_jax.memory import sample_bytes

_FLOAT32 = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkDescription:
    """One network on disk."""

    name: str
    """"backbone" or an image modality."""
    parameters: int
    stored_bytes: int
    stored_type: str
    hash: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """A model directory."""

    config: ModelConfig
    latent_space: str | None
    backbone: str | None
    networks: tuple[NetworkDescription, ...]

    @property
    def parameter_bytes(self) -> int:
        """Memory of all parameters when loaded (float32)."""
        return sum(network.parameters for network in self.networks) * _FLOAT32

    @property
    def member_bytes(self) -> int:
        """Memory that drawing one member at a time adds, in float32 and with plain attention."""
        return sample_bytes(self.config, self.config.autoencoders)


def describe_model(path: str | Path) -> ModelDescription:
    """Describe a model directory.

    Raises:
        InputError: no model directory, or not a complete one.
    """
    config, hashes = load_config(path), load_hashes(path)
    places = {name: f"{AUTOENCODERS}/{name}" for name in config.autoencoders}
    if config.backbone is not None:
        places = {BACKBONE: BACKBONE, **places}
    networks = []
    for name, place in places.items():
        arrays = describe_arrays(Path(path) / place)
        networks.append(
            NetworkDescription(
                name=name,
                parameters=sum(math.prod(shape) for shape, _ in arrays.values()),
                stored_bytes=sum(math.prod(shape) * dtype.itemsize for shape, dtype in arrays.values()),
                stored_type=", ".join(sorted({dtype.name for _, dtype in arrays.values()})),
                hash=hashes.networks.get(name),
            )
        )
    return ModelDescription(
        config=config, latent_space=hashes.latent_space, backbone=hashes.backbone, networks=tuple(networks)
    )


def as_json(description: ModelDescription) -> dict[str, Any]:
    """The description as plain data."""
    return {
        **dataclasses.asdict(description),
        "parameter_bytes": description.parameter_bytes,
        "member_bytes": description.member_bytes,
    }
