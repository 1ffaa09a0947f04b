"""Fisher information with respect to x, and its leading direction."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MultivariateNormal

from certibayes.attacks.closed_form import gaussian_kl
from certibayes.attacks.fisher_factors import fisher_factors
from certibayes.attacks.spectral import leading
from certibayes.seeding import generator

WEIGHT = torch.randn(4, 3, generator=generator("weight"), dtype=torch.float64)


def gaussian(x: Tensor) -> MultivariateNormal:
    """Mean and full covariance both move with x."""
    features = torch.tanh(x @ WEIGHT.T)
    low = torch.stack([features[:, 2], torch.zeros(len(x)), features[:, 3], features[:, 1]], -1)
    scale = low.reshape(-1, 2, 2).tril(-1) + features[:, :2].exp().diag_embed()
    return MultivariateNormal(features[:, :2], scale_tril=scale)


def softmax(x: Tensor) -> Categorical:
    return Categorical(logits=x @ WEIGHT.T)


def divergence_from(clean: MultivariateNormal, moved: Tensor) -> Tensor:
    return gaussian_kl(clean, gaussian(moved.unsqueeze(0))).sum()


def information(model, draws: int = 1) -> tuple[Tensor, Tensor]:
    x = torch.randn(5, 3, generator=generator("x"), dtype=torch.float64)
    factors = fisher_factors(model, x, draws, generator("scores"))
    return x, factors.mT @ factors


def test_gaussian_information_is_the_curvature_of_the_divergence():
    x, found = information(gaussian)
    for i in range(len(x)):
        divergence = partial(divergence_from, gaussian(x[i : i + 1]))
        hessian = torch.autograd.functional.hessian(divergence, x[i])
        torch.testing.assert_close(found[i], hessian)


def test_categorical_information_is_that_of_the_softmax():
    """J^T (diag p - p p^T) J."""
    x, found = information(softmax)
    p = softmax(x).probs
    middle = p.diag_embed() - p.unsqueeze(-1) * p.unsqueeze(-2)
    torch.testing.assert_close(found, WEIGHT.T @ middle @ WEIGHT)


def test_draws_estimate_the_information():
    from analytic_models import GaussianModel

    _, exact = information(GaussianModel(closed_form=True))
    _, estimated = information(GaussianModel(closed_form=False), 4_000)
    size = torch.linalg.matrix_norm(exact)
    assert (torch.linalg.matrix_norm(estimated - exact) < 0.1 * size).all()


@pytest.mark.parametrize("rows", [3, 9])
def test_leading_l2_direction_is_the_singular_vector(rows):
    factors = torch.randn(7, rows, 5, generator=generator(rows), dtype=torch.float64)
    found = leading(factors, "l2")
    expected = torch.linalg.svd(factors).Vh[:, 0]
    torch.testing.assert_close((found * expected).sum(-1).abs(), torch.ones(7).double())


@pytest.mark.parametrize("rows", [3, 9])
def test_leading_l1_direction_is_the_best_vertex(rows):
    factors = torch.randn(7, rows, 5, generator=generator(rows), dtype=torch.float64)
    found = leading(factors, "l1")
    assert torch.equal(found.abs().sum(-1), torch.ones(7).double())
    vertices = torch.eye(5, dtype=torch.float64)
    best = (factors @ vertices).square().sum(1).amax(1)
    torch.testing.assert_close((factors @ found.unsqueeze(-1)).square().sum((1, 2)), best)


@pytest.mark.parametrize("rows", [3, 9])
def test_leading_linf_direction_is_a_good_corner(rows):
    """Close to the best of all corners on average, and not far from it anywhere."""
    factors = torch.randn(20, rows, 5, generator=generator(rows), dtype=torch.float64)
    found = leading(factors, "linf")
    assert (found.abs() == 1).all()
    corners = torch.tensor(list(product((-1.0, 1.0), repeat=5)), dtype=torch.float64)
    values = (factors @ corners.T).square().sum(1)
    reached = (factors @ found.unsqueeze(-1)).square().sum((1, 2))
    ratio = reached / values.amax(1)
    assert ratio.min() > 0.6
    assert ratio.mean() > 0.95


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("rows", [2, 6])
def test_nothing_to_gain_is_no_direction(norm, rows):
    assert torch.equal(leading(torch.zeros(3, rows, 4), norm), torch.zeros(3, 4))
