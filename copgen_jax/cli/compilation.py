"""Compiled programs are kept between runs, in a private directory of the user."""

import os
from pathlib import Path


def keep_compilations() -> Path | None:
    """Switch on JAX's persistent compilation cache in the user's own ~/.cache/copgen_jax (or XDG_CACHE_HOME).

    JAX_COMPILATION_CACHE_DIR goes before. A directory that is not the user's own, or cannot be made, is not used:
    compiled programs are executed as they are.
    """
    import jax

    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "copgen_jax" / "compilations"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = place.stat()
    except OSError:
        return None
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        return None
    jax.config.update("jax_compilation_cache_dir", str(place))
    return place
