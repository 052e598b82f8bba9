"""Diffusion mathematics on pytrees; nothing here knows a network or a modality name."""
