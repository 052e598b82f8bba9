"""Fine-tuning on what samplers ask for: given modalities clean at t = 0, absent ones as noise at t = 1000.

    copgen train backbone --config configs/finetune_conditional.py --latents STORE --init MODEL --out runs/conditional

The published objective never shows the network a clean modality. Half of the samples here do, and both given and absent
modalities stay out of the loss. Patches that lack a modality are used too. Expect the loss to start lower than at the
end of the run before: given modalities make the others easier.
"""

from copgen_jax.cli.configuration import preset_config


def get_config():
    config = preset_config("base")
    config.complete_only = False
    config.objective.conditional_share = 0.5
    config.optimiser.learning_rate = 5e-5
    config.optimiser.warmup_steps = 1000
    config.optimiser.clip_norm = 1.0
    config.habits.steps = 50_000
    return config
