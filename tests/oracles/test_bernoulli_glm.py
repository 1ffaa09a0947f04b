"""Bernoulli GLM against a slow version, exact moments, and an observation of sbibm."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli

from certibayes.config.tasks import BernoulliGlm as BernoulliGlmSpec
from certibayes.tasks.bernoulli_glm import BernoulliGlm

N = 50_000
SBIBM_SPIKES = (
    "1101111111100000011111110001110111100000111100001110"
    "001111001100011111001110000000111000111110000111"
)
SBIBM_STATISTICS = (
    *(56.0, 3.32306, 14.356438, 11.104893, -4.167525),
    *(-18.507809, -21.917496, -9.553517, -0.357257, -5.497825),
)


@pytest.fixture(scope="module")
def task() -> BernoulliGlm:
    return BernoulliGlm(BernoulliGlmSpec())


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_statistics_of_the_first_observation_of_sbibm(task: BernoulliGlm) -> None:
    """Its stored spike train and statistics, Lueckmann et al. (2021): the stimulus is the same."""
    spikes = torch.tensor([float(spike) for spike in SBIBM_SPIKES], dtype=torch.float64)
    expected = torch.tensor(SBIBM_STATISTICS, dtype=torch.float64)
    torch.testing.assert_close(spikes @ task.design, expected, rtol=0, atol=5e-6)


def test_filter_is_applied_to_the_past_of_the_stimulus(task: BernoulliGlm) -> None:
    stimulus = task.design[:, 1].numpy()
    theta = task.sample_prior(1, generator(0))[0].numpy()
    slow = np.convolve(stimulus, theta[1:])[:100] + theta[0]
    np.testing.assert_allclose(task.design.numpy() @ theta, slow, rtol=1e-12, atol=1e-12)
    assert abs(stimulus.mean()) < 0.5
    assert 0.7 < stimulus.std() < 1.3


def test_prior_density_penalizes_second_differences(task: BernoulliGlm) -> None:
    """-2 log p = b^2 / 2 + sum_i (f_i - 2 f_(i-1) + f_(i-2) + sqrt(i / 9) f_i)^2 + constant."""
    theta = task.sample_prior(30, generator(1))
    penalty = []
    for bias, *taps in theta.tolist():
        past = [0.0, 0.0, *taps]
        rough = [past[i + 2] - 2 * past[i + 1] + past[i] for i in range(9)]
        terms = (r + math.sqrt(i / 9) * f for i, (r, f) in enumerate(zip(rough, taps, strict=True)))
        penalty.append(bias**2 / 2 + sum(term**2 for term in terms))
    constant = -2 * task.prior.log_prob(theta) - torch.tensor(penalty, dtype=torch.float64)
    torch.testing.assert_close(constant, constant[:1].expand(30), rtol=1e-9, atol=1e-9)


def test_prior_draws_have_the_prior_covariance(task: BernoulliGlm) -> None:
    theta = task.sample_prior(N, generator(2))
    covariance = torch.linalg.inv(task.prior.precision_matrix)
    variance = covariance.diagonal()
    assert float(variance[0]) == pytest.approx(2)
    assert (covariance[0, 1:] == 0).all()
    error = ((variance[:, None] * variance + covariance**2) / N).sqrt()
    assert ((theta.T @ theta / N - covariance).abs() < 5 * error).all()


def test_spikes_are_independent_with_the_stated_rates(task: BernoulliGlm) -> None:
    """Mean per bin is sigmoid(v . theta); x has mean V^T p and covariance V^T diag(p (1 - p)) V."""
    theta = task.sample_prior(1, generator(3))
    spikes = task.spikes(theta.expand(N, -1), generator(4))
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    rate = 1 / (1 + (-(task.design @ theta[0])).exp())
    variance = rate * (1 - rate)
    assert ((spikes.mean(0) - rate).abs() < 6 * (variance / N).sqrt()).all()

    x = task.simulate(theta.expand(N, -1), generator(4))
    torch.testing.assert_close(x, spikes @ task.design)
    residual = x - rate @ task.design
    covariance = task.design.T @ (variance[:, None] * task.design)
    spread = covariance.diagonal()
    assert (residual.mean(0).abs() < 5 * (spread / N).sqrt()).all()
    error = ((spread[:, None] * spread + covariance**2) / N).sqrt()
    assert ((residual.T @ residual / N - covariance).abs() < 6 * error).all()


def test_log_likelihood_is_the_probability_of_the_spike_train(task: BernoulliGlm) -> None:
    theta = task.sample_prior(100, generator(5))
    spikes = task.spikes(theta, generator(6))
    expected = Bernoulli(logits=theta @ task.design.T).log_prob(spikes).sum(1)
    found = task.log_likelihood(theta, task.simulate(theta, generator(6)))
    torch.testing.assert_close(found, expected)
    shared = task.log_likelihood(theta, spikes[:1] @ task.design)
    single = Bernoulli(logits=theta @ task.design.T).log_prob(spikes[:1]).sum(1)
    torch.testing.assert_close(shared, single)


def test_result_does_not_depend_on_threads(task: BernoulliGlm) -> None:
    theta = task.sample_prior(20_000, generator(7))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = task.simulate(theta, generator(8))
        torch.set_num_threads(2)
        double = task.simulate(theta, generator(8))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(single, double)
