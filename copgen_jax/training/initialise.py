"""The parameters a run starts from: fresh, or those of a model, also one of other modalities.

Blocks know nothing of modalities. What belongs to a modality are its embedding, its head, and its rows of the position
embedding: the row of its time token and one per token. Adding a modality takes these fresh, dropping one leaves them
out, and everything else is kept as it is.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from copgen_jax.checkpoints import latents_of_each, load_config, load_hashes
from copgen_jax.checkpoints.model_directory import BACKBONE, load_network
from copgen_jax.checkpoints.shapes import flatten, unflatten
from copgen_jax.config import ModelConfig
from copgen_jax.errors import InputError
from copgen_jax.modalities import ModalitySet
from copgen_jax.nn.backbone import Backbone
from copgen_jax.types import Params

POSITION = ("position_embedding",)
LATENTS = "latents_of_each"
"""In a run's data and an exported model's provenance: hash of the latents of each modality."""


def fresh_params(backbone: Backbone, key: jax.Array) -> Params:
    """Random parameters, to be traced."""
    latents = {m.name: np.zeros((1, *m.latent_shape), np.float32) for m in backbone.modalities}
    times = {m.name: np.zeros((1,), np.float32) for m in backbone.modalities}
    return backbone.init(key, latents, times)["params"]


def params_from_model(
    path: str | Path, config: ModelConfig, fresh: Mapping[tuple[str, ...], np.ndarray]
) -> dict[str, Any]:
    """A model's backbone, brought to the modalities of `config`.

    Args:
        path: model directory.
        config: of the run.
        fresh: {path: array} of newly drawn parameters; what a new modality needs is taken from it.

    Raises:
        InputError: no model directory, another size, prediction or schedule, no modality in common.
    """
    theirs = load_config(path)
    check_fits(path, theirs, config)
    loaded = load_network(path, theirs, BACKBONE)
    merged = {key: np.asarray(loaded[key] if key in loaded else fresh[key], np.float32) for key in fresh}
    merged[POSITION] = position_rows(theirs.modalities, loaded[POSITION], config.modalities, fresh[POSITION])
    return unflatten(merged)


def position_rows(theirs: ModalitySet, loaded: np.ndarray, ours: ModalitySet, fresh: np.ndarray) -> np.ndarray:
    """The position embedding (tokens, width) of `ours`, with the rows of the modalities that `theirs` has too."""
    rows, from_rows = token_rows(ours), token_rows(theirs)
    position = np.array(fresh, np.float32)
    for name in rows:
        if name in from_rows:
            position[rows[name]] = loaded[from_rows[name]]
    return position


def token_rows(modalities: ModalitySet) -> dict[str, list[int]]:
    """Places of each modality's tokens in the sequence, its time token first."""
    rows, start = {}, len(modalities)
    for place, modality in enumerate(modalities):
        rows[modality.name] = [place, *range(start, start + modality.tokens)]
        start += modality.tokens
    return rows


def check_fits(path: str | Path, theirs: ModelConfig, ours: ModelConfig) -> None:
    """Whether a model's backbone can start a run.

    Raises:
        InputError: it cannot; says why.
    """
    for name in ("backbone", "schedule", "prediction"):
        if getattr(theirs, name) != getattr(ours, name):
            raise InputError(
                f"{path} has {name} {getattr(theirs, name)}, the run {getattr(ours, name)}: give both the same"
            )
    shared = [m for m in ours.modalities if m.name in theirs.modalities]
    if not shared:
        raise InputError(
            f"{path} has none of the modalities {', '.join(ours.modalities.names)}: it cannot start this run"
        )
    for modality in shared:
        if modality.latent_shape != theirs.modalities[modality.name].latent_shape:
            raise InputError(
                f"latents of {modality.name} are {modality.latent_shape} here and "
                f"{theirs.modalities[modality.name].latent_shape} in {path}: encode the data on that grid"
            )


def check_latent_space(
    path: str | Path, latent_space: str, modalities: ModalitySet, each: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Refuse to start from a model that was trained on latents of other autoencoders.

    The hash of a latent space covers all modalities together. Where the model has another set of them, the hashes of
    each modality's latents are compared; where one side was written without these, the scale factors, which come from
    the data.

    Args:
        path: model directory.
        latent_space: hash of the latents to train on.
        modalities: those to train.
        each: hashes of their latents by modality, where they are known.

    Raises:
        InputError: other autoencoders made the latents.
    """
    theirs = load_config(path)
    there = load_hashes(path).latent_space
    if theirs.modalities == modalities and there is not None and there != latent_space:
        raise InputError(
            f"the latents were made by other autoencoders (latent space {latent_space[:12]}) than those of {path} "
            f"({there[:12]}): encode the data with this model, or start from the model that encoded them"
        )
    theirs_of_each = known_latents(path)
    for modality in modalities.images:
        name = modality.name
        if name in each and name in theirs_of_each and each[name] != theirs_of_each[name]:
            raise InputError(
                f"the latents of {name} were made by another autoencoder ({each[name][:12]}) than that of {path} "
                f"({theirs_of_each[name][:12]}): encode the data with this model, or leave {name} out"
            )
    for modality in modalities:
        known = theirs.modalities[modality.name].scale_factor if modality.name in theirs.modalities else None
        if known is not None and known != modality.scale_factor:
            raise InputError(
                f"latents of {modality.name} have the scale factor {modality.scale_factor} here and {known} in {path}: "
                f"they were made by other autoencoders"
            )


def known_latents(path: str | Path) -> dict[str, str]:
    """Hashes of the latents of each modality that a model directory knows: of its autoencoders, else of its run."""
    config = load_config(path)
    noted = config.provenance.get(LATENTS, {})
    return (dict(noted) if isinstance(noted, Mapping) else {}) | latents_of_each(config, load_hashes(path))


def flat_on_host(params: Params) -> dict[tuple[str, ...], np.ndarray]:
    """{path: array} in host memory."""
    return {path: np.asarray(leaf) for path, leaf in flatten(params).items()}
