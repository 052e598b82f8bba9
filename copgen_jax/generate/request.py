"""What is asked of a model: which modalities, how many members, and how they are drawn."""

import dataclasses
import typing
from collections.abc import Iterable

import numpy as np

from copgen_jax.config import ModelConfig
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.diffusion.solvers import solver_table
from copgen_jax.errors import InputError, suggestion
from copgen_jax.modalities import Unasked
from copgen_jax.sampling import Posterior, sample_keys


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """Everything but the place that decides what is drawn. Members are numbered 0 .. members - 1."""

    want: tuple[str, ...]
    """Products or modalities."""
    members: int = 1
    seed: int = 0
    unasked: Unasked = "joint"
    """What is neither given nor wanted: sampled along and dropped, or absent."""
    posterior: Posterior = "fresh"
    """Given images enter as a posterior sample per member, as one for all members, or as the posterior's mode."""
    guidance_scale: float = 1.0
    solver: str | None = None
    """The model's own where None."""
    evaluations: int | None = None
    """The model's own where None."""

    def settled(self, config: ModelConfig) -> "Request":
        """The same request with the model's defaults filled in and modalities named.

        Raises:
            InputError: a wish that this model cannot fulfil.
        """
        if self.members < 1:
            raise InputError(f"{self.members} members are asked for; expected one or more")
        if self.posterior not in typing.get_args(Posterior):
            raise InputError(
                f"unknown posterior {self.posterior!r}: {suggestion(self.posterior, typing.get_args(Posterior))}"
            )
        if not np.isfinite(self.guidance_scale):
            raise InputError(f"guidance scale is {self.guidance_scale}; expected a number, 1 for none")
        sample_keys(self.seed, ["anywhere"], [0])
        settled = dataclasses.replace(
            self,
            want=config.modalities.resolve(self.want),
            solver=self.solver or config.solver.name,
            evaluations=config.solver.evaluations if self.evaluations is None else self.evaluations,
        )
        self.roles(config, ())
        solver_table(str(settled.solver), NoiseSchedule(config.schedule), int(settled.evaluations or 0))
        return settled

    def roles(self, config: ModelConfig, given: Iterable[str]) -> np.ndarray:
        """Role codes int32 (M,) for a place where the modalities `given` are given."""
        return config.modalities.roles(given, self.want, unasked=self.unasked)
