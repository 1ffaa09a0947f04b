"""Two moons, SLCP and Gaussian mixture against their formulas, quadrature and slow versions."""

import cmath
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.distributions import MultivariateNormal

from certibayes import registry
from certibayes.config.tasks import BUILT_IN
from certibayes.tasks.box_prior import BoxPriorTask
from certibayes.tasks.two_moons import center

N = 100_000
KS = 2.5 / math.sqrt(N)
BOXES = {"two_moons": (2, 1.0), "slcp": (5, 3.0), "gaussian_mixture": (2, 10.0)}
MOONS = torch.tensor([[0.3, -0.8]], dtype=torch.float64)
SLCP = torch.tensor([[0.7, -2.9, -1.2, 0.9, 0.6]], dtype=torch.float64)
MIXTURE = torch.tensor([[-4.0, 7.0]], dtype=torch.float64)


def make(name: str) -> BoxPriorTask:
    return registry.load("task", name)(BUILT_IN[name]())


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(name: str, theta: torch.Tensor) -> torch.Tensor:
    return make(name).simulate(theta.expand(N, -1), generator(1))


def distance(sample: torch.Tensor, cdf: torch.Tensor) -> float:
    """Return the Kolmogorov-Smirnov distance; 2.5 / sqrt(n) is its 1e-5 critical value."""
    ranks = (torch.arange(len(sample), dtype=torch.float64) + 0.5) / len(sample)
    return float((cdf[sample.argsort()] - ranks).abs().max())


@pytest.mark.parametrize("name", BOXES)
def test_prior_is_uniform_in_the_box(name: str) -> None:
    task = make(name)
    d, half_width = BOXES[name]
    theta = task.sample_prior(N, generator(0))
    for column in theta.T:
        assert distance(column, (column / half_width + 1) / 2) < KS
    assert float(torch.corrcoef(theta.T).tril(-1).abs().max()) < 5 / math.sqrt(N)
    expected = torch.full((N,), -d * math.log(2 * half_width), dtype=torch.float64)
    torch.testing.assert_close(task.prior.log_prob(theta), expected)


@pytest.mark.parametrize("name", BOXES)
def test_one_observation_broadcasts(name: str) -> None:
    task = make(name)
    theta = task.sample_prior(6, generator(0))
    x = task.simulate(theta[:1], generator(1))
    broadcast = task.log_likelihood(theta, x)
    torch.testing.assert_close(broadcast, task.log_likelihood(theta, x.expand(6, -1)))


def test_two_moons_center_is_a_rotation_by_45_degrees() -> None:
    theta = make("two_moons").sample_prior(50, generator(2))
    turned = [complex(*row) * cmath.exp(-0.25j * math.pi) for row in theta.tolist()]
    expected = torch.tensor([[0.25 - abs(z.real), z.imag] for z in turned], dtype=torch.float64)
    torch.testing.assert_close(center(theta), expected)


def test_two_moons_radius_and_angle() -> None:
    offset = draws("two_moons", MOONS) - center(MOONS)
    assert (offset[:, 0] > 0).all()
    radius = offset.norm(dim=1)
    angle = torch.atan2(offset[:, 1], offset[:, 0])
    assert distance(angle, angle / math.pi + 0.5) < KS
    standard = (radius - 0.1) / 0.01
    assert distance(standard, torch.special.ndtr(standard)) < KS
    correlation = torch.corrcoef(torch.stack((radius, angle)))[0, 1]
    assert abs(float(correlation)) < 5 / math.sqrt(N)


def test_two_moons_moments() -> None:
    """E[r cos a] = 2 E[r] / pi; E[r sin a] = 0; both second moments are E[r^2] / 2."""
    offset = draws("two_moons", MOONS) - center(MOONS)
    error = 5 * offset.std(0) / math.sqrt(N)
    expected = torch.tensor([0.2 / math.pi, 0.0], dtype=torch.float64)
    assert ((offset.mean(0) - expected).abs() < error).all()
    second = offset.square()
    assert ((second.mean(0) - 0.0101 / 2).abs() < 5 * second.std(0) / math.sqrt(N)).all()


def test_two_moons_density_integrates_to_one_and_matches_counts() -> None:
    """Midpoint rule with 40 x 40 points in each of 10 x 20 cells, over u in [0, 0.15]."""
    cells, fine = (10, 20), 40
    u = (torch.arange(cells[0] * fine, dtype=torch.float64) + 0.5) * 0.15 / (cells[0] * fine)
    v = (torch.arange(cells[1] * fine, dtype=torch.float64) + 0.5) * 0.3 / (cells[1] * fine) - 0.15
    x = center(MOONS) + torch.cartesian_prod(u, v)
    density = make("two_moons").log_likelihood(MOONS, x).exp()
    area = 0.15 * 0.3 / len(x)
    mass = density.view(cells[0], fine, cells[1], fine).sum((1, 3)) * area
    assert float(mass.sum()) == pytest.approx(1, abs=1e-5)

    offset = draws("two_moons", MOONS) - center(MOONS)
    counts, _, _ = np.histogram2d(*offset.T.numpy(), bins=cells, range=[[0, 0.15], [-0.15, 0.15]])
    expected = mass.numpy() * N
    usual = expected > 10
    chi = (counts - expected)[usual] ** 2 / expected[usual]
    assert abs(chi.sum() - usual.sum()) < 5 * math.sqrt(2 * usual.sum())


def test_two_moons_density_is_zero_behind_the_crescent_and_shared_by_the_mirror_image() -> None:
    task = make("two_moons")
    behind = center(MOONS) + torch.tensor([[-0.1, 0.0]], dtype=torch.float64)
    assert float(task.log_likelihood(MOONS, behind)) == -math.inf
    x = draws("two_moons", MOONS)[:20]
    mirrored = task.log_likelihood(-MOONS.flip(1), x)
    torch.testing.assert_close(task.log_likelihood(MOONS, x), mirrored)


def slcp_covariance(theta: torch.Tensor) -> torch.Tensor:
    _, _, third, fourth, fifth = theta.tolist()
    cross = math.tanh(fifth) * third**2 * fourth**2
    matrix = [[third**4 + 1e-6, cross], [cross, fourth**4 + 1e-6]]
    return torch.tensor(matrix, dtype=torch.float64)


def test_slcp_moments() -> None:
    """Four independent points with mean m and covariance S; Gaussian fourth moments."""
    x = draws("slcp", SLCP)
    covariance = torch.block_diag(*[slcp_covariance(SLCP[0])] * 4)
    variance = covariance.diagonal()
    residual = x - SLCP[0, :2].repeat(4)
    assert (residual.mean(0).abs() < 5 * (variance / N).sqrt()).all()
    error = ((variance[:, None] * variance + covariance**2) / N).sqrt()
    assert ((residual.T @ residual / N - covariance).abs() < 5 * error).all()
    kurtosis = (residual**4).mean(0) / variance**2
    assert ((kurtosis - 3).abs() < 5 * math.sqrt(96 / N)).all()


def test_slcp_density_agrees_with_a_dense_covariance() -> None:
    task = make("slcp")
    theta = task.sample_prior(200, generator(4))
    x = task.simulate(theta, generator(5))
    covariance = torch.stack([slcp_covariance(row) for row in theta])
    points = MultivariateNormal(theta[:, None, :2], covariance[:, None])
    expected = points.log_prob(x.view(-1, 4, 2)).sum(1)
    torch.testing.assert_close(task.log_likelihood(theta, x), expected, rtol=1e-6, atol=1e-6)


def test_slcp_density_is_blind_to_the_signs_of_the_scales_and_finite_without_them() -> None:
    task = make("slcp")
    x = draws("slcp", SLCP)[:20]
    value = task.log_likelihood(SLCP, x)
    for signs in ([1, 1, -1, 1, 1], [1, 1, 1, -1, 1], [1, 1, -1, -1, 1]):
        flipped = SLCP * torch.tensor(signs, dtype=torch.float64)
        torch.testing.assert_close(task.log_likelihood(flipped, x), value)
    flat = SLCP * torch.tensor([1, 1, 0, 0, 1], dtype=torch.float64)
    assert task.log_likelihood(flat, flat[:, :2].repeat(1, 4)).isfinite().all()


def test_mixture_radius_and_direction() -> None:
    """P(|x - theta| < r) = 1 - (exp(-r^2 / 2) + exp(-r^2 / 0.02)) / 2; the angle is uniform."""
    offset = draws("gaussian_mixture", MIXTURE) - MIXTURE
    square = offset.square().sum(1)
    cdf = 1 - ((-square / 2).exp() + (-square / 0.02).exp()) / 2
    assert distance(square, cdf) < KS
    angle = torch.atan2(offset[:, 1], offset[:, 0])
    assert distance(angle, angle / (2 * math.pi) + 0.5) < KS


def test_mixture_moments() -> None:
    """Variance 0.505 per entry; E[x_1^2 x_2^2] = (1 + 0.0001) / 2, as both share the width."""
    offset = draws("gaussian_mixture", MIXTURE) - MIXTURE
    assert (offset.mean(0).abs() < 5 * math.sqrt(0.505 / N)).all()
    square = offset.square()
    assert ((square.mean(0) - 0.505).abs() < 5 * square.std(0) / math.sqrt(N)).all()
    product = square.prod(1)
    assert abs(float(product.mean()) - 0.50005) < 5 * float(product.std()) / math.sqrt(N)


def test_mixture_density_integrates_to_one_and_its_log_has_the_right_mean() -> None:
    task = make("gaussian_mixture")

    def log_density(r: float) -> float:
        x = MIXTURE + torch.tensor([[0.6 * r, -0.8 * r]], dtype=torch.float64)
        return float(task.log_likelihood(MIXTURE, x))

    def ring(r: float) -> float:
        return 2 * math.pi * r * math.exp(log_density(r))

    total, _ = quad(ring, 0, 9, points=[0.1, 0.3, 1])
    assert total == pytest.approx(1, abs=1e-6)
    mean, _ = quad(lambda r: ring(r) * log_density(r), 0, 9, points=[0.1, 0.3, 1])
    values = task.log_likelihood(MIXTURE, draws("gaussian_mixture", MIXTURE))
    assert abs(float(values.mean()) - mean) < 5 * float(values.std()) / math.sqrt(N)
