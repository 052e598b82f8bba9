"""Where patches come from and how their latents are stored and read."""
