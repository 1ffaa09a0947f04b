"""Lotka-Volterra task: its invariant, its noise and its density against scipy's solution."""

import math

import numpy as np
import pytest
import torch
from ode_references import lotka_volterra, reference
from scipy.stats import norm

from certibayes.config.tasks import LotkaVolterra as LotkaVolterraSpec
from certibayes.tasks.lotka_volterra import LotkaVolterra
from certibayes.threat import Scale


@pytest.fixture(scope="module")
def task() -> LotkaVolterra:
    return LotkaVolterra(LotkaVolterraSpec())


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_rates_of_latent_zero() -> None:
    """At theta = 0 all rates are exp(1/2), (1, 1) is the equilibrium and x is 1 plus noise."""
    task = LotkaVolterra(LotkaVolterraSpec())
    path = task.populations(torch.zeros(1, 4, dtype=torch.float64))
    torch.testing.assert_close(path, torch.ones_like(path))


def test_solver_conserves_the_invariant(task: LotkaVolterra) -> None:
    """delta u - gamma log u + beta v - alpha log v is constant along a solution."""
    theta = task.sample_prior(2_000, generator(1))
    u, v = task.populations(theta).view(-1, 2, 50).unbind(1)
    alpha, beta, gamma, delta = theta.sigmoid().exp()[:, :, None].unbind(1)
    invariant = delta * u - gamma * u.log() + beta * v - alpha * v.log()
    torch.testing.assert_close(invariant[:, 0], (delta + beta)[:, 0])
    drift = (invariant - invariant[:, :1]).abs().amax(1)
    assert float(drift.max()) < 1e-5


def test_noise_is_normal_around_the_solution(task: LotkaVolterra) -> None:
    n = 20_000
    theta = task.sample_prior(1, generator(2)).expand(n, -1)
    residual = task.simulate(theta, generator(3)) - task.populations(theta[:1])
    assert ((residual.mean(0) / 0.05).abs() < 5 / math.sqrt(n)).all()
    assert ((residual.std(0) / 0.05 - 1).abs() < 5 / math.sqrt(2 * n)).all()
    off_diagonal = torch.corrcoef(residual.T) - torch.eye(100, dtype=torch.float64)
    assert float(off_diagonal.abs().max()) < 6 / math.sqrt(n)


def test_log_likelihood_agrees_with_scipy_and_broadcasts(task: LotkaVolterra) -> None:
    theta = task.sample_prior(3, generator(4))
    x = task.simulate(theta[:1], generator(5))
    expected = [
        norm.logpdf(x[0], reference(lotka_volterra(z)).reshape(-1), 0.05).sum()
        for z in theta.numpy()
    ]
    np.testing.assert_allclose(task.log_likelihood(theta, x), expected, rtol=1e-5)
    broadcast = task.log_likelihood(theta, x.expand(3, -1))
    torch.testing.assert_close(broadcast, task.log_likelihood(theta, x))


def test_scale_agrees_with_the_published_study(task: LotkaVolterra) -> None:
    """The unit of epsilon, the mean std within an observation, is 0.192 in the published code."""
    x = task.simulate(task.sample_prior(5_000, generator(6)), generator(7))
    assert Scale.of(x).within_std == pytest.approx(0.192, rel=0.03)


def test_no_simulation_of_many_prior_draws_fails(task: LotkaVolterra) -> None:
    assert task.simulate(task.sample_prior(10_000, generator(8)), generator(9)).isfinite().all()
