"""Gaussian mixture in the convention of sbibm, Lueckmann et al. (2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Normal

from certibayes.tasks.box_prior import BoxPriorTask

SCALES = (1.0, 0.1)


class GaussianMixture(BoxPriorTask):
    """theta ~ U(-10, 10)^2, x ~ 0.5 N(theta, I) + 0.5 N(theta, 0.01 I): one mean, two widths.

    The component is drawn afresh for every row; the simulator of sbibm draws one for all rows of a
    call, which agrees only if it is called one row at a time.
    Source: Sisson et al. (2007), as in sbibm, Lueckmann et al. (2021).
    """

    theta_dim = x_dim = 2
    half_width = 10.0

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate x, shape (n, 2), float64.

        Args:
            theta: parameters, shape (n, 2).
            generator: the only source of randomness.
        """
        uniform = torch.rand(len(theta), 1, generator=generator, dtype=torch.float64)
        noise = torch.randn(len(theta), 2, generator=generator, dtype=torch.float64)
        wide, narrow = SCALES
        return theta.double() + torch.where(uniform < 0.5, wide, narrow) * noise

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (n,), of theta and x with shape (n, 2) or (1, 2)."""
        offset = x.double() - theta.double()
        wide, narrow = (
            Normal(0.0, scale, validate_args=False).log_prob(offset).sum(1) for scale in SCALES
        )
        return torch.logaddexp(wide, narrow) - math.log(2)
