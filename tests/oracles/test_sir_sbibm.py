"""SIR in the convention of sbibm against scipy's solver and the binomial it states."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import binom

from certibayes.config.tasks import BUILT_IN
from certibayes.tasks.sir_sbibm import SIRSbibm

DRAWS = 200
TIMES = np.arange(10) * 17.0
THETA = torch.tensor([[0.6, 0.15]], dtype=torch.float64)


@pytest.fixture(scope="module")
def task():
    return SIRSbibm(BUILT_IN["sir_sbibm"]())


def generator(seed):
    return torch.Generator().manual_seed(seed)


def scipy_share(theta):
    """Solve all three compartments in linear space; share of infected, shape (10,)."""
    beta, gamma = theta

    def slope(_, z):
        infection = beta * z[0] * z[1]
        return [-infection, infection - gamma * z[1], gamma * z[1]]

    start = [1 - 1e-6, 1e-6, 0.0]
    solution = solve_ivp(slope, (0, 160), start, "DOP853", t_eval=TIMES, rtol=1e-10, atol=1e-16)
    assert solution.success
    return solution.y[1]


def test_solver_agrees_with_scipy_on_prior_draws(task):
    """Within 1e-4 of the range on 99 % of the draws."""
    theta = task.sample_prior(DRAWS, generator(0))
    solved = task.log_share(theta).exp().numpy()
    reference = np.stack([scipy_share(row) for row in theta.numpy()])
    error = np.abs(solved - reference).max(1) / np.ptp(reference, axis=1)
    assert (error < 1e-4).mean() >= 0.99
    assert np.median(error) < 1e-6


def test_epidemic_starts_with_one_in_a_million_and_grows_at_first(task):
    """While nearly all are susceptible, I grows like exp((beta - gamma) t)."""
    theta = torch.tensor([[0.3, 0.1]], dtype=torch.float64)
    log_share = task.log_share(theta)[0]
    assert float(log_share[0]) == pytest.approx(math.log(1e-6))
    assert float(log_share[1] - log_share[0]) == pytest.approx(0.2 * 17, abs=1e-4)


def test_counts_are_binomial_around_the_solution(task):
    n = 20_000
    x = task.simulate(THETA.expand(n, -1), generator(1))
    assert torch.equal(x, x.round())
    p = task.log_share(THETA)[0].exp()
    mean, variance = 1_000 * p, 1_000 * p * (1 - p)
    assert ((x.mean(0) - mean).abs() < 5 * (variance / n).sqrt() + 5 / n).all()
    frequent = variance > 1
    ratio = x.var(0)[frequent] / variance[frequent]
    assert ((ratio - 1).abs() < 6 * (2 / n + 1 / (n * variance[frequent])).sqrt()).all()
    off_diagonal = torch.corrcoef(x[:, frequent].T).tril(-1)
    assert float(off_diagonal.abs().max()) < 5 / math.sqrt(n)
    largest = int(p.argmax())
    k = torch.arange(0, 1_001, dtype=torch.float64)
    empirical = torch.searchsorted(x[:, largest].sort().values, k, right=True) / n
    exact = torch.from_numpy(binom.cdf(k.numpy(), 1_000, float(p[largest])))
    assert float((empirical - exact).abs().max()) < 2.5 / math.sqrt(n)


def test_log_likelihood_agrees_with_scipy(task):
    theta = task.sample_prior(3, generator(2))
    x = task.simulate(theta[:1], generator(3))
    shares = task.log_share(theta).exp().numpy()
    expected = [binom.logpmf(x[0].numpy(), 1_000, row).sum() for row in shares]
    np.testing.assert_allclose(task.log_likelihood(theta, x), expected, rtol=1e-9)
    broadcast = task.log_likelihood(theta, x.expand(3, -1))
    torch.testing.assert_close(broadcast, task.log_likelihood(theta, x))


@pytest.mark.parametrize("impossible", [-1.0, 1_001.0, 0.5])
def test_impossible_counts_have_no_likelihood(task, impossible):
    x = task.simulate(THETA, generator(4))
    x[0, 2] = impossible
    assert task.log_likelihood(THETA, x).tolist() == [-math.inf]


def test_no_simulation_of_many_prior_draws_fails(task):
    assert task.simulate(task.sample_prior(4_000, generator(6)), generator(7)).isfinite().all()
