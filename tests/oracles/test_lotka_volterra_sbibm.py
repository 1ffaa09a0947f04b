"""Lotka-Volterra in the convention of sbibm against scipy's solver and the noise it states."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import lognorm

from certibayes.config.tasks import BUILT_IN
from certibayes.tasks.lotka_volterra_sbibm import LotkaVolterraSbibm

DRAWS = 200
TIMES = np.arange(10) * 2.1


@pytest.fixture(scope="module")
def task():
    return LotkaVolterraSbibm(BUILT_IN["lotka_volterra_sbibm"]())


def generator(seed):
    return torch.Generator().manual_seed(seed)


def scipy_populations(theta):
    """Solve in log space with another method; counts of prey, then predator, shape (2, 10)."""
    alpha, beta, gamma, delta = theta

    def slope(_, z):
        return [alpha - beta * math.exp(z[1]), delta * math.exp(z[0]) - gamma]

    start = [math.log(30.0), 0.0]
    solution = solve_ivp(slope, (0, 20), start, "DOP853", t_eval=TIMES, rtol=1e-10, atol=1e-12)
    assert solution.success
    return np.exp(solution.y)


def test_solver_agrees_with_scipy_on_prior_draws(task):
    """Within 1e-4 of the range, per population, on 99 % of the draws."""
    theta = task.sample_prior(DRAWS, generator(0))
    solved = task.log_populations(theta).exp().view(-1, 2, 10).numpy()
    reference = np.stack([scipy_populations(row) for row in theta.numpy()])
    reference = reference.clip(1e-10, 1e4)
    error = np.abs(solved - reference).max(2) / np.ptp(reference, axis=2)
    assert (error.max(1) < 1e-4).mean() >= 0.99
    assert np.median(error) < 1e-6


def test_equilibrium_at_the_initial_populations(task):
    """With alpha = beta and gamma = 30 delta nothing moves."""
    theta = torch.tensor([[0.5, 0.5, 1.5, 0.05]], dtype=torch.float64)
    expected = torch.tensor([30.0] * 10 + [1.0] * 10, dtype=torch.float64)
    torch.testing.assert_close(task.log_populations(theta)[0].exp(), expected)


def test_populations_are_clipped_before_the_noise(task):
    theta = torch.tensor([[3.0, 1e-6, 0.1, 1e-6]], dtype=torch.float64)
    center = task.log_populations(theta)[0]
    assert float(center[:10].max()) == math.log(1e4)
    starved = torch.tensor([[1e-3, 1e-3, 9.0, 1e-6]], dtype=torch.float64)
    assert float(task.log_populations(starved)[0].min()) == math.log(1e-10)


def test_noise_is_log_normal_around_the_solution(task):
    n = 20_000
    theta = task.sample_prior(1, generator(2)).expand(n, -1)
    residual = task.simulate(theta, generator(3)).log() - task.log_populations(theta[:1])
    assert ((residual.mean(0) / 0.1).abs() < 5 / math.sqrt(n)).all()
    assert ((residual.std(0) / 0.1 - 1).abs() < 5 / math.sqrt(2 * n)).all()
    off_diagonal = torch.corrcoef(residual.T) - torch.eye(20, dtype=torch.float64)
    assert float(off_diagonal.abs().max()) < 6 / math.sqrt(n)


def test_log_likelihood_agrees_with_scipy_and_is_minus_infinity_off_the_support(task):
    theta = task.sample_prior(3, generator(4))
    x = task.simulate(theta[:1], generator(5))
    expected = [
        lognorm(0.1, scale=scipy_populations(z).reshape(-1)).logpdf(x[0].numpy()).sum()
        for z in theta.numpy()
    ]
    np.testing.assert_allclose(task.log_likelihood(theta, x), expected, rtol=1e-5)
    x[0, 3] = 0.0
    assert (task.log_likelihood(theta, x) == -math.inf).all()


def test_no_simulation_of_many_prior_draws_fails(task):
    assert task.simulate(task.sample_prior(4_000, generator(8)), generator(9)).isfinite().all()
