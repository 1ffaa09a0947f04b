"""Bernoulli generalized linear model in the convention of sbibm, Lueckmann et al. (2021)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn.functional import softplus

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.base import PosteriorTask

LAGS = 9
BINS = 100
STIMULUS_SEED = 42
BIAS_VARIANCE = 2.0


class BernoulliGlm(PosteriorTask):
    """A spike train driven by white noise: bias b and a 9-lag filter f from 10 statistics.

    b ~ N(0, 2), f ~ N(0, (F^T F)^-1); with stimulus u_t and v_t = (1, u_t, ..., u_{t-8}), where u
    is 0 before the start, y_t ~ Bernoulli(sigmoid(v_t . theta)) for t = 1..100, and x = sum of
    y_t v_t: the number of spikes and the unnormalized spike-triggered sum per lag, which are
    sufficient. F = D^2 + diag(sqrt(i / 9)), i = 0..8, D the matrix of first differences, so that
    rough filters are unlikely.

    The stimulus is that of sbibm, made anew rather than read from its file: the first 100 draws
    of numpy's legacy normal generator (whose stream is frozen) with seed 42, rounded to float32.
    Source: Goncalves et al. (2020), as in sbibm, Lueckmann et al. (2021).

    Attributes:
        design: rows v_t, shape (100, 10), float64.
    """

    theta_dim = x_dim = 1 + LAGS
    theta_names = ("bias", *(f"filter_{lag}" for lag in range(LAGS)))

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.design = _design_matrix()
        self.prior: MultivariateNormal = MultivariateNormal(
            torch.zeros(self.theta_dim, dtype=torch.float64), precision_matrix=_prior_precision()
        )

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 10), float64."""
        noise = torch.randn(n, self.theta_dim, generator=generator, dtype=torch.float64)
        return noise @ self.prior.scale_tril.T

    def spikes(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate spike trains y, shape (n, 100), 0 or 1 in float64; NaN where theta is.

        Args:
            theta: parameters, shape (n, 10).
            generator: the only source of randomness.
        """
        probability = (theta.double() @ self.design.T).sigmoid()
        uniform = torch.rand(probability.shape, generator=generator, dtype=torch.float64)
        spiked = (uniform < probability).double()
        return torch.where(probability.isnan(), torch.nan, spiked)

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate the sufficient statistics x, shape (n, 10), float64.

        Args:
            theta: parameters, shape (n, 10).
            generator: the only source of randomness.
        """
        return self.spikes(theta, generator) @ self.design

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return the log probability of any one spike train with statistics x, shape (n,).

        It is theta . x - sum_t log(1 + exp(v_t . theta)), and differs from log p(x | theta) by the
        log number of spike trains with statistics x, which does not depend on theta.

        Args:
            theta: parameters, shape (n, 10).
            x: statistics, shape (n, 10) or (1, 10).
        """
        theta = theta.double()
        return (theta * x.double()).sum(1) - softplus(theta @ self.design.T).sum(1)


def _design_matrix() -> Tensor:
    draws = np.random.RandomState(STIMULUS_SEED).randn(BINS).astype(np.float32)
    padded = torch.cat((torch.zeros(LAGS - 1), torch.from_numpy(draws))).double()
    newest_first = padded.unfold(0, LAGS, 1).flip(1)
    return torch.cat((torch.ones(BINS, 1, dtype=torch.float64), newest_first), 1)


def _prior_precision() -> Tensor:
    identity = torch.eye(LAGS, dtype=torch.float64)
    difference = identity - identity.roll(1, 0).tril(-1)
    ramp = (torch.arange(LAGS, dtype=torch.float64) / LAGS).sqrt()
    smoothness = difference @ difference + torch.diag(ramp)
    bias = torch.full((1, 1), 1 / BIAS_VARIANCE, dtype=torch.float64)
    return torch.block_diag(bias, smoothness.T @ smoothness)
