"""Autoencoders for small machines: 0.96 km patches, under half a million parameters each, no files needed.

    for m in DEM LULC S1RTC S2L1C_60m S2L1C_10m S2L1C_20m cloud_mask S2L2A_60m S2L2A_10m S2L2A_20m; do
        copgen train vae --config configs/vae_small.py --config.modality=$m --data world:0:200 --out runs/small-$m
    done
    copgen export-model runs/small-* --out models/small-autoencoders

Expect the loss of S2L2A_10m to fall from 7,500 to 800 in 2,400 steps. There is no discriminator:
--config.loss.discriminator_weight=0.5 --config.loss.discriminator_start=1200 brings one in half-way, and doubles the
time of a step.
"""

from copgen_jax.cli.configuration import autoencoder_preset_config


def get_config():
    """The preset "demo", whose fields may be changed here."""
    return autoencoder_preset_config("demo")
