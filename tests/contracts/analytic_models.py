"""Small conditional models with known answers, for the contracts of attacks and objectives."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MultivariateNormal, constraints

from certibayes.estimators.posterior import BijectivePosterior
from certibayes.estimators.theta_map import ThetaMap


class DiagonalGaussian(BijectivePosterior):
    """N(center, std^2) per entry, which does not tell that it is Gaussian."""

    def __init__(self, center: Tensor, std: Tensor) -> None:
        self.center, self.std = center, std
        zero = center.new_zeros(center.shape[1])
        super().__init__(ThetaMap(constraints.real_vector, zero, zero + 1), len(center))

    def _normalize(self, v: Tensor) -> tuple[Tensor, Tensor]:
        noise = (v - self.center) / self.std
        return noise, -self.std.log().sum(-1).expand(noise.shape[:-1])

    def _generate(self, noise: Tensor) -> Tensor:
        return self.center + self.std * noise


class KnownGaussian(DiagonalGaussian):
    """The same with its closed form."""

    @property
    def latent(self) -> MultivariateNormal:
        return MultivariateNormal(self.center, scale_tril=self.std.diag_embed())


def diagonal_gaussian(center: Tensor, std: Tensor, closed_form: bool) -> DiagonalGaussian:
    return (KnownGaussian if closed_form else DiagonalGaussian)(center, std)


class GaussianModel(nn.Module):
    """q(theta | x) = N(W x, diag exp(tanh(V x))^2), 3 to 2."""

    def __init__(self, closed_form: bool) -> None:
        super().__init__()
        self.closed_form = closed_form
        self.weight = nn.Parameter(
            torch.tensor([[1.0, -0.5, 0.2], [0.3, 2.0, 1.0]], dtype=torch.float64)
        )
        self.spread = nn.Parameter(
            torch.tensor([[0.5, 0.1, -0.4], [-0.2, 0.6, 0.3]], dtype=torch.float64)
        )

    def forward(self, x: Tensor) -> DiagonalGaussian:
        std = torch.exp(torch.tanh(x @ self.spread.T))
        return diagonal_gaussian(x @ self.weight.T, std, self.closed_form)


class SoftmaxLinear(nn.Module):
    """p(y | x) = softmax(W x), 3 features, 4 classes."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor) -> Categorical:
        return Categorical(logits=x @ self.weight.T)
