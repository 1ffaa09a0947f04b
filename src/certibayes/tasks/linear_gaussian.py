"""What both linear Gaussian tasks share: simulator, exact posterior, exact worst-case shift."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.base import PosteriorTask
from certibayes.threat import Ball


class LinearGaussianTask(PosteriorTask):
    """theta ~ N(0, p I), x = a * theta + sqrt(s) N(0, I), with a diagonal matrix diag(a).

    The posterior is N(gain * x, v), per entry, with v = 1 / (1 / p + a^2 / s) and gain = v a / s;
    its covariance does not depend on x.

    Attributes:
        slope: the diagonal a, shape (d,), float64.
        prior_variance: p.
        noise_variance: s.
        posterior_variance: v, shape (d,).
        gain: derivative of the posterior mean with respect to x, shape (d,).
    """

    def __init__(
        self, spec: TaskSpec, slope: Tensor, prior_variance: float, noise_variance: float
    ) -> None:
        super().__init__(spec)
        self.slope = slope
        self.prior_variance = prior_variance
        self.noise_variance = noise_variance
        self.posterior_variance = 1 / (1 / prior_variance + slope**2 / noise_variance)
        self.gain = self.posterior_variance * slope / noise_variance
        self.theta_dim = self.x_dim = len(slope)
        self.theta_names = tuple(f"theta_{i}" for i in range(1, len(slope) + 1))
        zeros = torch.zeros_like(slope)
        self.prior = Independent(Normal(zeros, zeros + math.sqrt(prior_variance)), 1)

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, d), float64."""
        noise = torch.randn(n, self.theta_dim, generator=generator, dtype=torch.float64)
        return math.sqrt(self.prior_variance) * noise

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate x = a * theta + sqrt(s) noise, shape (n, d), float64.

        Args:
            theta: parameters, shape (n, d).
            generator: the only source of randomness.
        """
        noise = torch.randn(theta.shape, generator=generator, dtype=torch.float64)
        return self.slope * theta.double() + math.sqrt(self.noise_variance) * noise

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (n,), of theta and x with shape (n, d)."""
        mean = self.slope * theta.double()
        std = torch.full_like(mean, math.sqrt(self.noise_variance))
        return Normal(mean, std, validate_args=False).log_prob(x.double()).sum(1)

    def exact_posterior(self, x: Tensor) -> Independent:
        """Return the exact posterior at x, shape (batch, d); its event shape is (d,), float64."""
        mean = self.gain * x.double()
        return Independent(Normal(mean, self.posterior_variance.sqrt().expand_as(mean)), 1)

    def expected_nll(self) -> float:
        """Return E[-log p(theta | x)] over the joint: the entropy of the exact posterior, nats."""
        return float(0.5 * torch.log(2 * math.pi * math.e * self.posterior_variance).sum())

    def worst_case_shift(self, ball: Ball) -> tuple[float, float]:
        """Return the largest (total variation, KL divergence) between posteriors over a ball.

        Both posteriors have the same covariance, so at the Mahalanobis distance m of their means
        TV = 2 Phi(m / 2) - 1 and KL = m^2 / 2 in either direction, the same for every x. With
        g = |gain| / sqrt(v) and the per-feature radius r (in the units of x), the largest m is
        sqrt(sum (g r)^2) for linf and max (g r) for l2 (the longest axis of the mapped ellipsoid)
        and for l1 (the farthest vertex: a convex function is largest at one).

        Args:
            ball: the set of perturbed x.

        Raises:
            ValueError: if the ball has a clip range, where the shift depends on x.
        """
        if ball.clip is not None:
            raise ValueError(f"clip: got {ball.clip}; allowed: None (the closed form is unclipped)")
        reach = self.gain.abs() / self.posterior_variance.sqrt() * ball.radius.double()
        distance = float(reach.norm() if ball.norm == "linf" else reach.max())
        return math.erf(distance / math.sqrt(8)), distance**2 / 2
