"""The methods by which users of the sbi toolbox know a posterior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution


class SbiSurface(nn.Module, ABC):
    """Adds `sample`, `sample_batched`, `log_prob` and `log_prob_batched` to an estimator."""

    @abstractmethod
    def forward(self, x: Tensor) -> Distribution:
        """Return q(theta | x) for raw x, shape (batch, x_dim)."""

    def sample(
        self,
        sample_shape: Sequence[int] = (),
        *,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw theta for one observation, shape (*sample_shape, theta_dim).

        Args:
            sample_shape: e.g. (1000,).
            x: shape (x_dim,) or (1, x_dim).
            generator: source of randomness; None = torch's global generator.

        Raises:
            ValueError: if x holds more than one observation.
        """
        return self.sample_batched(sample_shape, x=_single(x), generator=generator).squeeze(-2)

    @torch.no_grad()
    def sample_batched(
        self,
        sample_shape: Sequence[int] = (),
        *,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw theta for every observation, x (batch, x_dim) to (*sample_shape, batch, theta_dim).

        Args:
            sample_shape: e.g. (1000,).
            x: raw observations.
            generator: source of randomness; None = torch's global generator.
        """
        posterior = self(x)
        draws: Tensor = posterior.transport(posterior.noise(tuple(sample_shape), generator))
        return draws

    @torch.no_grad()
    def log_prob(self, theta: Tensor, *, x: Tensor) -> Tensor:
        """Return log q(theta | x) of theta, shape (n, theta_dim), for one observation, shape (n,).

        Raises:
            ValueError: if x holds more than one observation.
        """
        log_density: Tensor = self(_single(x)).log_prob(theta.unsqueeze(-2)).squeeze(-1)
        return log_density

    @torch.no_grad()
    def log_prob_batched(self, theta: Tensor, *, x: Tensor) -> Tensor:
        """Return log q(theta | x): theta (*, batch, theta_dim), x (batch, x_dim) to (*, batch)."""
        log_density: Tensor = self(x).log_prob(theta)
        return log_density


def _single(x: Tensor) -> Tensor:
    x = torch.atleast_2d(x)
    if len(x) != 1:
        raise ValueError(f"x: got {len(x)} observations; allowed: 1 (see the batched methods)")
    return x
