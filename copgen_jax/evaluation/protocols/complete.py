"""Samples with all twelve Level-2A bands; one that lacks some is left out, said and counted."""

from collections.abc import Sequence

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.report.content import counted
from copgen_jax.evaluation.scenes import l2a_stack
from copgen_jax.evaluation.sources import Sample


def complete(samples: Sequence[Sample]) -> tuple[list[Sample], np.ndarray, list[str]]:
    """The complete samples, their bands [n, 12, y, x], and sentences about the others.

    Raises:
        InputError: none is complete.
    """
    kept, stacks, problems = [], [], []
    for sample in samples:
        try:
            stacks.append(l2a_stack(sample.values))
            kept.append(sample)
        except InputError as error:
            problems.append(f"seed {sample.seed} is left out: {error}")
    if not kept:
        raise InputError(f"no sample is complete; {problems[0]}")
    if problems:
        problems.append(f"{len(kept)} of {counted(len(samples), 'sample')} scored")
    return kept, np.stack(stacks), problems
