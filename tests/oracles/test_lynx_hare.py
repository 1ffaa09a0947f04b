"""Lynx-hare task against its formulas and a Metropolis reference."""

import json
import math

import numpy as np
import pytest
import torch
from lynx_hare_mcmc import REFERENCE, run
from scipy.integrate import quad
from scipy.stats import lognorm, truncnorm

from certibayes.config.tasks import LynxHare as LynxHareSpec
from certibayes.tasks.lotka_volterra_ode import log_populations
from certibayes.tasks.lynx_hare import LynxHare

STAN = {
    "alpha": (0.55, 0.06),
    "beta": (0.028, 0.004),
    "gamma": (0.80, 0.09),
    "delta": (0.024, 0.004),
    "hare_0": (34.0, 3.0),
    "lynx_0": (5.9, 0.5),
    "sigma_hare": (0.25, 0.04),
    "sigma_lynx": (0.25, 0.04),
}


@pytest.fixture(scope="module")
def task() -> LynxHare:
    return LynxHare(LynxHareSpec())


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_solver_conserves_the_invariant(task: LynxHare) -> None:
    """delta u - gamma log u + beta v - alpha log v is constant along a solution."""
    theta = task.sample_prior(5_000, generator(1))
    log_u, log_v = task.log_counts(theta).view(-1, 2, 21).unbind(1)
    alpha, beta, gamma, delta = theta[:, :4, None].unbind(1)
    invariant = delta * log_u.exp() - gamma * log_u + beta * log_v.exp() - alpha * log_v
    drift = (invariant - invariant[:, :1]).abs().amax(1) / (1 + invariant[:, 0].abs())
    assert float(drift.quantile(0.99)) < 1e-4


def test_solution_at_the_equilibrium_is_constant() -> None:
    rates = torch.tensor([[0.5, 0.02, 0.8, 0.04]], dtype=torch.float64)
    initial = torch.tensor([[20.0, 25.0]], dtype=torch.float64)
    path = log_populations(rates, initial, torch.arange(21.0))
    torch.testing.assert_close(path, initial.log()[:, :, None].expand(1, 2, 21))


def test_too_few_steps_fail_as_nan() -> None:
    rates = torch.tensor([[1.0, 0.05, 1.0, 0.05]] * 2, dtype=torch.float64)
    initial = torch.tensor([[10.0, 10.0]] * 2, dtype=torch.float64)
    times = torch.arange(21.0)
    assert log_populations(rates, initial, times, max_steps=5).isnan().all()
    assert log_populations(rates, initial, times).isfinite().all()


def test_result_does_not_depend_on_threads(task: LynxHare) -> None:
    theta = task.sample_prior(5_000, generator(2))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = task.simulate(theta, generator(3))
        torch.set_num_threads(2)
        double = task.simulate(theta, generator(3))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(single, double)


def test_no_simulation_of_many_prior_draws_fails(task: LynxHare) -> None:
    x = task.simulate(task.sample_prior(25_000, generator(4)), generator(5))
    assert x.isfinite().all()


def test_noise_is_log_normal_around_the_solution(task: LynxHare) -> None:
    """Also at t = 0, where x is the noisy initial population."""
    n = 20_000
    theta = torch.tensor([[0.55, 0.028, 0.8, 0.024, 34.0, 6.0, 0.2, 0.4]], dtype=torch.float64)
    residual = task.simulate(theta.expand(n, -1), generator(6)) - task.log_counts(theta)
    scale = torch.tensor([0.2] * 21 + [0.4] * 21, dtype=torch.float64)
    assert ((residual.mean(0) / scale).abs() < 5 / math.sqrt(n)).all()
    assert ((residual.std(0) / scale - 1).abs() < 5 / math.sqrt(2 * n)).all()
    off_diagonal = torch.corrcoef(residual.T) - torch.eye(42, dtype=torch.float64)
    assert float(off_diagonal.abs().max()) < 6 / math.sqrt(n)
    initial = theta[0, 4:6].log()
    torch.testing.assert_close(task.log_counts(theta)[0, [0, 21]], initial)


def test_prior_density_agrees_with_scipy(task: LynxHare) -> None:
    theta = task.sample_prior(20, generator(7))
    cut = [truncnorm(-2, np.inf, 1, 0.5), truncnorm(-1, np.inf, 0.05, 0.05)] * 2
    logs = [lognorm(1, scale=10)] * 2 + [lognorm(1, scale=math.exp(-1))] * 2
    expected = sum(p.logpdf(theta[:, i].numpy()) for i, p in enumerate(cut + logs))
    np.testing.assert_allclose(task.prior.log_prob(theta).numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(task.prior.mean, [p.mean() for p in cut + logs], rtol=1e-9)
    np.testing.assert_allclose(task.prior.variance, [p.var() for p in cut + logs], rtol=1e-9)


def test_truncated_normal_integrates_to_one(task: LynxHare) -> None:
    for i in range(2):
        single = task.prior.rates

        def density(z: float, i: int = i, single: object = single) -> float:
            value = torch.full((4,), z, dtype=torch.float64)
            return float(single.log_prob(value)[i].exp())

        total, _ = quad(density, 1e-12, 6.0, points=[0.05, 0.5, 1.0], limit=200)
        assert total == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("column", range(8))
def test_prior_draws_follow_the_prior(task: LynxHare, column: int) -> None:
    """Kolmogorov-Smirnov distance below its 1e-5 critical value, 2.5 / sqrt(n)."""
    n = 20_000
    cut = [truncnorm(-2, np.inf, 1, 0.5), truncnorm(-1, np.inf, 0.05, 0.05)] * 2
    logs = [lognorm(1, scale=10)] * 2 + [lognorm(1, scale=math.exp(-1))] * 2
    draws = np.sort(task.sample_prior(n, generator(8))[:, column].numpy())
    cdf = (cut + logs)[column].cdf(draws)
    assert np.abs(cdf - (np.arange(n) + 0.5) / n).max() < 2.5 / math.sqrt(n)


def test_prior_sample_uses_the_shape_and_stays_positive(task: LynxHare) -> None:
    theta = task.prior.sample((3, 5))
    assert theta.shape == (3, 5, 8)
    assert (theta > 0).all()


def test_draws_at_the_ends_of_the_unit_interval_are_finite_and_positive(task: LynxHare) -> None:
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)[:, None].expand(2, 4)
    value = task.prior.rates.quantile_above(ends)
    assert value.isfinite().all()
    assert (value > 0).all()


def test_observed_counts(task: LynxHare) -> None:
    counts = task.observed().exp()
    assert counts.shape == (1, 42)
    expected = torch.tensor([30.0, 24.7, 4.0, 8.6], dtype=torch.float64)
    torch.testing.assert_close(counts[0, [0, 20, 21, 41]], expected)


def test_log_likelihood_of_one_observation_broadcasts(task: LynxHare) -> None:
    theta = task.sample_prior(5, generator(9))
    x = task.observed()
    broadcast = task.log_likelihood(theta, x)
    torch.testing.assert_close(broadcast, task.log_likelihood(theta, x.expand(5, -1)))


def test_reference_run_converged_and_agrees_with_the_case_study() -> None:
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    assert max(reference["split_r_hat"]) < 1.02
    assert min(reference["effective_draws"]) > 1_000
    summary = zip(reference["names"], reference["mean"], reference["std"], strict=True)
    for name, mean, std in summary:
        published, spread = STAN[name]
        assert abs(mean - published) < 0.35 * spread, name
        assert 0.7 < std / spread < 1.4, name


@pytest.mark.slow
def test_a_fresh_chain_agrees_with_the_stored_reference() -> None:
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    fresh = run(chains=32, warm_up=300, draws=300, seed=2)
    for i, name in enumerate(fresh.names):
        std = reference["std"][i]
        error = math.hypot(fresh.standard_error[i], reference["standard_error"][i])
        assert abs(fresh.mean[i] - reference["mean"][i]) < 5 * error + 0.02 * std, name
        assert fresh.std[i] == pytest.approx(std, rel=0.15), name
