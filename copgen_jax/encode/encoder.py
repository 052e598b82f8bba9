"""The autoencoders' encoders on all local devices, a compiled program per modality.

What goes to the devices are physical values (class codes as int32, all else as float32): a tenth of the bytes of
network values where there are classes, and the conversion costs the host nothing.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from copgen_jax.checkpoints import load_model
from copgen_jax.config import ModelConfig
from copgen_jax.errors import InputError
from copgen_jax.memory import encode_bytes
from copgen_jax.modalities import ModalitySet
from copgen_jax.model import Model
from copgen_jax.parallel import batch_sharding, make_mesh, replicated
from copgen_jax.progress import Track, silently
from copgen_jax.types import Params
from copgen_jax.units import shift_dn, to_network

PER_DEVICE = {"cpu": 4}
"""Patches at a time on each device by default; elsewhere `PER_ACCELERATOR`."""
PER_ACCELERATOR = 32


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Encoder:
    """Compiled encoders; `submit` returns at once and the result is awaited later."""

    config: ModelConfig
    params: Params
    """{modality: tree}, on every local device."""
    batch_size: int
    """Over all local devices, which it divides between."""
    dtype: str = "float32"
    _programs: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def bytes_on_device(self) -> int:
        """What one device needs by formula: parameters, and a batch of the modality that takes most."""
        parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(self.params))
        each = max(encode_bytes(self.config, name, dtype=self.dtype) for name in self.params)
        return parameters + self.batch_size // len(jax.local_devices()) * each

    def compile(self, name: str) -> None:
        """Compile the program of one modality, once, so that its first batch is as fast as the others."""
        if name in self._programs:
            return
        shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=self._sharding) for a in self.gather(name, [])]
        self._programs[name] = jax.jit(self._function(name)).lower(self.params[name], *shapes).compile()

    def gather(self, name: str, images: Sequence[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
        """A batch as the devices take it: images (batch_size, H, W, bands) and their offsets (batch_size, 1, 1, 1).

        Args:
            name: of the modality.
            images: at most `batch_size` of (H, W, bands) physical values, and the DN of zero reflectance where they are
                Sentinel-2 numbers. A short batch is filled up with zeros.
        """
        modality = self.config.modalities[name]
        height, width, _ = modality.image_shape
        kind = np.int32 if modality.encoding == "classes" else np.float32
        batch = np.zeros((self.batch_size, height, width, len(modality.bands)), kind)
        offsets = np.zeros((self.batch_size, 1, 1, 1), np.float32)
        for row, (image, offset) in enumerate(images):
            batch[row], offsets[row] = image, offset
        return batch, offsets

    def submit(self, name: str, batch: tuple[np.ndarray, np.ndarray]) -> jax.Array:
        """Start encoding a batch that `gather` made.

        Returns:
            Moments float32 (batch_size, h, w, 2c), perhaps not computed yet; rows that were filled up mean nothing.
        """
        self.compile(name)
        return self._programs[name](self.params[name], *jax.device_put(batch, self._sharding))

    @property
    def _sharding(self):
        return batch_sharding(make_mesh(jax.local_devices()))

    def _function(self, name: str):
        modality = self.config.modalities[name]

        def run(params, images, offsets):
            with jax.named_scope("units"):
                if modality.encoding == "reflectance":
                    images = shift_dn(images, offset=offsets, to_offset=self.config.s2_offset)
                network = to_network(modality, images)
            with jax.named_scope("encode"):
                model = Model(self.config, {"autoencoders": {name: params}}, dtype=self.dtype)
                return model.encode({name: network})[name].astype(np.float32)

        return run


def load_encoder(
    model: str | Path,
    images: ModalitySet,
    *,
    batch_size: int | None = None,
    dtype: str = "float32",
    track: Track = silently,
) -> Encoder:
    """Load the autoencoders of `images` onto all local devices.

    Args:
        model: model directory.
        images: modalities that will be encoded.
        batch_size: patches at a time over all local devices, rounded up to fill them; by default 4 on a CPU and 32 on
            an accelerator, times the number of devices. It is part of what makes a store's bytes.
        dtype: compute dtype, float32 or bfloat16.
        track: told about networks read.

    Raises:
        InputError: no such model, a batch below one.
    """
    devices = jax.local_devices()
    asked = len(devices) * PER_DEVICE.get(jax.default_backend(), PER_ACCELERATOR) if batch_size is None else batch_size
    if asked < 1:
        raise InputError(f"the batch size is {batch_size}; expected 1 or more")
    sharding = replicated(make_mesh(devices))
    config, params = load_model(model, networks=images.names, sharding=sharding, track=track)
    return Encoder(
        config=config,
        params=params["autoencoders"],
        batch_size=-(-asked // len(devices)) * len(devices),
        dtype=dtype,
    )
