"""Weights for the frozen feature networks, the same on every machine, so that no file stores any."""

import numpy as np
from golden_vectors import recipe


def weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """float32 arrays by name; variances and the linear layers of LPIPS are positive, as learnt ones are."""
    made = recipe.state_dict(shapes, seed)
    for name, value in made.items():
        if name.endswith("running_var"):
            made[name] = 1 + np.abs(value)
        elif name.startswith("lin"):
            made[name] = np.abs(value)
    return made


def images(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Smooth test images in [-1, 1], channel-first float32."""
    return np.tanh(recipe.inputs(shape, seed, name)).astype(np.float32)
