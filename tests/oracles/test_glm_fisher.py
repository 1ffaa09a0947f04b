"""The Fisher defense against the generalized linear model with its closed form.

theta | x ~ N(w phi(x), s2) with 500 radial features phi_i(x) = exp(-2 (x - x_i)^2), x_i in
[-4, 4]; 40 points x ~ N(0, 2^2), theta = sin x + 0.1 N (Gloeckler et al., 2023, appendix). The
score with respect to x is (theta - w phi) / s2 * w J(x), J = dphi / dx, so the information is
(w J)^2 / s2 and the defense maximizes

    -log(s2) / 2 - RSS / (2 N s2) - beta std^2 w Omega w' / s2,  Omega = mean of J J' over x,

because it penalizes the mean over examples, in units of std = the std of x. The maximum is

    w = (Phi Phi' + 2 b Omega)^-1 Phi Y',  s2 = RSS / N + 2 b w Omega w' / N,  b = N std^2 beta,

the published solution with b in the place of the published beta. Four nodes at 0 and two at
+- sqrt(3) stand for a draw of theta: they have the first five moments of the normal distribution.
The data are repeated for every tuple of nodes, so that averages over independent draws are exact.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from certibayes.config.defenses import Fisher as FisherSpec
from certibayes.defenses.fisher import Fisher
from certibayes.estimators.posterior import BijectivePosterior
from certibayes.estimators.theta_map import ThetaMap
from certibayes.threat import Scale

POINTS, FEATURES, MOST_EXACT_DRAWS = 40, 500, 2
CENTERS = np.linspace(-4, 4, FEATURES)
NODES = (0.0,) * 4 + (-math.sqrt(3), math.sqrt(3))
PUBLISHED_BETAS = (0.0, 0.1, 1.0, 10.0)
CUTOFF = 1e-8


def features(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Phi and J = dPhi / dx, each (features, points)."""
    gap = x[None, :] - CENTERS[:, None]
    phi = np.exp(-2 * gap**2)
    return phi, -4 * gap * phi


class Data:
    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.x = 2 * generator.standard_normal(POINTS)
        self.y = np.sin(self.x) + 0.1 * generator.standard_normal(POINTS)
        self.phi, self.slope = features(self.x)
        self.omega = self.slope @ self.slope.T / POINTS
        self.unit = self.x.std(ddof=1)

    def rows(self, b: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Singular vectors and values of R with R' R = Phi Phi' + 2 b Omega, cut where it is 0."""
        stacked = np.concatenate((self.phi, math.sqrt(2 * b / POINTS) * self.slope), 1).T
        left, size, right = np.linalg.svd(stacked, full_matrices=False)
        kept = size > CUTOFF * size[0]
        return left[:, kept], size[kept], right[kept]

    def solution(self, b: float) -> tuple[np.ndarray, float]:
        """The weights of least norm, and the variance, for the published weight b."""
        left, size, right = self.rows(b)
        weights = (self.y @ left[:POINTS] / size) @ right
        return weights, self.residual(weights) + 2 * b * self.roughness(weights) / POINTS

    def residual(self, weights: np.ndarray) -> float:
        return float(np.square(self.y - weights @ self.phi).mean())

    def roughness(self, weights: np.ndarray) -> float:
        """Return w Omega w', summed over points: large weights cancel in the quadratic form."""
        return float(np.square(weights @ self.slope).mean())


class Predictive(BijectivePosterior):
    """N(center, variance) with draws at the nodes of a quadrature rule."""

    def __init__(self, center: Tensor, variance: Tensor) -> None:
        self.center, self.std = center, variance.sqrt()
        zero = torch.zeros(1, dtype=torch.float64)
        super().__init__(ThetaMap(constraints.real_vector, zero, zero + 1), len(center))

    def _normalize(self, v: Tensor) -> tuple[Tensor, Tensor]:
        noise = (v - self.center) / self.std
        return noise, -self.std.log().expand(noise.shape[:-1])

    def _generate(self, noise: Tensor) -> Tensor:
        return self.center + self.std * noise

    def noise(self, sample_shape=(), generator=None) -> Tensor:
        (draws,) = sample_shape
        if draws > MOST_EXACT_DRAWS:
            return super().noise(sample_shape, generator)
        tuples = torch.tensor(list(product(NODES, repeat=draws)), dtype=torch.float64)
        return tuples.T.repeat_interleave(POINTS, 1).unsqueeze(-1)


class RadialModel(nn.Module):
    def __init__(self, weights: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.weights, self.variance = weights, variance

    def forward(self, x: Tensor) -> Predictive:
        phi = (-2 * (x - torch.from_numpy(CENTERS)).square()).exp()
        return Predictive((phi @ self.weights)[:, None], self.variance)


@pytest.fixture(scope="module")
def data() -> Data:
    return Data()


def mean_objective(
    data: Data,
    weights: Tensor,
    variance: Tensor,
    b: float,
    draws: int = 1,
    draw_gradient: str = "none",
) -> Tensor:
    """The defense's objective, with the weight that b stands for."""
    x = torch.from_numpy(data.x)[:, None]
    spec = FisherSpec(beta=b / (POINTS * data.unit**2), draws=draws, draw_gradient=draw_gradient)
    defense = Fisher(spec, Scale.of(x), None)
    copies = len(NODES) ** draws if draws <= MOST_EXACT_DRAWS else 1
    target = torch.from_numpy(data.y)[:, None].repeat(copies, 1)
    generator = torch.Generator().manual_seed(0)
    model = RadialModel(weights, variance)
    return defense.objective(model, target, x.repeat(copies, 1), 1.0, generator).mean()


def value(data: Data, weights: np.ndarray, variance: float, b: float, draws: int = 1) -> float:
    variance = torch.tensor(variance, dtype=torch.float64)
    with torch.no_grad():
        return float(mean_objective(data, torch.from_numpy(weights), variance, b, draws))


def gradient(
    data: Data, weights: np.ndarray, variance: float, b: float, *how: int | str
) -> tuple[Tensor, Tensor]:
    """Its gradient to the weights and to the variance."""
    of = torch.from_numpy(weights).requires_grad_()
    spread = torch.tensor(variance, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(mean_objective(data, of, spread, b, *how), (of, spread))


@pytest.mark.parametrize("b", PUBLISHED_BETAS)
def test_closed_form_solves_the_normal_equations(data: Data, b: float) -> None:
    """(Phi Phi' + 2 b Omega) w = Phi Y'."""
    weights, _ = data.solution(b)
    left = (data.phi @ data.phi.T + 2 * b * data.omega) @ weights
    np.testing.assert_allclose(left, data.phi @ data.y, atol=1e-7)


@pytest.mark.parametrize("b", PUBLISHED_BETAS)
def test_objective_of_the_defense_has_the_derived_value(data: Data, b: float) -> None:
    weights, variance = data.solution(b)
    weights, variance = 0.9 * weights, 1.7 * variance
    penalty = b * data.roughness(weights) / (POINTS * variance)
    likelihood = -0.5 * math.log(2 * math.pi * variance)
    likelihood -= data.residual(weights) / (2 * variance)
    found = value(data, weights, variance, b)
    assert found == pytest.approx(likelihood - penalty, rel=1e-10)


@pytest.mark.parametrize("b", PUBLISHED_BETAS)
def test_gradient_of_the_defense_vanishes_at_the_closed_form(data: Data, b: float) -> None:
    weights, variance = data.solution(b)
    found, _ = gradient(data, weights, variance, b)
    elsewhere, _ = gradient(data, np.zeros(FEATURES), variance, b)
    assert float(found.abs().max()) < 1e-8
    assert float(elsewhere.abs().max()) > 1
    if b:
        wrong, _ = gradient(data, weights, variance, 1.05 * b)
        assert float(wrong.abs().max()) > 1e-4


@pytest.mark.parametrize("b", PUBLISHED_BETAS)
def test_training_with_the_defense_reaches_the_closed_form(data: Data, b: float) -> None:
    """Full batch, L-BFGS from zero, in coordinates in which R is orthonormal."""
    weights, variance = data.solution(b)
    spread = torch.tensor(variance, dtype=torch.float64)
    _, size, right = data.rows(b)
    basis = torch.from_numpy(right / size[:, None])
    trained = torch.zeros(len(size), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([trained], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        negative = -mean_objective(data, trained @ basis, spread, b)
        negative.backward()
        return negative

    optimizer.step(loss)
    found = (trained.detach() @ basis).numpy()
    np.testing.assert_allclose(found @ data.phi, weights @ data.phi, atol=1e-7)
    np.testing.assert_allclose(found @ data.slope, weights @ data.slope, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found, weights, rtol=1e-3, atol=1e-4 * np.abs(weights).max())


@pytest.mark.parametrize("b", PUBLISHED_BETAS)
def test_objective_is_largest_at_the_closed_form_variance(data: Data, b: float) -> None:
    weights, variance = data.solution(b)

    def at(factor: float) -> float:
        return value(data, weights, factor * variance, b)

    assert at(1.0) > max(at(0.99), at(1.01))
    assert (at(1.001) - at(0.999)) / 0.002 == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("draws", [1, 2])
@pytest.mark.parametrize("b", PUBLISHED_BETAS)
def test_variance_where_training_ends_if_draws_carry_no_gradient(
    data: Data, b: float, draws: int
) -> None:
    """It takes the information for (w J)^2 r^2 / s2^2 at fixed r.

    Its derivative by s2 is twice that of (w J)^2 / s2: training inflates the variance by
    4 b w Omega w' / N, twice the term of the closed form.
    """
    weights, variance = data.solution(b)
    doubled = variance + 2 * b * data.roughness(weights) / POINTS
    found = gradient(data, weights, doubled, b, draws, "none")[1]
    assert abs(float(found)) < 1e-8 / doubled


@pytest.mark.parametrize("draw_gradient", ["score_function", "reparametrized"])
@pytest.mark.parametrize("draws", [1, 2])
@pytest.mark.parametrize("b", PUBLISHED_BETAS)
def test_training_ends_at_the_closed_form_if_gradients_know_of_the_draws(
    data: Data, b: float, draws: int, draw_gradient: str
) -> None:
    weights, variance = data.solution(b)
    of_weights, of_variance = gradient(data, weights, variance, b, draws, draw_gradient)
    assert float(of_weights.abs().max()) < 1e-8
    assert abs(float(of_variance)) < 1e-8 / variance
    doubled = variance + 2 * b * data.roughness(weights) / POINTS
    wrong = gradient(data, weights, doubled, b, draws, draw_gradient)[1]
    assert b == 0 or abs(float(wrong)) > 1e-3 / doubled


def test_random_draws_agree_with_the_quadrature(data: Data) -> None:
    """Every draw's information is (w J)^2 / s2 times a squared standard normal."""
    b, draws = 1.0, 200
    weights, variance = data.solution(b)
    likelihood = value(data, weights, variance, 0.0)
    exact = likelihood - value(data, weights, variance, b)
    found = likelihood - value(data, weights, variance, b, draws)
    information = np.square(weights @ data.slope)
    spread = math.sqrt(2 / draws * np.square(information).sum()) / information.sum()
    assert found == pytest.approx(exact, rel=5 * spread)


def test_mean_gets_smoother_and_variance_larger_with_the_weight(data: Data) -> None:
    solutions = [data.solution(b) for b in PUBLISHED_BETAS]
    roughness = [data.roughness(weights) for weights, _ in solutions]
    variances = [variance for _, variance in solutions]
    assert roughness == sorted(roughness, reverse=True)
    assert variances == sorted(variances)
    assert roughness[-1] < 0.5 * roughness[0]
    assert variances[-1] > 2 * variances[0]
