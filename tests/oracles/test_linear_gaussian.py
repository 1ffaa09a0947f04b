"""Linear Gaussian tasks against closed forms, numerical references and attacks."""

import math

import pytest
import torch
from torch.distributions import kl_divergence

from certibayes import registry
from certibayes.config.tasks import BUILT_IN
from certibayes.tasks.linear_gaussian import LinearGaussianTask
from certibayes.threat import Ball

NAMES = ("gaussian_linear", "gaussian_linear_sbibm")
NORMS = ("l2", "linf")


def make(name: str) -> LinearGaussianTask:
    return registry.load("task", name)(BUILT_IN[name]())


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(task: LinearGaussianTask, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    theta = task.sample_prior(n, generator(0))
    return theta, task.simulate(theta, generator(1))


PUBLISHED_DIAGONAL = (
    *(-0.2633, -1.9402, 1.6822, -0.29684, -0.031292),
    *(-1.0250, 0.056811, 0.29649, 1.2073, -1.7704),
)


@pytest.mark.parametrize(
    ("name", "prior", "diagonal", "noise"),
    [
        ("gaussian_linear", 1.0, PUBLISHED_DIAGONAL, 0.01),
        ("gaussian_linear_sbibm", 0.1, (1.0,) * 10, 0.1),
    ],
)
def test_simulator_moments(
    name: str, prior: float, diagonal: tuple[float, ...], noise: float
) -> None:
    """theta and the residual x - A theta are independent normal vectors of independent entries."""
    n = 200_000
    theta, x = pairs(make(name), n)
    residual = x - torch.tensor(diagonal, dtype=torch.float64) * theta
    for values, variance in ((theta, prior), (residual, noise)):
        assert ((values.var(0) / variance - 1).abs() < 5 * math.sqrt(2 / n)).all()
        assert (values.mean(0).abs() < 5 * math.sqrt(variance / n)).all()
        kurtosis = (values**4).mean(0) / variance**2
        assert ((kurtosis - 3).abs() < 5 * math.sqrt(96 / n)).all()
    correlation = torch.corrcoef(torch.cat((theta, residual), 1).T)
    assert float(correlation.tril(-1).abs().max()) < 5 / math.sqrt(n)


@pytest.mark.parametrize("name", NAMES)
def test_posterior_satisfies_bayes_rule(name: str) -> None:
    """log p(theta) + log p(x | theta) - log p(theta | x) depends on x alone."""
    task = make(name)
    theta, x = pairs(task, 50)
    other = task.sample_prior(50, generator(9))
    posterior = task.exact_posterior(x)

    def evidence(theta: torch.Tensor) -> torch.Tensor:
        joint = task.prior.log_prob(theta) + task.log_likelihood(theta, x)
        return joint - posterior.log_prob(theta)

    torch.testing.assert_close(evidence(theta), evidence(other), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_posterior_agrees_with_dense_conditioning(name: str) -> None:
    task = make(name)
    _, x = pairs(task, 4)
    matrix = torch.diag(task.slope)
    prior = task.prior_variance * torch.eye(task.theta_dim, dtype=torch.float64)
    marginal = matrix @ prior @ matrix.T + task.noise_variance * torch.eye(
        task.x_dim, dtype=torch.float64
    )
    gain = prior @ matrix.T @ torch.linalg.inv(marginal)
    posterior = task.exact_posterior(x)
    torch.testing.assert_close(posterior.mean, x @ gain.T)
    covariance = prior - gain @ matrix @ prior
    torch.testing.assert_close(posterior.variance[0], covariance.diagonal())


@pytest.mark.parametrize("name", NAMES)
def test_expected_nll_is_the_mean_over_pairs(name: str) -> None:
    task = make(name)
    n = 100_000
    theta, x = pairs(task, n)
    nll = -task.exact_posterior(x).log_prob(theta)
    assert abs(float(nll.mean()) - task.expected_nll()) < 5 * float(nll.std()) / math.sqrt(n)


def test_expected_nll_of_sbibm_convention() -> None:
    expected = 5 * math.log(2 * math.pi * math.e * 0.05)
    assert make("gaussian_linear_sbibm").expected_nll() == pytest.approx(expected, abs=1e-12)
    assert expected == pytest.approx(-0.79, abs=0.005)


def worst_candidates(task: LinearGaussianTask, ball: Ball, x: torch.Tensor) -> torch.Tensor:
    """Return every signed single-feature step (l2) or random corners of the box (linf)."""
    d = task.x_dim
    if ball.norm == "l2":
        steps = torch.cat((torch.diag(ball.radius), -torch.diag(ball.radius)))
    else:
        signs = torch.randint(0, 2, (100, d), generator=generator(2)).double() * 2 - 1
        steps = signs * ball.radius
    return x + steps


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NAMES)
def test_worst_case_is_attained_and_never_exceeded(name: str, norm: str) -> None:
    task = make(name)
    _, x = pairs(task, 1)
    radius = 0.05 * torch.rand(task.x_dim, generator=generator(5), dtype=torch.float64)
    radius[3] = 0.0
    ball = Ball(norm, radius)
    _, worst_kl = task.worst_case_shift(ball)
    clean = task.exact_posterior(x)

    def divergence(candidates: torch.Tensor) -> torch.Tensor:
        return kl_divergence(clean, task.exact_posterior(candidates))

    attained = worst_candidates(task, ball, x)
    assert ball.contains(x, attained).all()
    assert float(divergence(attained).max()) == pytest.approx(worst_kl, rel=1e-9)

    inside = ball.sample(x.expand(100_000, -1), generator(6))
    assert float(divergence(inside).max()) <= worst_kl * (1 + 1e-9)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_ascent_from_random_starts_reaches_the_worst_case(name: str, norm: str) -> None:
    task = make(name)
    _, x = pairs(task, 1)
    x = x.expand(200, -1)
    ball = Ball(norm, torch.full((task.x_dim,), 0.03, dtype=torch.float64))
    clean = task.exact_posterior(x)
    attacked = ball.sample(x, generator(7))
    for _ in range(200):
        attacked = attacked.detach().requires_grad_()
        divergence = kl_divergence(clean, task.exact_posterior(attacked))
        (gradient,) = torch.autograd.grad(divergence.sum(), attacked)
        attacked = ball.project(x, attacked.detach() + ball.steepest(gradient))
    best = float(kl_divergence(clean, task.exact_posterior(attacked)).max())
    _, worst_kl = task.worst_case_shift(ball)
    assert best <= worst_kl * (1 + 1e-9)
    assert best >= worst_kl * 0.999


@pytest.mark.parametrize("name", NAMES)
def test_total_variation_by_simulation(name: str) -> None:
    """TV = E[(1 - p'(theta) / p(theta))+] with theta ~ p, at the worst corner of the box."""
    task = make(name)
    _, x = pairs(task, 1)
    ball = Ball("linf", torch.full((task.x_dim,), 0.05, dtype=torch.float64))
    total_variation, _ = task.worst_case_shift(ball)
    clean = task.exact_posterior(x)
    shifted = task.exact_posterior(x + ball.radius)
    n = 200_000
    noise = torch.randn(n, 1, task.theta_dim, generator=generator(8), dtype=torch.float64)
    theta = clean.mean + clean.stddev * noise
    terms = (1 - (shifted.log_prob(theta) - clean.log_prob(theta)).exp()).clamp(min=0)
    assert abs(float(terms.mean()) - total_variation) < 5 * float(terms.std()) / math.sqrt(n)


def test_worst_case_by_hand() -> None:
    """v = 0.05, gain = 1/2: g = sqrt(5), so d = sqrt(50) r for linf and sqrt(5) r for l2."""
    task = make("gaussian_linear_sbibm")
    radius = torch.full((10,), 0.01, dtype=torch.float64)
    total_variation, kl = task.worst_case_shift(Ball("linf", radius))
    assert kl == pytest.approx(50 * 1e-4 / 2)
    assert total_variation == pytest.approx(math.erf(math.sqrt(50) * 0.01 / 2 / math.sqrt(2)))
    assert task.worst_case_shift(Ball("l2", radius))[1] == pytest.approx(5 * 1e-4 / 2)
    assert task.worst_case_shift(Ball("l2", 0 * radius)) == (0.0, 0.0)


def test_a_clipped_ball_has_no_closed_form() -> None:
    task = make("gaussian_linear")
    with pytest.raises(ValueError, match="clip"):
        task.worst_case_shift(Ball("linf", torch.ones(10, dtype=torch.float64), (0.0, 1.0)))
