"""The model directory: what a model is on disk.

    config.json               a ModelConfig
    hashes.json               of the latent space, of the backbone, of each network's parameters, of every file
    backbone/                 Orbax parameters
    autoencoders/<modality>/  Orbax parameters

Either kind of network may be absent. Networks are written and read one by one, so that a job loads only those it uses
and no more than one is in memory twice. The directory appears under its name when it is complete.

The *latent space* is what a store of latents must match: modality set (scale factors in it) and autoencoders. Hashes
are taken of values widened to float32, so they do not depend on the type that parameters are stored in. Before a
network is read its files are compared with their own hashes: what is damaged or missing is named, and never loaded.
"""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from copgen_jax.checkpoints.arrays import check_shapes, restore_arrays, save_arrays
from copgen_jax.checkpoints.shapes import Path as Key
from copgen_jax.checkpoints.shapes import autoencoder_shapes, backbone_shapes, flatten, unflatten
from copgen_jax.config import ModelConfig, from_json, to_json
from copgen_jax.errors import InputError, suggestion
from copgen_jax.files import directory_aside
from copgen_jax.model import build_autoencoder, build_backbone
from copgen_jax.progress import Track, silently
from copgen_jax.types import Params

CONFIG, HASHES, BACKBONE, AUTOENCODERS = "config.json", "hashes.json", "backbone", "autoencoders"
DEMO = "demo"
"""The packaged model's name, and its folder in the package."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HASH_CHUNK = 1 << 22
"""Numbers that are widened at once."""
_THREADS = min(8, os.cpu_count() or 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hashes:
    """What tells two models apart, as hexadecimal SHA-256."""

    latent_space: str | None
    """Of modality set, autoencoder sizes and parameters; None without autoencoders."""
    backbone: str | None
    """Of modality set, backbone size, schedule, prediction and parameters; None without a backbone."""
    networks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of the parameters alone: "backbone" or modality -> hash."""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of the networks' files: path in the model directory -> hash."""


def find_model(model: str | Path) -> Path:
    """The directory of a model: as named, or that of the packaged one for "demo"."""
    return Path(__file__).parents[1] / DEMO if model == DEMO else Path(model)


def save_model(
    path: str | Path, config: ModelConfig, params: Params, *, overwrite: bool = False, track: Track = silently
) -> Hashes:
    """Write a model directory.

    Args:
        path: the directory, which must not exist unless `overwrite`.
        config: what the parameters mean. Exactly its networks must be in `params`.
        params: {"backbone": tree, "autoencoders": {modality: tree}}; a value may be a function that returns the tree,
            so that one network at a time is in memory.
        overwrite: replace what is there, once the new directory is complete.
        track: told about networks written.

    Raises:
        InputError: the place is taken or cannot be written to, or the parameters are not those of the configuration.
    """
    autoencoders = params.get(AUTOENCODERS, {})
    trees = {**({BACKBONE: params[BACKBONE]} if BACKBONE in params else {}), **autoencoders}
    networks = list(_networks(config))
    if set(trees) != set(networks):
        raise InputError(
            f"the configuration has the networks {', '.join(networks) or 'none'}, the parameters are of "
            f"{', '.join(trees) or 'none'}"
        )
    with directory_aside(path, overwrite=overwrite) as aside:
        found = {}
        for name in track(networks, total=len(networks), what="writing"):
            tree = trees[name]() if isinstance(trees[name], Callable) else trees[name]
            found[name] = _save_network(aside / _place(name), tree, _shapes(config, name), name)
        hashes = dataclasses.replace(_joined(config, found), files=_file_hashes(aside, _files(aside)))
        (aside / CONFIG).write_text(to_json(config))
        (aside / HASHES).write_text(to_json(hashes))
    return hashes


def load_config(path: str | Path) -> ModelConfig:
    """The configuration of a model directory.

    Raises:
        InputError: no model directory there, or its configuration does not read.
    """
    file = Path(path) / CONFIG
    if not Path(path).is_dir():
        raise InputError(f"{path} is not a model directory: there is no such directory")
    config = from_json(_text(file, f"{path} is not a model directory"), source=file)
    for modality in config.modalities:
        if not _PLAIN_NAME.fullmatch(modality.name):
            raise InputError(f"{file} names a modality {modality.name[:60]!r}; letters, digits, _ . - are allowed")
    return config


def load_hashes(path: str | Path) -> Hashes:
    """The hashes of a model directory as written with it, without reading its parameters."""
    file = Path(path) / HASHES
    return from_json(_text(file, f"{path} is not a complete model directory"), Hashes, source=file)


def load_model(
    path: str | Path,
    *,
    networks: Iterable[str] | None = None,
    sharding: jax.sharding.Sharding | None = None,
    track: Track = silently,
) -> tuple[ModelConfig, Params]:
    """Configuration and parameters of a model directory, for `Model(config, params)`.

    Args:
        path: the directory.
        networks: which to load: "backbone" and names of image modalities; None for all that it has.
        sharding: where to put every array; None for the default device.
        track: told about networks read.

    Returns:
        The configuration and {"backbone": tree, "autoencoders": {modality: tree}} in float32, with only what was asked.

    Raises:
        InputError: no model directory, a network it does not have, files missing or damaged (parameters are compared
            with their hash).
    """
    config = load_config(path)
    present = list(_networks(config))
    chosen = present if networks is None else list(dict.fromkeys(networks))
    params: dict[str, Any] = {AUTOENCODERS: {}}
    for name in track(chosen, total=len(chosen), what="loading"):
        if name not in present:
            raise InputError(f"{path} has no {_called(name)}: {suggestion(name, present)}")
        leaves = {
            key: jax.device_put(leaf.astype(np.float32, copy=False), sharding)
            for key, leaf in load_network(path, config, name).items()
        }
        target = params if name == BACKBONE else params[AUTOENCODERS]
        target[name] = unflatten(leaves)
    return config, params


def load_network(path: str | Path, config: ModelConfig, name: str) -> dict[Key, np.ndarray]:
    """{path in the tree: array} of one network as stored ("backbone" or an image modality).

    Raises:
        InputError: files are missing or damaged, or hold other parameters than the configuration's.
    """
    root, place, hashes = Path(path), _place(name), load_hashes(path)
    if (
        name not in hashes.networks
        or dataclasses.replace(_joined(config, hashes.networks), files=hashes.files) != hashes
    ):
        raise InputError(f"{root / CONFIG} and {root / HASHES} are not of the same model; copy or convert it again")
    present = set(_files(root))
    expected = {file: digest for file, digest in hashes.files.items() if file.startswith(f"{place}/")}
    missing = [file for file in expected if file not in present]
    strange = sorted(file for file in present if file.startswith(f"{place}/") and file not in expected)
    if missing or not expected:
        what = missing[0] if missing else place
        raise InputError(f"the model directory {path} is not complete: {what} is missing; copy or convert it again")
    if strange:
        raise InputError(f"{root / HASHES} does not know {strange[0]}: remove that file, or copy or convert again")
    found = _file_hashes(root, list(expected))
    damaged = [file for file in expected if found[file] != expected[file]]
    if damaged:
        raise InputError(
            f"{root / damaged[0]} is damaged: it is not the file that was written; copy or convert it again"
        )
    return restore_arrays(root / place, _shapes(config, name))


def model_hashes(config: ModelConfig, params: Params) -> Hashes:
    """The hashes that `save_model` would write: of parameters in memory."""
    found = {name: _parameters_hash(_on_host(tree)) for name, tree in params.get(AUTOENCODERS, {}).items()}
    if BACKBONE in params:
        found[BACKBONE] = _parameters_hash(_on_host(params[BACKBONE]))
    return _joined(config, found)


def latents_of_each(config: ModelConfig, hashes: Hashes) -> dict[str, str]:
    """{modality: hash of its latents alone}: of the modality, its scale factor and its autoencoder.

    Where the latent space's hash tells whether all is the same, this tells it of models of other sets of modalities.
    """
    return {
        name: _text_hash([dataclasses.asdict(config.modalities[name]), dataclasses.asdict(size), hashes.networks[name]])
        for name, size in config.autoencoders.items()
    }


def _networks(config: ModelConfig) -> Iterator[str]:
    if config.backbone is not None:
        yield BACKBONE
    yield from (modality.name for modality in config.modalities.images if modality.name in config.autoencoders)


def _place(name: str) -> str:
    return BACKBONE if name == BACKBONE else f"{AUTOENCODERS}/{name}"


def _called(name: str) -> str:
    return BACKBONE if name == BACKBONE else f"autoencoder of {name}"


def _shapes(config: ModelConfig, name: str) -> dict[Key, tuple[int, ...]]:
    if name == BACKBONE:
        return backbone_shapes(build_backbone(config))
    return autoencoder_shapes(build_autoencoder(config, name))


def _on_host(tree: Params) -> dict[Key, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in flatten(tree).items()}


def _save_network(place: Path, tree: Params, shapes: Mapping[Key, tuple[int, ...]], name: str) -> str:
    leaves = _on_host(tree)
    check_shapes({key: leaf.shape for key, leaf in leaves.items()}, shapes, f"the tree of the {_called(name)}")
    place.parent.mkdir(exist_ok=True)
    save_arrays(place, leaves)
    return _parameters_hash(leaves)


def _joined(config: ModelConfig, networks: Mapping[str, str]) -> Hashes:
    """The two hashes of a model from its configuration and its networks' hashes."""
    modalities = [dataclasses.asdict(modality) for modality in config.modalities]
    autoencoders = {
        name: [dataclasses.asdict(config.autoencoders[name]), networks[name]]
        for name in sorted(networks)
        if name in config.autoencoders
    }
    backbone = None
    if config.backbone is not None and BACKBONE in networks:
        sizes = [dataclasses.asdict(config.backbone), dataclasses.asdict(config.schedule), config.prediction]
        backbone = _text_hash([modalities, *sizes, networks[BACKBONE]])
    latent_space = _text_hash([modalities, autoencoders]) if autoencoders else None
    return Hashes(latent_space=latent_space, backbone=backbone, networks=dict(sorted(networks.items())))


def _files(root: Path) -> list[str]:
    """Paths of the networks' files in a model directory."""
    folders = (root / BACKBONE, root / AUTOENCODERS)
    return sorted(file.relative_to(root).as_posix() for f in folders for file in f.rglob("*") if file.is_file())


def _file_hashes(root: Path, files: list[str]) -> dict[str, str]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(files, pool.map(lambda file: _file_hash(root / file), files), strict=True))


def _file_hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _text_hash(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _parameters_hash(leaves: Mapping[Key, np.ndarray]) -> str:
    """SHA-256 over names, shapes and the digests of little-endian float32 values."""
    keys = sorted(leaves)
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = list(pool.map(lambda key: _values_hash(leaves[key]), keys))
    return _text_hash([["/".join(key), leaves[key].shape, digest] for key, digest in zip(keys, digests, strict=True)])


def _values_hash(array: np.ndarray) -> str:
    digest = hashlib.sha256()
    flat = np.ascontiguousarray(array).reshape(-1)
    for start in range(0, flat.size, _HASH_CHUNK):
        digest.update(flat[start : start + _HASH_CHUNK].astype("<f4", copy=False).view(np.uint8).data)
    return digest.hexdigest()


def _text(file: Path, otherwise: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{otherwise}: it has no {file.name}") from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"{file} is damaged: it is not text") from error
