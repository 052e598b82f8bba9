"""Stored moments to physical values: the mode of the posterior, decoded on all local devices."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from copgen_jax.checkpoints import load_config, load_hashes, load_model
from copgen_jax.config import ModelConfig
from copgen_jax.data.latents import LatentStore, MomentsReader, require_latent_space, require_moments
from copgen_jax.errors import InputError
from copgen_jax.export.selection import Chosen
from copgen_jax.model import Model, latents_from_moments
from copgen_jax.parallel import batch_sharding, make_mesh, replicated
from copgen_jax.progress import Track, silently
from copgen_jax.types import Params
from copgen_jax.units import dn_to_reflectance, image_to_physical

PER_DEVICE = 4
"""Patches at a time on each device."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Decoder:
    """Compiled decoders of one model, checked to be that of a store."""

    config: ModelConfig
    params: Params
    """{modality: tree}, on every local device."""
    latent_space: str
    source: str
    """Name of the model, for provenance."""
    s2_offset: int
    """What was added to 10000 x reflectance in the numbers that were encoded."""
    _programs: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Image modalities that it decodes."""
        return tuple(self.params)

    def batches(self, chosen: Chosen) -> int:
        """Batches that some patches take."""
        return -(-len(chosen) // _batch_size())

    def decoded(self, chosen: Chosen) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
        """Batches of chosen patches: which of them, and physical values (n, H, W, bands) by modality.

        Reflectance has no offset left. Values of patches that lack a modality mean nothing.
        """
        names = tuple(name for name in chosen.names if name in self.params)
        reader = MomentsReader(store=chosen.store, split=chosen.split, names=names)
        size = _batch_size()
        for start in range(0, len(chosen), size):
            part = slice(start, min(start + size, len(chosen)))
            count = part.stop - part.start
            moments = reader.read(chosen.rows[part])
            presence = chosen.coordinates.presence[chosen.rows[part]].T
            columns = dict(zip(chosen.store.description.modalities.names, presence, strict=True))
            require_moments(chosen.store, chosen.split, moments, columns)
            yield part, {name: self._decode(name, moments[name], size)[:count] for name in names}

    def _decode(self, name: str, moments: np.ndarray, size: int) -> np.ndarray:
        batch = np.zeros((size, *moments.shape[1:]), np.float32)
        batch[: len(moments)] = np.nan_to_num(moments)
        if name not in self._programs:
            self._programs[name] = jax.jit(self._function(name))
        sharding = batch_sharding(make_mesh(jax.local_devices()))
        return np.asarray(self._programs[name](self.params[name], jax.device_put(batch, sharding)))

    def _function(self, name: str):
        modality = self.config.modalities[name]

        def run(params, moments):
            model = Model(self.config, {"autoencoders": {name: params}})
            latents = latents_from_moments(moments, None, modality.scale_factor)
            physical = image_to_physical(modality, model.decode({name: latents})[name])
            if modality.encoding == "reflectance":
                return dn_to_reflectance(physical, offset=self.s2_offset, nodata=None)
            return physical

        return run


def load_decoder(model: str | Path, store: LatentStore, *, track: Track = silently) -> Decoder:
    """Load the autoencoders that made a store.

    Raises:
        InputError: no such model, or one of another latent space.
    """
    config, latent_space = load_config(model), load_hashes(model).latent_space
    if latent_space is None:
        raise InputError(f"{model} has no autoencoders; decoding needs them")
    require_latent_space(store, latent_space, model=model)
    sharding = replicated(make_mesh(jax.local_devices()))
    _, params = load_model(model, networks=tuple(config.autoencoders), sharding=sharding, track=track)
    return Decoder(
        config=config,
        params=params["autoencoders"],
        latent_space=latent_space,
        source=Path(model).name,
        s2_offset=store.description.s2_offset,
    )


def _batch_size() -> int:
    return PER_DEVICE * len(jax.local_devices())
