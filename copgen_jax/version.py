"""The program's version, as installed."""

from importlib.metadata import PackageNotFoundError, version


def program_version() -> str:
    """The installed version, or "unknown" in a source tree that is not installed."""
    try:
        return version("copgen_jax")
    except PackageNotFoundError:
        return "unknown"
