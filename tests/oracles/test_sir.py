"""SIR task: its closed forms, its noise and its density against scipy's solution."""

import math

import numpy as np
import pytest
import torch
from ode_references import reference, sir
from scipy.stats import lognorm

from certibayes.config.tasks import BUILT_IN
from certibayes.tasks.sir import SIR


@pytest.fixture(scope="module")
def task() -> SIR:
    return SIR(BUILT_IN["sir"]())


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_largest_number_of_infected_has_its_closed_form(task: SIR) -> None:
    """I + S - (N gamma / beta) log S is constant; I is largest at S = N gamma / beta."""
    theta = torch.tensor([[0.0, -2.0], [1.0, -3.0], [2.0, -1.0]], dtype=torch.float64)
    beta, gamma = theta.sigmoid().unbind(1)
    ratio = 5 * gamma / beta
    peak = 0.25 + 5 - ratio * math.log(5) - ratio + ratio * ratio.log()
    infected = task.infected(theta)
    assert (infected.amax(1) <= peak * (1 + 1e-6)).all()
    assert (infected.amax(1) > 0.97 * peak).all()
    torch.testing.assert_close(infected[:, 0], torch.full((3,), 0.25, dtype=torch.float64))


def test_infected_decay_exponentially_without_contacts(task: SIR) -> None:
    theta = torch.tensor([[-60.0, 0.0]], dtype=torch.float64)
    expected = 0.25 * torch.exp(-0.5 * torch.linspace(0, 50, 50, dtype=torch.float64))
    torch.testing.assert_close(task.infected(theta)[0], expected, rtol=1e-6, atol=0)


def test_noise_is_log_normal_around_the_solution(task: SIR) -> None:
    n = 20_000
    theta = torch.tensor([[0.5, -1.5]], dtype=torch.float64)
    x = task.simulate(theta.expand(n, -1), generator(1))
    assert (x > 0).all()
    residual = x.log() - (task.infected(theta) + 1e-4).log()
    assert ((residual.mean(0) / 0.2).abs() < 5 / math.sqrt(n)).all()
    assert ((residual.std(0) / 0.2 - 1).abs() < 5 / math.sqrt(2 * n)).all()
    off_diagonal = torch.corrcoef(residual.T) - torch.eye(50, dtype=torch.float64)
    assert float(off_diagonal.abs().max()) < 6 / math.sqrt(n)


def test_log_likelihood_agrees_with_scipy_and_broadcasts(task: SIR) -> None:
    theta = task.sample_prior(3, generator(2))
    x = task.simulate(theta[:1], generator(3))
    expected = [
        lognorm(0.2, scale=reference(sir(z.numpy()))[1] + 1e-4).logpdf(x[0].numpy()).sum()
        for z in theta
    ]
    np.testing.assert_allclose(task.log_likelihood(theta, x), expected, rtol=1e-5)
    broadcast = task.log_likelihood(theta, x.expand(3, -1))
    torch.testing.assert_close(broadcast, task.log_likelihood(theta, x))


def test_log_likelihood_outside_the_support_is_minus_infinity(task: SIR) -> None:
    theta = task.sample_prior(2, generator(4))
    x = task.simulate(theta, generator(5))
    x[0, 3] = 0.0
    values = task.log_likelihood(theta, x)
    assert values[0] == -math.inf
    assert values[1].isfinite()


def test_no_simulation_of_many_prior_draws_fails(task: SIR) -> None:
    x = task.simulate(task.sample_prior(10_000, generator(6)), generator(7))
    assert x.isfinite().all()
    assert (x > 0).all()
