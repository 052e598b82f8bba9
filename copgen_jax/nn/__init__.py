"""Networks as pure Flax modules; nothing here knows of diffusion."""
