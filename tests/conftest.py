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


LONGEST_FIRST = (
    "test_sharded_training.py",
    "test_main_job.py",
    "test_resuming.py",
    "test_autoencoder_run.py",
    "test_encode_kills.py",
)
"""Files that take minutes: begun first, so that no worker waits for another at the end."""


def pytest_collection_modifyitems(config, items):
    """What a root of golden vectors lacks is not collected: pytest would skip the test of an empty table."""
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    empty = [item for item in items if any("empty parameter set" in str(m.kwargs) for m in item.iter_markers("skip"))]
    config.hook.pytest_deselected(items=empty)
    items[:] = [item for item in items if item not in empty]
