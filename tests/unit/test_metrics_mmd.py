"""MMD^2 against its closed form for two Gaussians; its standard error by repetition."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from certibayes.metrics.mmd import squared_mmd
from certibayes.seeding import generator

DIM = 3


def samples(n: int, repetitions: int, shift: float, seed: object = 0) -> tuple[Tensor, Tensor]:
    """Draws of N(0, I) and of N((shift, 0, 0), I), each (n, repetitions, DIM)."""
    source = generator("mmd", seed, n, shift)
    a, b = torch.randn(2, n, repetitions, DIM, generator=source, dtype=torch.float64)
    b[..., 0] += shift
    return a, b


def closed_form(shift: float) -> float:
    """2 c (1 - exp(-shift^2 / (2 (w^2 + 2)))), c = (w^2 / (w^2 + 2))^(d / 2) = E k(a, a')."""
    squared_width = 2 * chi2(DIM).median()
    same = (squared_width / (squared_width + 2)) ** (DIM / 2)
    return 2 * same * -math.expm1(-(shift**2) / (2 * (squared_width + 2)))


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_closed_form_of_two_gaussians(shift):
    found = squared_mmd(*samples(400, 8, shift))
    truth = closed_form(shift)
    error = 4 * float(found.standard_error.square().sum().sqrt()) / 8
    assert float(found.mean.mean()) == pytest.approx(truth, abs=error + 0.01 * truth)


@pytest.mark.parametrize("shift", [0.0, 0.4, 2.0])
def test_standard_error_is_the_spread_over_repetitions(shift):
    found = squared_mmd(*samples(60, 400, shift))
    assert float(found.standard_error.mean()) == pytest.approx(float(found.mean.std()), rel=0.25)


def test_unbiased_at_zero():
    found = squared_mmd(*samples(20, 2_000, 0.0)).mean
    assert float(found.mean().abs()) <= 4 * float(found.std()) / 2_000**0.5
    assert (found < 0).any()


def test_invariant_to_location_and_scale_of_each_parameter():
    a, b = samples(50, 5, 1.0)
    scale = torch.tensor([1e-3, 1.0, 1e4], dtype=torch.float64)
    torch.testing.assert_close(squared_mmd(7 + scale * a, 7 + scale * b), squared_mmd(a, b))


def test_items_do_not_depend_on_the_batch():
    a, b = samples(10, 60, 1.0)
    alone = squared_mmd(a[:, 58:59], b[:, 58:59])
    torch.testing.assert_close(squared_mmd(a, b).mean[58:59], alone.mean)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(5, 1, 2), torch.zeros(4, 1, 2), "two equal shapes"),
        (torch.zeros(3, 1, 2), torch.zeros(3, 1, 2), "n >= 4"),
        (torch.zeros(5, 1, 2), torch.full((5, 1, 2), torch.inf), "finite"),
    ],
)
def test_refusals(a, b, message):
    with pytest.raises(ValueError, match=message):
        squared_mmd(a, b)
