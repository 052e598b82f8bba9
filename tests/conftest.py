"""Eight CPU devices, strict types, and the golden vectors' place."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from jaxtyping import install_import_hook

# Array code only: at the boundary wrong values are the user's and get a sentence of ours.
install_import_hook([f"copgen_jax.{part}" for part in ("nn", "diffusion", "model", "sampling")], "beartype.beartype")

import jax  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")
