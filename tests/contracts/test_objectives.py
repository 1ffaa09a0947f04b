"""Every objective: zero at x, closed forms, and the direction that its name states."""

from __future__ import annotations

import math

import pytest
import torch
from analytic_models import DiagonalGaussian, GaussianModel, SoftmaxLinear, diagonal_gaussian
from torch import Tensor
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

from certibayes.attacks.forward_kl import forward_kl
from certibayes.attacks.reverse_kl import reverse_kl
from certibayes.config.attacks import FORM_OF_OBJECTIVE
from certibayes.registry import load, names
from certibayes.seeding import generator

DIVERGENCES = [name for name in names("objective") if FORM_OF_OBJECTIVE[name] == "posterior"]
FUNCTIONS = {"forward_kl": forward_kl, "reverse_kl": reverse_kl}
NARROW_TO_WIDE = math.log(2) + (1 + 1) / 8 - 0.5
WIDE_TO_NARROW = math.log(0.5) + (4 + 1) / 2 - 0.5


def narrow_and_wide(closed_form: bool, batch: int = 3) -> tuple[DiagonalGaussian, DiagonalGaussian]:
    """N(0, 1) and N(1, 2^2): KL 0.443 one way, 1.307 the other."""
    one = torch.ones(batch, 1, dtype=torch.float64)
    return (
        diagonal_gaussian(0 * one, one, closed_form),
        diagonal_gaussian(one, 2 * one, closed_form),
    )


def points() -> tuple[Tensor, Tensor]:
    x = torch.randn(5, 3, generator=generator("x"), dtype=torch.float64)
    moved = x + 0.3 * torch.randn(5, 3, generator=generator("moved"), dtype=torch.float64)
    return x, moved


def value_and_gradient(name: str, closed_form: bool, draws: int) -> tuple[Tensor, Tensor]:
    model = GaussianModel(closed_form)
    x, moved = points()
    moved.requires_grad_()
    with torch.no_grad():
        clean = model(x)
    value = load("objective", name)().prepare(clean, None, draws, generator(1))(model(moved))
    (gradient,) = torch.autograd.grad(value.sum(), moved)
    return value.detach(), gradient


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("closed_form", [True, False])
def test_divergence_is_zero_at_x(name, closed_form):
    model = GaussianModel(closed_form)
    x, moved = points()
    prepared = load("objective", name)().prepare(model(x), None, 7, generator(0))
    assert prepared(model(x)).abs().max() < 1e-12
    assert prepared(model(moved)).shape == (5,)
    assert prepared(model(moved)).abs().min() > 1e-3


@pytest.mark.parametrize("name", DIVERGENCES)
def test_monte_carlo_agrees_with_the_closed_form(name):
    exact, exact_gradient = value_and_gradient(name, True, 1)
    value, gradient = value_and_gradient(name, False, 100_000)
    torch.testing.assert_close(value, exact, rtol=0.05, atol=0.01)
    torch.testing.assert_close(gradient, exact_gradient, rtol=0.05, atol=0.03)


@pytest.mark.parametrize(
    ("name", "expected"), [("forward_kl", NARROW_TO_WIDE), ("reverse_kl", WIDE_TO_NARROW)]
)
def test_the_name_states_the_direction(name, expected):
    """Clean is the narrow one: forward is KL(clean || attacked)."""
    closed = FUNCTIONS[name](*narrow_and_wide(True), 1, generator(0))
    torch.testing.assert_close(closed, torch.full_like(closed, expected))
    estimate = FUNCTIONS[name](*narrow_and_wide(False), 40_000, generator(0))
    torch.testing.assert_close(estimate, torch.full_like(estimate, expected), rtol=0, atol=0.05)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_closed_form_of_torch_distributions(name):
    clean, attacked = narrow_and_wide(True)
    expected = FUNCTIONS[name](clean, attacked, 1, generator(0))
    for build in (
        lambda q: MultivariateNormal(q.center, scale_tril=q.std.diag_embed()),
        lambda q: Independent(Normal(q.center, q.std), 1),
    ):
        actual = FUNCTIONS[name](build(clean), build(attacked), 1, generator(0))
        torch.testing.assert_close(actual, expected)
    mixed = FUNCTIONS[name](build(clean), attacked, 1, generator(0))
    torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_draws_are_fixed_by_the_generator(name):
    clean, attacked = narrow_and_wide(False)
    first, again, other = (FUNCTIONS[name](clean, attacked, 9, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_divergence_rejects_what_it_cannot_draw_from(name):
    labels = Categorical(logits=torch.zeros(3, 2))
    with pytest.raises(TypeError, match="Categorical"):
        FUNCTIONS[name](labels, labels, 5, generator(0))
    gaussian, no_gaussian = narrow_and_wide(True)[0], narrow_and_wide(False)[1]
    with pytest.raises(TypeError, match="two Gaussian"):
        FUNCTIONS[name](gaussian, no_gaussian, 5, generator(0))


def test_expected_loss_is_the_loss_of_the_label():
    model = SoftmaxLinear()
    x, moved = points()
    labels = torch.tensor([0, 1, 2, 3, 0])
    value = load("objective", "expected_loss")().prepare(model(x), labels, 1, generator(0))
    expected = torch.nn.functional.cross_entropy(moved @ model.weight.T, labels, reduction="none")
    torch.testing.assert_close(value(model(moved)), expected)


def test_expected_loss_differentiates_the_mean_prediction():
    """Two members, p = 0.5 and p near 1: the mean of the losses has another gradient."""

    def predictive(x: Tensor) -> Categorical:
        members = torch.stack([torch.sigmoid(x), torch.sigmoid(9 * x + 5)]).mean(0)
        return Categorical(probs=torch.stack([members, 1 - members], -1))

    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    objective = load("objective", "expected_loss")()
    value = objective.prepare(predictive(x), torch.tensor([0]), 1, generator(0))(predictive(x))
    (gradient,) = torch.autograd.grad(value.sum(), x)
    second = 1 / (1 + math.exp(-5))
    mean = (0.5 + second) / 2
    slope = (0.25 + 9 * second * (1 - second)) / 2
    assert float(value.detach()) == pytest.approx(-math.log(mean))
    assert float(gradient) == pytest.approx(-slope / mean)


def test_expected_loss_needs_labels():
    with pytest.raises(ValueError, match="target: got None"):
        load("objective", "expected_loss")().prepare(
            Categorical(logits=torch.zeros(1, 2)), None, 1, generator(0)
        )
