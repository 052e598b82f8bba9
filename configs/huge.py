"""The published huge model: 951 million parameters, 1024 samples an update in 8 micro-batches.

    copgen train backbone --config configs/huge.py --latents STORE --out runs/huge --config.habits.fsdp=8

Expect about three and a half times the time of base; the state alone takes 19 GB on one device without FSDP.
"""

from copgen_jax.cli.configuration import preset_config


def get_config():
    return preset_config("huge")
