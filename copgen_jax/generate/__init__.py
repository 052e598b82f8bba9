"""Files to files: a model, the sampler and rasters joined. `load` returns a `Generator`."""

import importlib

_PUBLIC = {
    "Generator": "generator",
    "load": "generator",
    "Request": "request",
    "Work": "generator",
    "Drawn": "generator",
    "write_places": "writing",
}


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'copgen_jax.generate' has no attribute {name!r}")
    return getattr(importlib.import_module(f"copgen_jax.generate.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_PUBLIC)
