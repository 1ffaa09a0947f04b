"""Simple likelihood, complex posterior, in the convention of sbibm, Lueckmann et al. (2021)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Normal

from certibayes.tasks.box_prior import BoxPriorTask

POINTS = 4
JITTER = 1e-6


class Slcp(BoxPriorTask):
    """Four points in the plane; the signs of theta_3 and theta_4 cannot be told from x.

    theta ~ U(-3, 3)^5; x = 4 independent draws of N(m, S), point after point, with
    m = (theta_1, theta_2), s_1 = theta_3^2, s_2 = theta_4^2, rho = tanh(theta_5) and
    S = [[s_1^2, rho s_1 s_2], [rho s_1 s_2, s_2^2]] + 1e-6 I; sbibm adds the last term to keep S
    invertible. Source: Papamakarios et al. (2019), as in sbibm, Lueckmann et al. (2021).
    """

    theta_dim = 5
    x_dim = 2 * POINTS
    half_width = 3.0

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate x, shape (n, 8), float64.

        Args:
            theta: parameters, shape (n, 5).
            generator: the only source of randomness.
        """
        shape = (len(theta), POINTS, 2)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        first, cross, second = _cholesky(theta)
        offset = torch.stack(
            (first * noise[:, :, 0], cross * noise[:, :, 0] + second * noise[:, :, 1]), 2
        )
        return (theta.double()[:, None, :2] + offset).flatten(1)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (n,), of theta (n, 5) and x with shape (n, 8) or (1, 8).

        With S = L L^T, it is the sum over points of log N(L^-1 (x_i - m); 0, I) - log det L.
        """
        first, cross, second = _cholesky(theta)
        offset = x.double().view(-1, POINTS, 2) - theta.double()[:, None, :2]
        z_first = offset[:, :, 0] / first
        z_second = (offset[:, :, 1] - cross * z_first) / second
        standard = Normal(0.0, 1.0, validate_args=False)
        log_density = standard.log_prob(z_first) + standard.log_prob(z_second)
        return (log_density - first.log() - second.log()).sum(1)


def _cholesky(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the entries (1, 1), (2, 1) and (2, 2) of the factor of S, each of shape (n, 1)."""
    s_first, s_second = theta.double()[:, 2:4].square().split(1, 1)
    covariance = theta.double()[:, 4:].tanh() * s_first * s_second
    first = (s_first.square() + JITTER).sqrt()
    cross = covariance / first
    determinant = (s_first * s_second / theta.double()[:, 4:].cosh()).square() + JITTER * (
        s_first.square() + s_second.square() + JITTER
    )
    return first, cross, determinant.sqrt() / first
