"""The program `copgen`, also as `python -m copgen_jax.cli`."""

import sys

from copgen_jax.cli import main
from copgen_jax.cli.environment import restart_fast


def program() -> None:
    """Run `copgen` with the arguments of this process, and end it."""
    restart_fast()
    sys.exit(main())


if __name__ == "__main__":
    program()
