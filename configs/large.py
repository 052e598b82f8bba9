"""The published large model: 501 million parameters, 1024 samples an update in 4 micro-batches.

    copgen train backbone --config configs/large.py --latents STORE --out runs/large

Expect about twice the time and memory of base.
"""

from copgen_jax.cli.configuration import preset_config


def get_config():
    return preset_config("large")
