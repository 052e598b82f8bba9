"""Latents without data and without autoencoders: block averages of the synthetic world, to try training out.

A latent pixel is 8 orthonormal projections of its 8 x 8 block: first the channels' averages, then random ones. Nothing
here can be decoded by a trained autoencoder; what is trained on it is for looking at loss curves only.
"""

import hashlib
import zlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from copgen_jax.data.pipeline import Batch, shuffled_positions
from copgen_jax.data.world import World
from copgen_jax.errors import InputError
from copgen_jax.modalities import DEMO, Modality, ModalitySet
from copgen_jax.progress import Track, silently
from copgen_jax.units import to_network

PATCHES = 64
LOG_VARIANCE = -8.0


class WorldBatches:
    """Batches by step, like `copgen_jax.data.pipeline.Batches`, of patches that are drawn when it is made."""

    def __init__(
        self,
        modalities: ModalitySet,
        *,
        batch_size: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
        track: Track = silently,
    ):
        """Draw and encode the patches, a pure function of the modalities and the seed.

        Raises:
            InputError: a batch that does not divide between the processes.
        """
        if batch_size % processes:
            raise InputError(f"a batch of {batch_size} does not divide between {processes} processes")
        self._modalities, self._batch_size, self._seed = modalities, batch_size, seed
        self._share, self._process = batch_size // processes, process
        world = World(0, modalities)
        rows = [
            {m.name: _encoded(m, np.asarray(to_network(m, patch.values[m.name]))) for m in modalities}
            for patch in (world.patch(i) for i in track(range(PATCHES), total=PATCHES, what="drawing patches"))
        ]
        self._values = {m.name: np.stack([row[m.name] for row in rows]).astype(np.float32) for m in modalities}

    @property
    def patches(self) -> int:
        """Patches of an epoch."""
        return PATCHES

    def __getitem__(self, step: int) -> Batch:
        """This process's part of a step's batch."""
        positions = shuffled_positions(self._seed, step * self._batch_size, self._batch_size, PATCHES)
        rows = positions[self._process * self._share :][: self._share]
        return {
            "moments": {m.name: self._values[m.name][rows] for m in self._modalities.images},
            "vectors": {m.name: self._values[m.name][rows] for m in self._modalities.vectors},
            "presence": np.ones((self._share, len(self._modalities)), bool),
        }

    def from_step(self, step: int = 0) -> Iterator[Batch]:
        """Endless batches from `step` on."""
        while True:
            yield self[step]
            step += 1


def world_modalities(words: tuple[str, ...]) -> ModalitySet:
    """Of the world's modalities on 0.96 km patches, those asked for; all for none."""
    return DEMO.subset(words) if words else DEMO


def world_latent_space(modalities: ModalitySet) -> str:
    """A hash that no autoencoder has."""
    return hashlib.sha256(f"block averages of {modalities.names}".encode()).hexdigest()


def _encoded(modality: Modality, values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Moments (h, w, 2c) of a network image (H, W, C); a vector as it is."""
    if not modality.is_image:
        return values
    height, width, _ = modality.latent_shape
    side = modality.downsampling
    blocks = values.reshape(height, side, width, side, -1).transpose(0, 2, 1, 3, 4).reshape(height, width, -1)
    mean = blocks @ _projection(modality) / (side * modality.scale_factor)
    return np.concatenate([mean, np.full_like(mean, LOG_VARIANCE)], axis=-1)


def _projection(modality: Modality) -> Float[np.ndarray, "block c"]:
    """Orthonormal columns: averages of the first channels, then random directions."""
    side, channels, count = modality.downsampling, modality.channels, modality.latent_channels
    rng = np.random.default_rng(zlib.crc32(modality.name.encode()))
    columns = rng.normal(size=(side * side * channels, count))
    for channel in range(min(channels, count)):
        columns[:, channel] = np.tile(np.eye(channels)[channel], side * side)
    basis, signs = np.linalg.qr(columns)
    return basis * np.sign(np.diag(signs))
