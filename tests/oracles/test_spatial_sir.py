"""Spatial SIR task against a plain loop, closed forms of its steps, and its tests' distribution."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import beta as beta_distribution

from certibayes.config.tasks import SpatialSIR as SpatialSIRSpec
from certibayes.tasks.beta import beta_draws
from certibayes.tasks.grid_epidemic import advance, count_around, start
from certibayes.tasks.spatial_sir import SpatialSIR
from certibayes.threat import Scale

SUSCEPTIBLE, INFECTED, LEAVING, GONE = range(4)


@pytest.fixture(scope="module")
def task() -> SpatialSIR:
    return SpatialSIR(SpatialSIRSpec())


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_step(cells: np.ndarray, beta: float, gamma: float, uniform: np.ndarray) -> np.ndarray:
    """One cell at a time; a cell that recovers is LEAVING for one step and then GONE."""
    height, width = cells.shape
    after = cells.copy()
    for i in range(height):
        for j in range(width):
            if cells[i, j] == SUSCEPTIBLE:
                count = 0
                for k in range(max(i - 1, 0), min(i + 2, height)):
                    for m in range(max(j - 1, 0), min(j + 2, width)):
                        count += int(cells[k, m] in (INFECTED, LEAVING))
                if count * beta / 8 > uniform[i, j]:
                    after[i, j] = INFECTED
            elif cells[i, j] == INFECTED and gamma > uniform[i, j]:
                after[i, j] = LEAVING
            elif cells[i, j] == LEAVING:
                after[i, j] = GONE
    return after


@pytest.mark.parametrize("shared", [False, True])
def test_steps_agree_with_a_plain_loop_on_the_same_random_fields(shared: bool) -> None:
    n, height, width = 12, 7, 9
    theta = (0.5 * torch.randn(n, 2, generator=generator(0), dtype=torch.float64)).exp()
    draw = generator(1)
    infected = torch.rand(n, height, width, generator=draw, dtype=torch.float64) < 0.1
    state = start(infected)
    slow = np.where(infected.numpy(), INFECTED, SUSCEPTIBLE)
    seen = set()
    for _ in range(8):
        fields = 1 if shared else n
        uniform = torch.rand(fields, height, width, generator=draw, dtype=torch.float64)
        state = advance(state, theta[:, 0], theta[:, 1], uniform)
        each = uniform.expand(n, -1, -1).numpy()
        slow = np.stack([slow_step(slow[i], *theta[i].tolist(), each[i]) for i in range(n)])
        seen |= set(slow.flatten().tolist())
        np.testing.assert_array_equal(state.susceptible.numpy(), slow == SUSCEPTIBLE)
        np.testing.assert_array_equal(
            state.infected.numpy(), (slow == INFECTED) | (slow == LEAVING)
        )
        np.testing.assert_array_equal(state.recovered.numpy(), (slow == LEAVING) | (slow == GONE))
    assert seen == {SUSCEPTIBLE, INFECTED, LEAVING, GONE}


def test_neighborhoods_are_cut_at_the_border() -> None:
    counts = count_around(torch.ones(1, 3, 4, dtype=torch.bool))
    assert counts[0].tolist() == [[4, 6, 6, 4], [6, 9, 9, 6], [4, 6, 6, 4]]


def test_infection_and_recovery_have_their_probabilities() -> None:
    """Around one infected cell, each neighbor falls ill with beta / 8; the cell stays 1 + K steps.

    K is geometric: P(K = k) = gamma (1 - gamma)^(k - 1).
    """
    n, beta, gamma = 20_000, 2.0, 0.3
    infected = torch.zeros(n, 3, 3, dtype=torch.bool)
    infected[:, 1, 1] = True
    draw = generator(2)
    contact, recovery = (torch.full((n,), value, dtype=torch.float64) for value in (beta, gamma))
    state = start(infected)
    stays = []
    for step in range(4):
        uniform = torch.rand(n, 3, 3, generator=draw, dtype=torch.float64)
        state = advance(state, contact, recovery, uniform)
        stays.append(float(state.infected[:, 1, 1].double().mean()))
        if step == 0:
            share = state.infected.double().mean(0)
            share[1, 1] = beta / 8
            assert float((share - beta / 8).abs().max()) < 5 * math.sqrt(0.25 * 0.75 / n)
    expected = [(1 - gamma) ** max(step - 1, 0) for step in range(1, 5)]
    assert stays[0] == 1.0
    for found, share in zip(stays, expected, strict=True):
        assert abs(found - share) <= 5 * math.sqrt(share * (1 - share) / n)


def test_a_grid_without_infected_cells_stays_so() -> None:
    state = start(torch.zeros(3, 5, 5, dtype=torch.bool))
    high = torch.full((3,), 10.0, dtype=torch.float64)
    state = advance(state, high, high, torch.zeros(3, 5, 5, dtype=torch.float64))
    assert state.susceptible.all()
    assert not state.recovered.any()


def test_initial_infections_are_four_per_grid_on_average(task: SpatialSIR) -> None:
    """With beta = gamma = 0 nothing happens after the start."""
    n = 5_000
    infected = task.infected(torch.zeros(n, 2, dtype=torch.float64), generator(3))
    counts = infected.flatten(1).double().sum(1)
    variance = 900 * (4 / 900) * (1 - 4 / 900)
    assert abs(float(counts.mean()) - 4) < 5 * math.sqrt(variance / n)
    assert float(counts.var()) == pytest.approx(variance, rel=0.15)


def share_variance_ratio(shared: bool) -> float:
    """Variance of one cell's infected share over cells, in units of independent simulations."""
    n = 400
    task = SpatialSIR(SpatialSIRSpec(shared_fields=shared))
    theta = torch.tensor([[1.5, 0.3]], dtype=torch.float64).expand(n, -1)
    share = task.infected(theta, generator(4)).double().mean(0)[12:18, 12:18]
    p = float(share.mean())
    assert 0.1 < p < 0.9
    return float(share.var()) / (p * (1 - p) / n)


def test_random_fields_are_shared_between_simulations_on_request_alone() -> None:
    assert share_variance_ratio(False) < 2
    assert share_variance_ratio(True) > 4


@pytest.mark.parametrize("shared", [False, True])
def test_shared_fields_are_those_of_every_shard(shared: bool) -> None:
    """Where two calls with generators of their own infect, cell by cell, is correlated or not."""
    theta = torch.tensor([[1.5, 0.3]], dtype=torch.float64).expand(300, -1)
    shares = []
    for shard in range(2):
        task = SpatialSIR(SpatialSIRSpec(shared_fields=shared))
        share = task.infected(theta, generator(10 + shard)).double().mean(0)
        shares.append(share[8:22, 8:22].flatten())
    correlation = float(torch.corrcoef(torch.stack(shares))[0, 1])
    assert correlation > 0.5 if shared else abs(correlation) < 5 / math.sqrt(14 * 14)


def distance_to_beta(values: np.ndarray, a: float, b: float) -> float:
    """Kolmogorov-Smirnov distance times sqrt(n); 2.5 is the critical value at 1e-5.

    Draws closer to 1 than half a rounding error are exactly 1 (of Beta(1.05, 0.05), every sixth):
    only their number is compared, as the rank of the largest draw below 1.
    """
    n = len(values)
    ordered = np.sort(values)
    cdf = beta_distribution(a, b).cdf(ordered)
    distance = np.abs(cdf - (np.arange(n) + 0.5) / n)
    return float(distance[ordered < 1].max()) * math.sqrt(n)


def test_tests_follow_their_beta_distribution(task: SpatialSIR) -> None:
    """For either state of a cell."""
    theta = torch.tensor([[1.2, 0.5]], dtype=torch.float64).expand(40, -1)
    infected = task.infected(theta, generator(5)).flatten()
    x = task.simulate(theta, generator(5)).flatten()
    assert ((x >= 0) & (x <= 1)).all()
    for values, a, b in ((x[~infected], 0.05, 1.05), (x[infected], 1.05, 0.05)):
        assert len(values) > 1_000
        assert distance_to_beta(values.numpy(), a, b) < 2.5


@pytest.mark.parametrize(("a", "b"), [(0.05, 1.05), (1.05, 0.05), (0.5, 0.5), (1.5, 2.0)])
def test_beta_draws_follow_the_beta_distribution(a: float, b: float) -> None:
    n = 20_000
    draws = beta_draws(a, b, (n,), generator(6))
    assert distance_to_beta(draws.numpy(), a, b) < 2.5
    variance = a * b / ((a + b) ** 2 * (a + b + 1))
    assert abs(float(draws.mean()) - a / (a + b)) < 5 * math.sqrt(variance / n)


def test_scale_agrees_with_the_published_study() -> None:
    """The unit of epsilon, the mean std within an observation, is 0.227 in the published code.

    With other random fields in the place of these ten it varies by 1.1 %.
    """
    task = SpatialSIR(SpatialSIRSpec(shared_fields=True))
    x = task.simulate(task.sample_prior(1_500, generator(0)), generator(100))
    assert Scale.of(x).within_std == pytest.approx(0.227, rel=0.05)


def test_own_fields_keep_the_mean_over_shared_fields(task: SpatialSIR) -> None:
    """A single simulation has the same distribution either way; only their joint law differs."""
    theta = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    shared = SpatialSIR(SpatialSIRSpec(shared_fields=True))
    own = task.simulate(theta.expand(200, -1), generator(7)).mean(1)
    single, draw = [], generator(8)
    for seed in range(200):
        shared.fields = torch.rand(10, 30, 30, generator=draw, dtype=torch.float64)
        single.append(float(shared.simulate(theta, generator(1_000 + seed)).mean()))
    error = math.sqrt(float(own.var() + np.var(single)) / 200)
    assert abs(float(own.mean()) - np.mean(single)) < 5 * error


def slow_simulation(beta: float, gamma: float, draw: np.random.Generator) -> np.ndarray:
    """The whole simulator with NumPy's random numbers; shape (30, 30)."""
    cells = np.where(draw.random((30, 30)) < 4 / 900, INFECTED, SUSCEPTIBLE)
    for _ in range(10):
        cells = slow_step(cells, beta, gamma, draw.random((30, 30)))
    infected = ((cells == INFECTED) | (cells == LEAVING)).astype(float)
    return draw.beta(infected + 0.05, 1 - infected + 0.05)


def test_simulator_agrees_with_a_slow_version_in_distribution(task: SpatialSIR) -> None:
    """Means and mean squares of positive tests, of those at the border and of neighbors' pairs."""
    beta, gamma, n = 1.5, 0.4, 60
    draw = np.random.default_rng(9)
    slow = np.stack([slow_simulation(beta, gamma, draw) for _ in range(n)])
    theta = torch.tensor([[beta, gamma]], dtype=torch.float64).expand(10 * n, -1)
    fast = task.simulate(theta, generator(11)).view(-1, 30, 30).numpy()

    def statistics(x: np.ndarray) -> np.ndarray:
        positive = (x > 0.5).astype(float)
        share = positive.mean((1, 2))
        border = positive[:, [0, -1]].mean((1, 2))
        pairs = (positive[:, 1:] * positive[:, :-1]).mean((1, 2))
        return np.stack((share, share**2, border, pairs, x.mean((1, 2))))

    one, other = statistics(slow), statistics(fast)
    error = np.sqrt(one.var(1) / one.shape[1] + other.var(1) / other.shape[1])
    assert (np.abs(one.mean(1) - other.mean(1)) < 5 * error).all()
    assert 0.005 < one[0].mean() < 0.95
