"""The program `copgen`, also as `python -m copgen_jax.cli`."""

import sys

from copgen_jax.cli import main
from copgen_jax.cli.allocation import restart_with_large_pages


def program() -> None:
    """Run `copgen` with the arguments of this process, and end it."""
    restart_with_large_pages()
    sys.exit(main())


if __name__ == "__main__":
    program()
