"""Terms whose mean estimates a divergence, with little noise where it is small."""

import math

import pytest
import torch

from certibayes.attacks.kl_terms import kl_terms


def log_ratios(shift: float, draws: int, columns: int) -> torch.Tensor:
    """log N(theta; 0, 1) - log N(theta; shift, 1) at theta ~ N(0, 1); KL = shift^2 / 2."""
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(draws, columns, generator=generator, dtype=torch.float64)
    return 0.5 * (theta - shift).square() - 0.5 * theta.square()


@pytest.mark.parametrize("shift", [1e-3, 0.03, 0.1, 0.3, 1.0, 3.0])
def test_the_mean_over_many_columns_is_the_divergence(shift):
    found = kl_terms(log_ratios(shift, 64, 20_000)).mean(0)
    error = float(found.std()) / math.sqrt(len(found))
    assert abs(float(found.mean()) - shift**2 / 2) < 4 * error + 0.02 * shift**2 / 2


def test_near_equality_the_error_is_a_fraction_of_the_divergence():
    ratios = log_ratios(0.05, 64, 2_000)
    found, plain = kl_terms(ratios).mean(0), ratios.mean(0)
    divergence = 0.05**2 / 2
    assert (found >= 0).all()
    assert found.std() < 0.2 * divergence
    assert plain.std() > 4 * divergence


def test_far_ratios_are_left_as_they_are_with_finite_gradients():
    ratios = torch.tensor([[900.0, -0.2], [-900.0, 0.1]], requires_grad=True)
    terms = kl_terms(ratios)
    assert torch.equal(terms[:, 0], ratios[:, 0])
    assert (terms[:, 1] >= 0).all()
    terms.sum().backward()
    assert torch.equal(ratios.grad[:, 0], torch.ones(2))
    assert ratios.grad.isfinite().all()
