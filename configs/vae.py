"""The published autoencoders: 83.7 million parameters each, 500,000 steps of 16 patches of 192 px, float32.

    copgen train vae --config configs/vae.py --config.modality=S2L2A_10m --data majortom/ --lpips vgg16.pth lpips.pth \\
        --out runs/vae-S2L2A_10m

One run per image modality. The published runs of S2L2A_20m and S2L2A_60m had batches of 4: --config.batch_size=4.
Expect the reconstruction error to fall fast for 20,000 steps and slowly afterwards; from step 50,001 the discriminator
sharpens textures and the error rises a little. A modality that starts from another's autoencoder (--init RUN) gets
there sooner.
"""

from copgen_jax.cli.configuration import autoencoder_preset_config


def get_config():
    """The preset "vae"."""
    return autoencoder_preset_config("vae")
