"""Bayesian linear regression with unit noise and a Gaussian prior, and its exact posterior."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from certibayes import registry
from certibayes.bnn.base import Batch, Step, WeightInference, WeightSamples
from certibayes.config.base import Spec
from certibayes.seeding import generator

EXAMPLES, FEATURES = 20, 3
PRIOR_STD = 0.7
DELTA = PRIOR_STD**-2
PRIOR = {"prior_std": PRIOR_STD, "prior_fan_in": False}
TYPE = torch.float64


class Line:
    """The log-likelihood of y given x ~ N(x w, 1) at one weight vector, up to its constant."""

    def __init__(self, network: nn.Module, samples: WeightSamples) -> None:
        self.weight = samples["weight"][0, 0]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return -0.5 * (y - x @ self.weight) ** 2


def inputs() -> Tensor:
    x = torch.randn(EXAMPLES, FEATURES, generator=generator("inputs"), dtype=TYPE)
    x[:, 1] += 0.7 * x[:, 0]
    return x


def data() -> tuple[Tensor, Tensor]:
    x = inputs()
    w = torch.tensor([0.8, -0.5, 0.3], dtype=TYPE)
    return x, x @ w + torch.randn(EXAMPLES, generator=generator("noise"), dtype=TYPE)


def data_of_unit_residuals() -> tuple[Tensor, Tensor]:
    """Return data whose residuals have E_q[(y_i - x_i w)^2] = 1 for every example.

    q has the posterior's mean and variances 1 / Lambda_ii. With residuals r_i = s_i sqrt(1 - v_i)
    at the mean m, v_i the variance of x_i w and s_i = +-1, X^T r = delta m makes m the posterior's.
    """
    x = inputs()
    variance = (x**2) @ (1 / precision(x).diagonal())
    assert (variance < 1).all()
    signs = 2.0 * torch.randint(2, (EXAMPLES,), generator=generator("signs")).to(TYPE) - 1
    residuals = signs * (1 - variance).sqrt()
    return x, x @ (x.T @ residuals / DELTA) + residuals


def precision(x: Tensor) -> Tensor:
    return x.T @ x + DELTA * torch.eye(FEATURES, dtype=TYPE)


def posterior_mean(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.solve(precision(x), x.T @ y)


def linear(spec: Spec, start: Tensor) -> WeightInference:
    """Return a method around a linear map without bias that starts at given weights."""
    network = nn.Linear(FEATURES, 1, bias=False).to(TYPE)
    with torch.no_grad():
        network.weight.copy_(start.unsqueeze(0))
    return registry.load("inference", spec.kind)(network, spec, Line)


def batch(x: Tensor, y: Tensor, numbers: Tensor) -> Batch:
    def objective(line: Line, target: Tensor) -> Tensor:
        return line(x[numbers], target)

    def draw(line: Line, source: torch.Generator) -> Tensor:
        noise = torch.randn(len(numbers), generator=source, dtype=TYPE)
        return x[numbers] @ line.weight + noise

    return Batch(objective, y[numbers], numbers, 3, draw)


def step(number: int, total: int, rate: float, share: float = 1.0) -> Step:
    noise = generator("step", number)
    return Step(number, total, EXAMPLES, rate, share, gradient_clip=1e9, generator=noise)


def cosine(number: int, total: int, rate: float = 1.0) -> float:
    return rate * 0.5 * (1 + math.cos(math.pi * number / total))
