"""Twelve modalities on 0.96 km patches, for one GPU: 5,000 updates of 256 samples.

    copgen train backbone --config configs/demo.py --latents STORE --out runs/demo \\
        --config.dtype=bfloat16 --config.attention=cudnn

On two CPU cores leave the last two settings out and take batches of 16: --config.batch_size=16. Expect, of
a backbone 192 wide and 6 deep with the settings of recipes/demo but its shift of times, a loss of 7 after fifty such
updates, 2.3 after 400.
"""

from copgen_jax.cli.configuration import preset_config


def get_config():
    return preset_config("demo")
