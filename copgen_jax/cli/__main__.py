"""`python -m copgen_jax.cli`: the same as `copgen`."""

import sys

from copgen_jax.cli import main

sys.exit(main())
