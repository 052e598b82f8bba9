"""COP-GEN in JAX: any-to-any generation of co-located Copernicus data.

The public names; each is imported from its module when first used, so that `import copgen_jax` stays light.
"""

import importlib

_PUBLIC = {
    "COPGEN": "modalities",
    "DEMO": "modalities",
    "Modality": "modalities",
    "ModalitySet": "modalities",
    "GIVEN": "modalities",
    "WANTED": "modalities",
    "ABSENT": "modalities",
    "InputError": "errors",
    "Autoencoder": "nn.autoencoder",
    "Backbone": "nn.backbone",
    "Model": "model",
    "make_sampler": "sampling",
    "Generator": "generate",
    "load": "generate",
}
_MODULES = ("checkpoints", "config", "data", "diffusion", "evaluation", "rasters", "training", "units")

__all__ = [
    "ABSENT",
    "COPGEN",
    "DEMO",
    "GIVEN",
    "WANTED",
    "Autoencoder",
    "Backbone",
    "Generator",
    "InputError",
    "Modality",
    "ModalitySet",
    "Model",
    "checkpoints",
    "load",
    "make_sampler",
]


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"copgen_jax.{_PUBLIC[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"copgen_jax.{name}")
    raise AttributeError(f"module 'copgen_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*_PUBLIC, *_MODULES))
