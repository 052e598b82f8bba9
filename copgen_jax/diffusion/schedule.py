"""The variance-preserving noise schedule: how much of the clean latent and how much noise there is at time t.

    x_t = alpha(t) x_0 + sigma(t) eps,    alpha^2 + sigma^2 = 1,    lam = log(alpha / sigma)

`lam` is half the log-SNR: it falls from plus infinity (t = 0, clean) as t grows to 1 (almost noise). At t = n / steps
the schedule is that of DDPM (Ho et al. 2020) with the betas of latent diffusion: alpha^2 is the product of 1 - beta_k
up to n. Between these knots log alpha is linear in t, as in DPM-Solver (Lu et al. 2022), and 0 (clean) at t = 0.

Two views of the same curve: float64 NumPy functions of t for tables made on the host, and one traced function of the
network time 1000 t, the number that the backbone is told (exact for the integers of discrete training in float32).
"""

import dataclasses
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from copgen_jax.config import ScheduleConfig

Numbers = Float[np.ndarray, "..."] | float
"""A float64 array of any shape, or one number."""

NETWORK_TIME = 1000.0
"""The backbone's time at t = 1, whatever the number of steps of the schedule."""


@dataclasses.dataclass(frozen=True)
class NoiseSchedule:
    """alpha, sigma and lam of a `ScheduleConfig`."""

    config: ScheduleConfig

    @cached_property
    def betas(self) -> Float[np.ndarray, " steps"]:
        """Variance added by each step n = 1..steps."""
        roots = np.linspace(self.config.beta_start**0.5, self.config.beta_end**0.5, self.config.steps)
        return roots**2

    @cached_property
    def knots(self) -> tuple[Float[np.ndarray, " knots"], Float[np.ndarray, " knots"]]:
        """The times n / steps, n = 0..steps, and log alpha there."""
        t = np.arange(self.config.steps + 1) / self.config.steps
        return t, np.concatenate([[0.0], 0.5 * np.cumsum(np.log1p(-self.betas))])

    @property
    def abar(self) -> Float[np.ndarray, " knots"]:
        """alpha^2 at the steps n = 0..steps; n = 0 is clean."""
        return np.exp(2 * self.knots[1])

    @property
    def t_end(self) -> float:
        """Where sampling stops: the first step. Below it nothing was trained."""
        return 1 / self.config.steps

    def log_alpha(self, t: Numbers) -> Numbers:
        """Logarithm of alpha at t in [0, 1]."""
        return np.interp(t, *self.knots)

    def alpha(self, t: Numbers) -> Numbers:
        """Share of the clean latent at t in [0, 1]."""
        return np.exp(self.log_alpha(t))

    def sigma(self, t: Numbers) -> Numbers:
        """Share of the noise at t in [0, 1]."""
        return np.sqrt(-np.expm1(2 * self.log_alpha(t)))

    def lam(self, t: Numbers) -> Numbers:
        """log(alpha / sigma), half the log-SNR, at t in (0, 1]."""
        return self.log_alpha(t) - np.log(self.sigma(t))

    def t_of_lam(self, lam: Numbers) -> Numbers:
        """The t at which half the log-SNR is `lam`, by log alpha = -log(1 + exp(-2 lam)) / 2."""
        t, log_alpha = self.knots
        return np.interp(-0.5 * np.logaddexp(0.0, -2.0 * lam), log_alpha[::-1], t[::-1])

    def alpha_sigma(
        self, network_time: Float[Array, "*batch"]
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """alpha and sigma at traced network times in [0, 1000], in their dtype.

        Interpolated by a sum over all knots, each weighted by its hat function. A search for the two neighbours is a
        loop, and on GPUs XLA (jaxlib 0.11.2) refuses to compile a loop over times that looks a single one up so.
        """
        dtype, steps = network_time.dtype, self.config.steps
        shape = (1,) * network_time.ndim + (steps + 1,)
        position = jnp.clip(network_time[..., None] * (steps / NETWORK_TIME), 0, steps)
        hats = jnp.maximum(1 - jnp.abs(position - jnp.arange(steps + 1, dtype=dtype).reshape(shape)), 0)
        log_alpha = (hats * jnp.asarray(self.knots[1], dtype).reshape(shape)).sum(-1)
        return jnp.exp(log_alpha), jnp.sqrt(-jnp.expm1(2 * log_alpha))
