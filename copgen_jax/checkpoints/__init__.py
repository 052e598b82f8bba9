"""Parameters on disk: model directories, training states and the published torch files.

The public names, each imported from its module when first used.
"""

import importlib

_PUBLIC = {
    "read_torch": "torch_files",
    "backbone_params": "published",
    "autoencoder_params": "published",
    "backbone_state_dict": "published",
    "autoencoder_state_dict": "published",
    "recognise_backbone": "recognise",
    "recognise_modalities": "recognise",
    "recognise_autoencoder": "recognise",
    "Hashes": "model_directory",
    "find_model": "model_directory",
    "load_config": "model_directory",
    "load_hashes": "model_directory",
    "latents_of_each": "model_directory",
    "load_model": "model_directory",
    "save_model": "model_directory",
}


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'copgen_jax.checkpoints' has no attribute {name!r}")
    return getattr(importlib.import_module(f"copgen_jax.checkpoints.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_PUBLIC)
