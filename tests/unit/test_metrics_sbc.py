"""SBC ranks of posteriors that are exact, shifted, too narrow or too wide."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from certibayes.config.simulators.gloeckler2023 import GaussianLinear as Spec
from certibayes.metrics.sbc import RankUniformity, rank_uniformity, sbc_ranks
from certibayes.seeding import generator
from certibayes.tasks.gaussian_linear import GaussianLinear

BATCH, DRAWS = 300, 100


def uniformity(seed: object, shift: float = 0.0, width: float = 1.0) -> RankUniformity:
    """Ranks under the exact posterior of gaussian_linear, moved by stds and stretched."""
    task, source = GaussianLinear(Spec()), generator("sbc", seed)
    theta = task.sample_prior(BATCH, source)
    x = task.simulate(theta, source)
    exact = task.exact_posterior(x)
    noise = torch.randn(DRAWS, *theta.shape, generator=source, dtype=torch.float64)
    draws = exact.mean + exact.stddev * (shift + width * noise)
    return rank_uniformity(sbc_ranks(theta, draws), DRAWS, source)


def test_p_values_of_the_exact_posterior_are_uniform():
    p = torch.cat([uniformity(i).p for i in range(30)])
    assert kstest(p.numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("wrong", [{"shift": 0.5}, {"width": 0.6}, {"width": 1.7}])
def test_a_biased_or_misshapen_posterior_is_rejected(wrong):
    found = uniformity("wrong", **wrong)
    assert found.smallest_p < 1e-3
    assert (found.p < 0.05).all()


def test_ranks_count_smaller_draws_and_half_the_ties():
    draws = torch.tensor([[[0.0, 2.0]], [[1.0, 2.0]], [[3.0, 2.0]]])
    assert sbc_ranks(torch.tensor([[2.0, 2.0]]), draws).tolist() == [[2.0, 1.5]]


def test_the_smallest_p_is_corrected_for_the_number_of_parameters():
    ranks = torch.stack([torch.arange(101.0), torch.full((101,), 7.0)], 1)
    found = rank_uniformity(ranks, 100, generator("jitter"))
    assert found.p[0] > 0.99
    assert found.smallest_p == pytest.approx(2 * float(found.p[1]), rel=1e-12)
    assert rank_uniformity(ranks[:, :1].repeat(1, 3), 100, generator("jitter")).smallest_p == 1.0


def test_nan_has_no_rank():
    theta: Tensor = torch.tensor([[torch.nan]])
    with pytest.raises(ValueError, match="got 1 NaN"):
        sbc_ranks(theta, torch.zeros(3, 1, 1))
