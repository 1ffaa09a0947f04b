"""A trained posterior under the names by which users of sbi know one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.estimators.base import Estimator
from certibayes.serving.certify import CertificateAt, Configured, certify
from certibayes.serving.loaded import Loaded
from certibayes.serving.observations import Numbers, rows, single


@dataclass(frozen=True, eq=False)
class LoadedPosterior(Loaded):
    """q(theta | x): parameters in their own units, float64, without gradient.

    `show_progress_bars` is taken and not used: diagnostics of sbi state it.

    Attributes:
        estimator: the float64 estimator.
        theta_names: one per parameter.
    """

    estimator: Estimator
    theta_names: tuple[str, ...]

    @property
    def theta_dim(self) -> int:
        """Number of parameters."""
        return len(self.theta_names)

    def sample(
        self,
        sample_shape: Sequence[int] = (),
        *,
        x: Numbers,
        generator: torch.Generator | None = None,
        show_progress_bars: bool = False,
    ) -> Tensor:
        """Draw theta for one observation, shape (*sample_shape, theta_dim).

        Args:
            sample_shape: e.g. (1000,).
            x: shape (x_dim,) or (1, x_dim), raw units.
            generator: source of randomness; None = torch's global generator.
            show_progress_bars: not used.

        Raises:
            ValueError: if x is malformed or holds more than one observation.
        """
        x = single(x, self.x_dim)
        return self.estimator.sample(tuple(sample_shape), x=x, generator=generator)

    def sample_batched(
        self,
        sample_shape: Sequence[int] = (),
        *,
        x: Numbers,
        generator: torch.Generator | None = None,
        show_progress_bars: bool = False,
    ) -> Tensor:
        """Draw theta for every observation, shape (*sample_shape, batch, theta_dim).

        Args:
            sample_shape: e.g. (1000,).
            x: shape (batch, x_dim), raw units.
            generator: source of randomness; None = torch's global generator.
            show_progress_bars: not used.

        Raises:
            ValueError: if x is malformed.
        """
        x = rows(x, self.x_dim)
        return self.estimator.sample_batched(tuple(sample_shape), x=x, generator=generator)

    def log_prob(self, theta: Numbers, *, x: Numbers) -> Tensor:
        """Return log q(theta | x) for one observation, shape (n,); -inf off the support.

        Args:
            theta: shape (theta_dim,) or (n, theta_dim).
            x: shape (x_dim,) or (1, x_dim), raw units.

        Raises:
            ValueError: if theta or x is malformed, or x holds more than one observation.
        """
        x = single(x, self.x_dim)
        return self.estimator.log_prob(rows(theta, self.theta_dim, "theta"), x=x)

    def log_prob_batched(self, theta: Tensor, *, x: Numbers) -> Tensor:
        """Return log q(theta | x), shape (*, batch), of theta with shape (*, batch, theta_dim).

        Raises:
            ValueError: if x is malformed.
        """
        return self.estimator.log_prob_batched(theta.double(), x=rows(x, self.x_dim))

    def _certify(
        self, x: Numbers, certificates: tuple[Configured, ...], seed: int | None
    ) -> tuple[CertificateAt, ...]:
        return certify(self.estimator, rows(x, self.x_dim), None, certificates, seed)
