"""Published checkpoints to a model directory, and back.

The originals are one file for the backbone and one per autoencoder, in directories that name the modality in words of
their own. Everything is read and compared before anything is written, and networks are converted one at a time.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.checkpoints import safetensors
from copgen_jax.checkpoints.model_directory import BACKBONE, Hashes, load_config, load_network, save_model
from copgen_jax.checkpoints.published import (
    autoencoder_params,
    autoencoder_state_dict,
    backbone_params,
    backbone_state_dict,
    check_autoencoder,
    check_backbone,
)
from copgen_jax.checkpoints.recognise import recognise_autoencoder, recognise_backbone, recognise_modalities
from copgen_jax.checkpoints.shapes import unflatten
from copgen_jax.checkpoints.torch_files import read_torch
from copgen_jax.config import ModelConfig
from copgen_jax.errors import InputError
from copgen_jax.files import directory_aside
from copgen_jax.modalities import COPGEN, Modality, ModalitySet
from copgen_jax.model import build_autoencoder, build_backbone
from copgen_jax.progress import Track, silently
from copgen_jax.types import Params

SUFFIXES = (".pth", ".pt", ".safetensors")
PUBLISHED_DIRECTORIES = {
    "DEM": "DEM_64x64_DEM_latent_8",
    "LULC": "LULC_192x192_LULC_latent_8",
    "S1RTC": "S1RTC_192x192_VV_VH_latent_8",
    "S2L1C_60m": "S2L1C_32x32_B1_9_10_latent_8",
    "S2L1C_10m": "S2L1C_192x192_B4_3_2_8_latent_8",
    "S2L1C_20m": "S2L1C_96x96_B5_6_7_8A_11_12_latent_8",
    "cloud_mask": "S2L1C_192x192_cloud_mask_latent_8",
    "S2L2A_60m": "S2L2A_32x32_B1_9_latent_8",
    "S2L2A_10m": "S2L2A_192x192_B4_3_2_8_latent_8",
    "S2L2A_20m": "S2L2A_96x96_B5_6_7_8A_11_12_latent_8",
}
"""Where the original keeps each autoencoder, below `models/vae`."""

StateDict = Mapping[str, np.ndarray]
Tree = Callable[[], Params]


def convert(
    out: str | Path,
    *,
    vaes: str | Path | None = None,
    backbone: str | Path | None = None,
    autoencoders: str | Path | None = None,
    modalities: ModalitySet | None = None,
    heads: int | None = None,
    overwrite: bool = False,
    track: Track = silently,
) -> tuple[ModelConfig, Hashes]:
    """Write the model directory `out` from published checkpoints.

    Args:
        out: the model directory.
        vaes: directory with the autoencoders' files (see `find_autoencoder`).
        backbone: the backbone's file.
        autoencoders: a model directory to take the autoencoders from, instead of `vaes`.
        modalities: the modality set; None recognises it from the backbone, or means the published one.
        heads: attention heads of the backbone; None as published for its width and depth, else 64 wide.
        overwrite: replace what is at `out`.
        track: told about networks written.

    Returns:
        The configuration and hashes written.

    Raises:
        InputError: a file that is missing, refused or of another network; nothing is written then.
    """
    if vaes is None and backbone is None:
        raise InputError("there is nothing to convert: give --vaes DIR, --backbone FILE, or both")
    if vaes is not None and autoencoders is not None:
        raise InputError("autoencoders come from --vaes DIR or from --autoencoders MODEL, not from both")
    backbone_weights = None if backbone is None else read_torch(backbone)
    if modalities is None and backbone_weights is not None:
        modalities = _about(backbone, recognise_modalities, backbone_weights)
    config = ModelConfig(modalities=modalities or COPGEN, backbone=None)
    trees: dict[str, Tree] = {}
    if vaes is not None:
        config, trees = _with_vaes(config, Path(vaes))
    if autoencoders is not None:
        config, trees = _with_autoencoders(config, Path(autoencoders))
    params: dict[str, Any] = {"autoencoders": trees}
    if backbone is not None and backbone_weights is not None:
        size = _about(backbone, functools.partial(recognise_backbone, heads=heads), backbone_weights)
        provenance = {**config.provenance, "backbone": Path(backbone).name}
        config = dataclasses.replace(config, backbone=size, provenance=provenance)
        network = build_backbone(config)
        _about(backbone, check_backbone, backbone_weights, network)
        params[BACKBONE] = functools.partial(backbone_params, backbone_weights, network, dtype=None)
    return config, save_model(out, config, params, overwrite=overwrite, track=track)


def convert_to_published(
    model: str | Path, out: str | Path, *, overwrite: bool = False, track: Track = silently
) -> list[Path]:
    """Write a model's networks under the original's names: `backbone.safetensors` and `vaes/<key>.safetensors`.

    The result converts back with `backbone=out/backbone.safetensors, vaes=out/vaes`. Returns the files written.
    """
    config = load_config(model)
    names = [*([BACKBONE] if config.backbone else []), *config.autoencoders]
    written = []
    with directory_aside(out, overwrite=overwrite) as aside:
        for name in track(names, total=len(names), what="converting"):
            tree = unflatten(load_network(model, config, name))
            if name == BACKBONE:
                place, state_dict = "backbone.safetensors", backbone_state_dict(tree, build_backbone(config))
            else:
                place = f"vaes/{config.modalities[name].published_key}.safetensors"
                state_dict = autoencoder_state_dict(tree, build_autoencoder(config, name))
            safetensors.write(aside / place, state_dict, metadata={"format": "pt"})
            written.append(Path(out) / place)
    return written


def find_autoencoder(directory: str | Path, modality: Modality) -> Path:
    """The file of a modality's autoencoder below `directory`.

    Looked for at the original's place (`[models/vae/]<original directory>/`), then in a directory, then as a file, with
    the modality's name or published key. In a directory with several checkpoints, the one that ends in `-ema` counts.

    Raises:
        InputError: none there, or several and it is not clear which.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory; it should hold the autoencoders' files")
    names = [modality.name, modality.published_key]
    original = PUBLISHED_DIRECTORIES.get(modality.name)
    if original is not None:
        names = [f"models/vae/{original}", f"vae/{original}", original, *names]
    for name in names:
        place = directory / name
        files = [place.with_name(place.name + suffix) for suffix in SUFFIXES]
        if place.is_dir():
            files += sorted(file for file in place.iterdir() if file.suffix in SUFFIXES)
        files = [file for file in files if file.is_file()]
        averaged = [file for file in files if file.stem.endswith("-ema")]
        chosen = averaged or files
        if len(chosen) > 1:
            raise InputError(
                f"{place} has several checkpoints, {chosen[0].name} and {chosen[1].name} among them: keep the one "
                "to convert"
            )
        if chosen:
            return chosen[0]
    expected = original or modality.name
    raise InputError(
        f"{directory} has no autoencoder of {modality.name}: expected {expected}/model-<k>-ema.pth, or "
        f"{modality.name}{SUFFIXES[0]} or {modality.published_key}{SUFFIXES[-1]}"
    )


def _with_vaes(config: ModelConfig, directory: Path) -> tuple[ModelConfig, dict[str, Tree]]:
    files = {modality.name: find_autoencoder(directory, modality) for modality in config.modalities.images}
    weights = {name: read_torch(file) for name, file in files.items()}
    sizes = {name: _about(files[name], recognise_autoencoder, weights[name]) for name in files}
    provenance = {"autoencoders": {name: str(file.relative_to(directory)) for name, file in files.items()}}
    config = dataclasses.replace(config, autoencoders=sizes, provenance={**config.provenance, **provenance})
    trees = {}
    for name, file in files.items():
        network = build_autoencoder(config, name)
        _about(file, check_autoencoder, weights[name], network)
        trees[name] = functools.partial(autoencoder_params, weights[name], network, dtype=None)
    return config, trees


def _with_autoencoders(config: ModelConfig, model: Path) -> tuple[ModelConfig, dict[str, Tree]]:
    other = load_config(model)
    if other.modalities != config.modalities:
        raise InputError(f"the autoencoders of {model} are of another modality set than the backbone")
    provenance = {"autoencoders": other.provenance.get("autoencoders", model.name)}
    config = dataclasses.replace(
        config, autoencoders=other.autoencoders, provenance={**config.provenance, **provenance}
    )

    def load(name: str) -> Params:
        return unflatten(load_network(model, other, name))

    return config, {name: functools.partial(load, name) for name in other.autoencoders}


def _about(file: str | Path | None, function: Callable, *arguments: Any) -> Any:
    """Call a function whose complaints should say which file they are about."""
    try:
        return function(*arguments)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
