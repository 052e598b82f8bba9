"""A synthetic Copernicus world whose true distributions are known: see docs/world.md."""

from copgen_jax.data.world.noise import Window
from copgen_jax.data.world.optics import OFFSET
from copgen_jax.data.world.world import Patch, World

__all__ = ["OFFSET", "Patch", "Window", "World"]
