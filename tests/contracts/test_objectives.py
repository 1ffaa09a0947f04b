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
from certibayes.registry import load, names
from certibayes.seeding import generator

KLS = ["forward_kl", "reverse_kl"]
DIVERGENCES = [*KLS, "mmd"]
AIMED = ["nll", "toward_posterior", "toward_theta", "expected_loss", "margin"]
ABSOLUTE = ["confidence"]
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


@pytest.mark.parametrize("name", KLS)
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


@pytest.mark.parametrize("name", KLS)
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


@pytest.mark.parametrize("name", KLS)
def test_draws_are_fixed_by_the_generator(name):
    clean, attacked = narrow_and_wide(False)
    first, again, other = (FUNCTIONS[name](clean, attacked, 9, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", KLS)
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


def test_margin_is_positive_where_the_label_is_lost():
    model = SoftmaxLinear()
    x, _ = points()
    labels = torch.tensor([0, 1, 2, 3, 0])
    value = load("objective", "margin")().prepare(model(x), labels, 1, generator(0))(model(x))
    logits = x @ model.weight.T
    expected = [
        max(z[k] for k in range(4) if k != y) - z[y] for z, y in zip(logits, labels, strict=True)
    ]
    torch.testing.assert_close(value, torch.stack(expected))
    assert torch.equal(value > 0, logits.argmax(-1) != labels)
    with pytest.raises(TypeError, match="allowed: Categorical"):
        load("objective", "margin")().prepare(model(x), labels, 1, generator(0))(
            GaussianModel(True)(x)
        )


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


def test_every_objective_is_a_divergence_or_has_an_aim_or_needs_none():
    assert sorted([*DIVERGENCES, *AIMED, *ABSOLUTE]) == sorted(names("objective"))


def test_confidence_is_minus_the_entropy():
    probs = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], dtype=torch.float64)
    q = Categorical(logits=probs.clamp(min=1e-300).log())
    value = load("objective", "confidence")().prepare(q, None, 1, generator(0))(q)
    torch.testing.assert_close(value, -Categorical(probs=probs).entropy())
    with pytest.raises(TypeError, match="allowed: Categorical"):
        load("objective", "confidence")().prepare(q, None, 1, generator(0))(
            Normal(torch.zeros(1), torch.ones(1))
        )


@pytest.mark.parametrize("name", AIMED)
def test_an_aimed_objective_needs_its_target(name):
    q = Categorical(logits=torch.zeros(1, 2))
    wrong = torch.zeros(1) if name == "toward_posterior" else q
    for target, stated in ((None, "None"), (wrong, type(wrong).__name__)):
        with pytest.raises(ValueError, match=f"target: got {stated}; allowed for {name}"):
            load("objective", name)().prepare(q, target, 1, generator(0))


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_divergence_aims_at_nothing(name):
    x, _ = points()
    thetas = torch.zeros(5, 2, dtype=torch.float64)
    aimed = load("objective", name)().aim(GaussianModel(True), x, thetas, thetas, generator(0))
    assert aimed is None


def test_mmd_is_the_mean_of_the_kernel_over_independent_pairs():
    """Two points per item: h is their distance, so every term can be written down."""
    clean, attacked = narrow_and_wide(False)
    noise = clean.noise((2,), generator(4))
    a, b = clean.transport(noise), attacked.transport(noise)
    width = (a[0] - a[1]).square().sum(-1)

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return torch.exp(-0.5 * (p - q).square().sum(-1) / width)

    expected = kernel(a[0], a[1]) + kernel(b[0], b[1]) - kernel(a[0], b[1]) - kernel(a[1], b[0])
    value = load("objective", "mmd")().prepare(clean, None, 2, generator(4))(attacked)
    torch.testing.assert_close(value, expected)


def test_mmd_is_unbiased():
    """1-d Gaussians: E k of N(m, s^2) is h / sqrt(h^2 + s^2) exp(-m^2 / (2 (h^2 + s^2)))."""
    clean, attacked = narrow_and_wide(False, batch=50)
    few = load("objective", "mmd")().prepare(clean, None, 300, generator(1))(attacked)

    def mean(width: float, difference: float, variance: float) -> float:
        total = width + variance
        return math.sqrt(width / total) * math.exp(-0.5 * difference**2 / total)

    width = 0.9539**2
    """Squared median distance of two standard normal draws."""
    expected = mean(width, 0, 2) + mean(width, 0, 8) - 2 * mean(width, 1, 5)
    assert float(few.mean()) == pytest.approx(expected, rel=0.1)


def test_mmd_ignores_the_units_of_theta():
    clean, attacked = narrow_and_wide(False)
    stretched = [diagonal_gaussian(1e3 * q.center, 1e3 * q.std, False) for q in (clean, attacked)]
    plain = load("objective", "mmd")().prepare(clean, None, 20, generator(1))(attacked)
    scaled = load("objective", "mmd")().prepare(stretched[0], None, 20, generator(1))(stretched[1])
    torch.testing.assert_close(plain, scaled)


def test_mmd_needs_two_draws():
    with pytest.raises(ValueError, match="draws: got 1; allowed for mmd: at least 2"):
        load("objective", "mmd")().prepare(narrow_and_wide(True)[0], None, 1, generator(0))


def test_nll_is_the_density_of_the_true_theta():
    model = GaussianModel(False)
    x, moved = points()
    truth = torch.randn(5, 2, generator=generator("theta"), dtype=torch.float64)
    objective = load("objective", "nll")()
    aimed = objective.aim(model, x, truth, truth, generator(0))
    assert torch.equal(aimed, truth)
    value = objective.prepare(model(x), aimed, 1, generator(0))(model(moved))
    torch.testing.assert_close(value, -model(moved).log_prob(truth))


def test_nll_draws_the_theta_of_a_real_observation():
    model = GaussianModel(False)
    x, _ = points()
    truth = torch.randn(5, 2, generator=generator("theta"), dtype=torch.float64)
    truth[3:] = torch.nan
    aims = [
        load("objective", "nll")().aim(model, x, truth, truth[:3], generator(seed))
        for seed in range(300)
    ]
    assert all(torch.equal(aimed[:3], truth[:3]) for aimed in aims)
    drawn = torch.stack([aimed[3:] for aimed in aims])
    q = model(x[3:])
    error = (drawn.mean(0) - q.center) / (q.std / math.sqrt(len(aims)))
    assert error.abs().max() < 4


def test_toward_theta_aims_at_the_least_plausible_theta():
    model = GaussianModel(True)
    x, moved = points()
    prior = torch.randn(300, 2, generator=generator("prior"), dtype=torch.float64)
    prior[0] = 1e200
    objective = load("objective", "toward_theta")()
    aimed = objective.aim(model, x, prior[:5], prior[:100], generator(0))
    log_prob = torch.stack([model(x).log_prob(theta.expand(5, -1)) for theta in prior[1:100]])
    assert torch.equal(aimed, prior[1:100][log_prob.argmin(0)])
    value = objective.prepare(model(x), aimed, 1, generator(0))(model(moved))
    torch.testing.assert_close(value, model(moved).log_prob(aimed))
    with pytest.raises(ValueError, match="got 1 thetas, none of finite density"):
        objective.aim(model, x, prior[:5], prior[:1], generator(0))


def test_toward_posterior_aims_at_another_observation():
    """The value is -KL(target || attacked), so it is largest, zero, at the target's x."""
    model = GaussianModel(True)
    x, moved = points()
    objective = load("objective", "toward_posterior")()
    aimed = objective.aim(model, x, x[:, :2], x[:, :2], generator(0))
    prepared = objective.prepare(model(x), aimed, 1, generator(0))
    same = (aimed.center.unsqueeze(1) == model(x).center.unsqueeze(0)).all(-1)
    assert (same.sum(1) == 1).all()
    assert not same.diagonal().any()
    torch.testing.assert_close(prepared(model(moved)), -forward_kl(aimed, model(moved), 1, None))
    assert prepared(model(x[same.double().argmax(1)])).abs().max() < 1e-12
    with pytest.raises(ValueError, match="got 1 observations"):
        objective.aim(model, x[:1], x[:1, :2], x[:, :2], generator(0))


@pytest.mark.parametrize("closed_form", [True, False])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_published_form_has_the_gradients_of_the_objective(name, closed_form):
    """With so many draws that one ratio is far from 1 nothing is left of the control variate."""
    clean, attacked = narrow_and_wide(closed_form)
    attacked.center = moved = attacked.center.clone().requires_grad_()
    objective = load("objective", name)()
    gradients = [
        torch.autograd.grad(prepare(clean, None, 500, generator("a"))(attacked).sum(), moved)[0]
        for prepare in (objective.prepare, objective.prepare_gradient)
    ]
    torch.testing.assert_close(*gradients)
