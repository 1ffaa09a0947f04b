"""What an estimator returns: a distribution over theta."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from certibayes.estimators.theta_map import ThetaMap

DRAW_ROWS = 1 << 15


class Posterior(Distribution, ABC):
    """q(theta | x) for a batch of x; batch shape (batch,), event shape (theta_dim,).

    theta = bijection(v_location + v_scale * v). Draws are standard normal noise that `transport`
    maps to theta; where `has_rsample` is True, gradients of means over draws may be taken through
    it. Outside the support log q is -inf.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, theta_map: ThetaMap, batch: int) -> None:
        self.theta_map = theta_map
        super().__init__(torch.Size((batch,)), theta_map.location.shape, validate_args=False)

    @property
    def support(self) -> Constraint:
        """The prior's support."""
        return self.theta_map.support

    @property
    def noise_dim(self) -> int:
        """Coordinates of the noise behind one draw of theta."""
        return self.event_shape[0]

    @abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(theta | x), shape (*, batch), of theta with shape (*, batch, theta_dim)."""

    @abstractmethod
    def transport(self, noise: Tensor) -> Tensor:
        """Map standard normal noise, shape (*, batch, noise_dim), to theta."""

    def noise(self, sample_shape: Any = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw standard normal noise, shape (*sample_shape, batch, noise_dim).

        It is drawn on the CPU: the same numbers on every device.
        """
        location = self.theta_map.location
        shape = (*sample_shape, *self.batch_shape, self.noise_dim)
        return torch.randn(shape, generator=generator, dtype=location.dtype).to(location.device)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw theta, shape (*sample_shape, batch, theta_dim), with torch's global generator.

        Raises:
            NotImplementedError: if gradients through the draws would not be those of their mean.
        """
        if not self.has_rsample:
            raise NotImplementedError(f"{type(self).__name__} has no reparametrized draws")
        return self.transport(self.noise(sample_shape))

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from a generator, shape (n, batch, theta_dim), without gradient."""
        noise = self.noise((n,), generator)
        chunk = max(DRAW_ROWS // max(self.batch_shape[0], 1), 1)
        return torch.cat([self.transport(part) for part in noise.split(chunk)])

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw theta, shape (*sample_shape, batch, theta_dim), without gradient."""
        with torch.no_grad():
            return self.transport(self.noise(sample_shape))


class BijectivePosterior(Posterior):
    """A diffeomorphism between v and standard normal noise."""

    has_rsample = True

    @abstractmethod
    def _normalize(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Map v, shape (*, batch, theta_dim), to noise and log |det dnoise / dv|, (*, batch)."""

    @abstractmethod
    def _generate(self, noise: Tensor) -> Tensor:
        """Map standard normal noise to v, both (*, batch, theta_dim): inverse of `_normalize`."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(theta | x), shape (*, batch), of theta with shape (*, batch, theta_dim).

        log N(noise; 0, I) + log |det dnoise / dv| + log |det dv / dtheta|; -inf off the support.
        """
        v, log_det_map = self.theta_map.to_v(value)
        noise, log_det = self._normalize(v)
        return standard_normal_log_density(noise) + log_det + log_det_map

    def transport(self, noise: Tensor) -> Tensor:
        """Map standard normal noise, shape (*, batch, theta_dim), to theta; differentiable."""
        return self.theta_map.to_theta(self._generate(noise))

    def noise_of(self, theta: Tensor) -> Tensor:
        """Map theta, shape (*, batch, theta_dim), back to noise: the inverse of `transport`."""
        return self._normalize(self.theta_map.to_v(theta)[0])[0]


def standard_normal_log_density(noise: Tensor) -> Tensor:
    """Return log N(noise; 0, I) over the last dimension, (*, d) to (*)."""
    return -0.5 * noise.square().sum(-1) - 0.5 * noise.shape[-1] * math.log(2 * math.pi)
