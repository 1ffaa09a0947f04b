"""Shift of marginals and predictive distances against closed forms."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import foldnorm

from certibayes.metrics.marginal_shift import marginal_shift
from certibayes.metrics.predictive_distance import predictive_distance
from certibayes.seeding import generator

DRAWS = 20_000


def normal(*shape: int, seed: object) -> torch.Tensor:
    return torch.randn(shape, generator=generator("marginals", seed), dtype=torch.float64)


def test_shift_ratio_and_wasserstein_of_gaussians():
    """W1 of N(0, s^2) and N(m, s^2) is |m|; of N(0, s^2) and N(0, t^2), |t - s| sqrt(2 / pi)."""
    clean = 3.0 * normal(DRAWS, 1, 2, seed="clean")
    attacked = 3.0 * normal(DRAWS, 1, 2, seed="attacked")
    found = marginal_shift(clean, torch.stack([attacked[..., 0] - 6, 2 * attacked[..., 1]], -1))
    noise = 5 / DRAWS**0.5
    expected = torch.tensor([[2.0, 0.0], [1.0, 2.0], [2.0, (2 / torch.pi) ** 0.5]])
    for got, truth in zip(found, expected.double(), strict=True):
        torch.testing.assert_close(got[0], truth, rtol=0, atol=2 * noise)


def test_noise_floor_is_as_documented():
    clean, attacked = (normal(500, 400, 1, seed=name) for name in ("one", "two"))
    found = marginal_shift(clean, attacked)
    assert float(found.mean_shift.mean()) == pytest.approx(1.13 / 500**0.5, rel=0.15)
    assert float(found.wasserstein.mean()) == pytest.approx(1.8 / 500**0.5, rel=0.15)


def test_a_point_mass_that_does_not_move_has_not_moved():
    still = torch.ones(5, 1, 1, dtype=torch.float64)
    assert float(marginal_shift(still, still).mean_shift) == 0


def test_draws_must_match():
    with pytest.raises(ValueError, match="two equal shapes"):
        marginal_shift(torch.zeros(3, 1, 1), torch.zeros(4, 1, 1))


def test_median_distance_of_one_feature_is_that_of_a_folded_normal():
    simulated = 2.0 + normal(DRAWS, 1, 1, seed="x")
    found = predictive_distance(simulated, torch.zeros(1, 1), torch.tensor([0.5]))
    truth = foldnorm(2.0).median() / 0.5
    for value in found:
        assert value.item() == pytest.approx(truth, abs=0.1)


def test_norms_and_units():
    simulated, observed = torch.tensor([[[4.0, -2.0, 9.0]]]), torch.tensor([[1.0, 2.0, 5.0]])
    found = predictive_distance(simulated, observed, torch.tensor([1.0, 1.0, 0.0]))
    assert [value.item() for value in found] == [7.0, 5.0, 4.0]


def test_failed_simulations_are_left_out():
    simulated = torch.tensor(
        [[[1.0], [torch.nan]], [[torch.nan], [torch.nan]], [[3.0], [torch.nan]]]
    )
    found = predictive_distance(simulated, torch.zeros(2, 1), torch.ones(1))
    assert found.l2[0] == 2.0
    assert found.l2[1].isnan()
