"""The published model: 287 million parameters, 1024 samples an update, 500,000 updates.

    copgen train backbone --config configs/base.py --latents STORE --out runs/base
    sbatch launch/slurm/multi_node.sbatch        # on a cluster, with CONFIG=configs/base.py

Expect a loss of about 12 (the number of modalities) at first, a quick fall in the first thousand updates after the
warm-up and a slow one from there on. An update takes 1.6e15 operations: docs/sizing.md has days by GPU.
"""

from copgen_jax.cli.configuration import preset_config


def get_config():
    return preset_config("base")
