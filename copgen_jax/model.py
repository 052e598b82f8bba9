"""A model: its configuration and parameters, and the three pure functions they make.

    images --encode--> moments --draw--> latents --denoise--> noise          latents --decode--> images

All on dicts keyed by modality name; no files, no physical units. Latents here are scaled: a posterior sample times the
modality's scale factor. Vectors (location, timestamp) are their own latents.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from copgen_jax.config import ModelConfig
from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality
from copgen_jax.nn.attention import Implementation
from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.backbone import Backbone, Remat
from copgen_jax.types import Array, Float, Images, Latents, Params, Timesteps

LOG_VARIANCE_RANGE = (-30.0, 20.0)
"""Log-variances are clipped where they are used, never where they are stored."""


@dataclasses.dataclass(frozen=True)
class Model:
    """Networks with their parameters.

    `params` is {"backbone": tree, "autoencoders": {modality: tree}}; either may be absent where it is not used.
    """

    config: ModelConfig
    params: Params
    dtype: str = "float32"
    """Compute dtype: float32 (parity) or bfloat16 (accelerators)."""
    attention: Implementation = "plain"

    def encode(self, images: Images) -> dict[str, Array]:
        """Network images {name: (B, H, W, C)} -> moments {name: (B, h, w, 2c)}."""
        return {name: self._autoencode(name, image, "encode") for name, image in images.items()}

    def decode(self, latents: Latents) -> dict[str, Array]:
        """Scaled latents {name: (B, h, w, c)} -> network images {name: (B, H, W, C)}; vectors pass unchanged."""
        return {name: self._decode(self.config.modalities[name], latent) for name, latent in latents.items()}

    def denoise(self, latents: Latents, timesteps: Timesteps) -> dict[str, Array]:
        """The backbone's prediction for all modalities at network times {name: (B,)}."""
        backbone = build_backbone(self.config, dtype=self.dtype, attention=self.attention)
        return backbone.apply({"params": self._params("backbone")}, latents, timesteps)  # pyright: ignore

    def _decode(self, modality: Modality, latent: Array) -> Array:
        if not modality.is_image:
            return latent
        return self._autoencode(modality.name, latent / modality.scale_factor, "decode")

    def _autoencode(self, name: str, values: Array, method: str) -> Array:
        autoencoder = build_autoencoder(self.config, name, dtype=self.dtype)
        params = self._params("autoencoders")
        if name not in params:
            raise InputError(f"this model has no autoencoder of {name}; it has {', '.join(params) or 'none'}")
        return autoencoder.apply({"params": params[name]}, values, method=method)  # pyright: ignore

    def _params(self, network: str) -> Params:
        if network not in self.params:
            raise InputError(f"this model was loaded without parameters of its {network}")
        return self.params[network]


def build_backbone(
    config: ModelConfig,
    *,
    dtype: str = "float32",
    attention: Implementation = "plain",
    remat: Remat = "none",
    loop: bool = True,
) -> Backbone:
    """The backbone module of a configuration; see `Backbone` for the options.

    Raises:
        InputError: the configuration is of autoencoders only.
    """
    if config.backbone is None:
        raise InputError("this model has autoencoders only; sampling needs a backbone")
    return Backbone(
        modalities=config.modalities,
        **dataclasses.asdict(config.backbone),
        dtype=jnp.dtype(dtype),
        attention=attention,
        remat=remat,
        loop=loop,
    )


def build_autoencoder(config: ModelConfig, name: str, *, dtype: str = "float32") -> Autoencoder:
    """The autoencoder module of one image modality.

    Raises:
        InputError: the configuration has none for it.
    """
    modality = config.modalities[name]
    if name not in config.autoencoders:
        raise InputError(
            f"this model has no autoencoder of {name}; it has {', '.join(config.autoencoders) or 'none at all'}"
        )
    return Autoencoder(
        channels=modality.channels,
        latent_channels=modality.latent_channels,
        **dataclasses.asdict(config.autoencoders[name]),
        dtype=jnp.dtype(dtype),
    )


def latents_from_moments(
    moments: Float[Array, "*B h w moments"],
    noise: Float[Array, "*B h w c"] | None,
    scale_factor: float,
) -> Float[Array, "*B h w c"]:
    """scale_factor (mean + exp(log_variance / 2) noise), with the log-variance clipped to [-30, 20].

    `noise` None gives the mode of the posterior, scale_factor mean.
    """
    mean, log_variance = jnp.split(jnp.asarray(moments, jnp.float32), 2, axis=-1)
    if noise is None:
        return scale_factor * mean
    return scale_factor * (mean + jnp.exp(0.5 * jnp.clip(log_variance, *LOG_VARIANCE_RANGE)) * noise)


def check_latents(latents: Mapping[str, Array], config: ModelConfig) -> None:
    """Raise InputError where latents lack a modality of the model or have another shape."""
    for modality in config.modalities:
        if modality.name not in latents:
            raise InputError(
                f"latents of {modality.name} are missing; give every modality (zeros where it is not given)"
            )
        if tuple(latents[modality.name].shape[1:]) != modality.latent_shape:
            raise InputError(
                f"latents of {modality.name} have shape {tuple(latents[modality.name].shape)}; expected (B, "
                f"{', '.join(map(str, modality.latent_shape))})"
            )
