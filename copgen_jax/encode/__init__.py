"""From data to a latent store: posterior moments of every patch and modality, on all local devices.

    plan = make_plan(open_source("data", config.modalities), config, latent_space=hashes.latent_space)
    encoded = encode(plan, load_encoder("model", plan.images), "latents")

Reading runs ahead in threads, devices are kept fed with several batches, and writing has a thread of its own. A
process owns whole shards; the batches of a shard are a fixed partition of its patches, so a shard's bytes do not depend
on what was encoded before it, by whom, or how often the process was killed.
"""

from copgen_jax.encode.encoder import Encoder, load_encoder
from copgen_jax.encode.pace import Standing
from copgen_jax.encode.plan import EncodeOptions, Plan, Task, make_plan
from copgen_jax.encode.run import Encoded, encode
from copgen_jax.encode.sources import is_synthetic, open_source

__all__ = [
    "EncodeOptions",
    "Encoded",
    "Encoder",
    "Plan",
    "Standing",
    "Task",
    "encode",
    "is_synthetic",
    "load_encoder",
    "make_plan",
    "open_source",
]
