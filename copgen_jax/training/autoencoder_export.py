"""Runs of autoencoders, one per modality, as the autoencoders of one model."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from copgen_jax.config import ModelConfig
from copgen_jax.errors import InputError
from copgen_jax.modalities import ModalitySet
from copgen_jax.training.autoencoder_start import averaged_autoencoder, load_trained_autoencoder
from copgen_jax.training.run import RunDirectory
from copgen_jax.types import Params


def join_autoencoders(runs: Sequence[RunDirectory]) -> tuple[ModelConfig, dict[str, Callable[[], Params]]]:
    """(configuration with the measured scale factors, {modality: function that reads its averaged parameters}).

    Raises:
        InputError: two runs of one modality, runs for different models, a run that was not measured yet.
    """
    first = runs[0]
    modalities, autoencoders, provenance = first.config.model.modalities, {}, {}
    loaders: dict[str, Callable[[], Params]] = {}
    for run in runs:
        trained = load_trained_autoencoder(run)
        if trained.name in loaders:
            raise InputError(f"two runs are of the autoencoder of {trained.name}; give one of them")
        _check_same_model(first, run)
        factor = trained.config.modalities[trained.name].scale_factor
        modalities = modalities.replace(trained.name, scale_factor=factor)
        autoencoders |= trained.config.autoencoders
        provenance[trained.name] = {"run": run.config.run_id, "step": trained.step}
        loaders[trained.name] = _loader(run, trained.step)
    synthetic = any(run.config.model.provenance.get("synthetic") for run in runs)
    config = dataclasses.replace(
        first.config.model,
        modalities=modalities,
        autoencoders={m.name: autoencoders[m.name] for m in modalities if m.name in autoencoders},
        provenance={"synthetic": synthetic, "autoencoders": provenance, "parameters": "average (EMA)"},
    )
    return config, loaders


def _loader(run: RunDirectory, step: int) -> Callable[[], Any]:
    return lambda: averaged_autoencoder(run, step)


def _check_same_model(first: RunDirectory, run: RunDirectory) -> None:
    one, other = first.config.model, run.config.model
    same = {
        "modalities or patch size": _grids(one.modalities) == _grids(other.modalities),
        "Sentinel-2 offset": one.s2_offset == other.s2_offset,
    }
    for what, equal in same.items():
        if not equal:
            raise InputError(f"{first.path} and {run.path} are for models of different {what}: they cannot be joined")


def _grids(modalities: ModalitySet) -> list[tuple[Any, ...]]:
    return [(m.name, m.pixels, m.resolution, m.latent_channels, m.bands, m.codes) for m in modalities]
