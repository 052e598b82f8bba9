"""Twelve modalities on 0.96 km patches, for a small machine: 8,000 updates of 16 samples.

    copgen train backbone --config configs/demo.py --latents STORE --out runs/demo

Expect a loss that starts near 12; with --config.objective.shared_time=0 it was below 3 after four hundred updates.
"""

from copgen_jax.cli.configuration import preset_config


def get_config():
    return preset_config("demo")
