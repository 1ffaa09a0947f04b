"""TARP of posteriors that are exact, shifted, overconfident or underconfident."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from certibayes.config.simulators.gloeckler2023 import GaussianLinear as Spec
from certibayes.metrics.tarp import Tarp, tarp
from certibayes.seeding import generator
from certibayes.tasks.gaussian_linear import GaussianLinear

BATCH, DRAWS = 400, 200
LEVELS = torch.linspace(0, 1, 101)
CHANCE = generator("chance")


def found(seed: object, shift: float = 0.0, width: float = 1.0) -> Tarp:
    """TARP of the exact posterior of gaussian_linear, moved by stds and stretched."""
    task, source = GaussianLinear(Spec()), generator("tarp", seed)
    theta = task.sample_prior(BATCH, source)
    x = task.simulate(theta, source)
    references = task.sample_prior(BATCH, source)
    exact = task.exact_posterior(x)
    noise = torch.randn(DRAWS, *theta.shape, generator=source, dtype=torch.float64)
    draws = exact.mean + exact.stddev * (shift + width * noise)
    return tarp(theta, draws, references, torch.ones(task.theta_dim), LEVELS, source)


def test_credibilities_and_p_values_of_the_exact_posterior_are_uniform():
    runs = [found(i) for i in range(20)]
    assert kstest(torch.cat([run.credibility for run in runs]).numpy(), "uniform").pvalue > 0.01
    assert kstest([run.p for run in runs], "uniform").pvalue > 0.01
    assert max(run.area for run in runs) < 0.08


def test_overconfidence_has_a_negative_bias_and_underconfidence_a_positive_one():
    narrow, wide = found("narrow", width=0.4), found("wide", width=2.5)
    assert narrow.bias < -0.02 < 0.02 < wide.bias
    assert max(narrow.p, wide.p) < 1e-3
    assert min(narrow.area, wide.area) > 0.05


def test_a_shifted_posterior_is_rejected():
    assert found("shifted", shift=1.0).p < 1e-3


def test_area_of_a_posterior_in_another_place_has_a_closed_form():
    """The truth lies nearer to every reference point than all draws: coverage is 1 throughout."""
    zeros = torch.zeros(5, 2)
    far = tarp(zeros + 1, torch.full((20, 5, 2), 9.0), zeros, torch.ones(2), LEVELS, CHANCE)
    assert far.coverage[3:].tolist() == [1.0] * 98
    assert far.area == pytest.approx(0.5, abs=0.03)
    assert far.bias == pytest.approx(0.125, abs=1e-3)


def test_distances_are_measured_in_units():
    theta, references = torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2)
    draws = torch.tensor([[[0.0, 1.0]], [[0.0, 1.0]], [[0.0, 1.0]]])
    near = tarp(theta, draws, references, torch.tensor([10.0, 1.0]), LEVELS, CHANCE)
    apart = tarp(theta, draws, references, torch.tensor([1.0, 1.0]), LEVELS, CHANCE)
    assert near.credibility.item() == 0.5 / 4
    assert apart.credibility.item() == 3.5 / 4
