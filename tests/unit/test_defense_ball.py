"""Defenses that look for, or draw, a point of a ball."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal, constraints

from certibayes import registry
from certibayes.config.defenses import Adversarial, NoiseAugmentation, Trades
from certibayes.config.models import MAF, MLP, Gaussian
from certibayes.config.threat import PerturbationAt
from certibayes.defenses.divergence import differentiable_kl, forward_kl_to_climb
from certibayes.defenses.frozen import frozen_statistics
from certibayes.defenses.inner_maximum import inner_maximum
from certibayes.estimators.posterior import BijectivePosterior
from certibayes.estimators.theta_map import ThetaMap
from certibayes.seeding import generator
from certibayes.threat import Ball, Scale, ThreatModel

X_DIM, THETA_DIM = 4, 2
SCALE = Scale(torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64), 1.0)
AT = PerturbationAt(norm="l2", unit="feature_std", epsilon=0.3)


class Shifted(nn.Module):
    """y ~ N(x w, 1): log q(y | x) falls fastest along w away from y."""

    def __init__(self) -> None:
        super().__init__()
        slope = torch.randn(X_DIM, 1, generator=generator("slope"), dtype=torch.float64)
        self.slope = nn.Parameter(slope)

    def forward(self, x: Tensor) -> Distribution:
        return Independent(Normal(x @ self.slope, 1.0), 1)


def estimator(kind: str = "gaussian") -> nn.Module:
    torch.manual_seed(0)
    spec = Gaussian(hidden=(8,)) if kind == "gaussian" else MAF(transforms=2, hidden=8)
    build = registry.load("estimator", kind)
    return build(spec, THETA_DIM, X_DIM, constraints.real_vector).double()


def observations(n: int = 6) -> Tensor:
    return torch.rand(n, X_DIM, generator=generator("x"), dtype=torch.float64)


def parameters(n: int = 6) -> Tensor:
    return torch.randn(n, THETA_DIM, generator=generator("theta"), dtype=torch.float64)


def ball(norm: str = "l2", clip: tuple[float, float] | None = None) -> Ball:
    return ThreatModel(norm, 0.3, "feature_std", clip).ball(SCALE)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_inner_maximum_finds_the_worst_point_of_a_linear_model(norm: str) -> None:
    model, x = Shifted(), observations()
    target = x @ model.slope.detach() - 9
    around = ball(norm)
    found = inner_maximum(model, x, lambda q: -q.log_prob(target), around, 50, 0.2, generator("a"))
    assert around.contains(x, found, 1e-9).all()
    weighted = around.radius * model.slope.detach().squeeze(-1)
    reach = weighted.abs().sum() if norm == "linf" else weighted.norm()
    worst = Normal(0.0, 1.0).log_prob(reach + 9)
    attacked = model(found).log_prob(target)
    torch.testing.assert_close(attacked, worst.expand(6), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_inner_maximum_respects_ball_clip_and_features_that_hardly_vary(norm: str) -> None:
    model, x, theta = estimator(), observations(), parameters()
    around = ball(norm, (0.0, 1.0))
    found = inner_maximum(model, x, lambda q: -q.log_prob(theta), around, 5, 1.0, generator("a"))
    assert around.contains(x, found).all()
    assert ((found >= 0) & (found <= 1)).all()
    assert torch.equal(found[:, 3], x[:, 3])
    assert (model(found).log_prob(theta) < model(x).log_prob(theta)).all()
    again = inner_maximum(model, x, lambda q: -q.log_prob(theta), around, 5, 1.0, generator("a"))
    other = inner_maximum(model, x, lambda q: -q.log_prob(theta), around, 5, 1.0, generator("b"))
    assert torch.equal(found, again)
    assert not torch.equal(found, other)
    assert not found.requires_grad
    assert all(p.grad is None for p in model.parameters())


def test_inner_maximum_stays_put_where_the_gradient_is_not_finite() -> None:
    model, x = estimator(), observations()
    found = inner_maximum(
        model, x, lambda q: q.offset.sum(-1) * torch.inf, ball(), 3, 0.1, generator("a")
    )
    assert torch.equal(found, ball().sample(x, generator("a")))


class Normalized(nn.Module):
    """A classifier with running statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        network = registry.load("network", "mlp")(MLP(hidden=(8,)), X_DIM, 3)
        self.layers = nn.Sequential(nn.BatchNorm1d(X_DIM), nn.Dropout(0.5), network).double()

    def forward(self, x: Tensor) -> Distribution:
        return Categorical(logits=self.layers(x))


def test_the_search_moves_no_statistics_and_drops_nothing() -> None:
    model, x = Normalized(), observations()
    model.layers[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    label = torch.zeros(6, dtype=torch.int64)
    state = torch.get_rng_state()
    inner_maximum(model, x, lambda q: -q.log_prob(label), ball(), 3, 0.3, generator("a"))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert model.layers[0].training
    assert not model.layers[2].training


def test_modes_come_back_after_an_error() -> None:
    model = Normalized()
    with pytest.raises(ZeroDivisionError), frozen_statistics(model):
        1 / model.training
    assert model.training


def test_adversarial_training_is_the_likelihood_at_the_worst_point() -> None:
    model, x, theta = estimator(), observations(), parameters()
    spec = Adversarial(perturbation=AT, steps=4, step_size=0.5)
    trained = registry.load("defense", "adversarial")
    worst = trained(spec, SCALE, None).objective(model, theta, x, 0.5, generator("a"))
    found = inner_maximum(model, x, lambda q: -q.log_prob(theta), ball(), 4, 0.5, generator("a"))
    torch.testing.assert_close(worst, model(found).log_prob(theta))
    mixed = spec.model_copy(update={"clean_weight": 0.25})
    clean = model(x).log_prob(theta)
    torch.testing.assert_close(
        trained(mixed, SCALE, None).objective(model, theta, x, 0.5, generator("a")),
        0.25 * clean + 0.75 * worst,
    )


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("search", [None, "forward", "reverse"])
def test_trades_penalizes_the_divergence_of_its_direction(
    direction: str, search: str | None
) -> None:
    model, x, theta = estimator(), observations(), parameters()
    spec = Trades(perturbation=AT, beta=0.7, direction=direction, search_direction=search, steps=4)
    trained = registry.load("defense", "trades")(spec, SCALE, None)
    objective = trained.objective(model, theta, x, 0.5, generator("a"))

    def divergence(clean: Distribution, attacked: Distribution, way: str) -> Tensor:
        pair = (clean, attacked) if way == "forward" else (attacked, clean)
        return torch.distributions.kl_divergence(*(q.latent for q in pair))

    clean = model(x)
    way = search or direction
    found = inner_maximum(
        model, x, lambda q: divergence(model(x), q, way), ball(), 4, 0.1, generator("a")
    )
    penalty = divergence(clean, model(found), direction)
    torch.testing.assert_close(objective, clean.log_prob(theta) - 0.7 * penalty)
    gradients = [
        torch.autograd.grad(value.sum(), list(model.parameters()), retain_graph=True)
        for value in (objective, clean.log_prob(theta) - 0.7 * penalty)
    ]
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


class Located(BijectivePosterior):
    """N(mean, std^2) that hides its closed form."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        zero = torch.zeros(mean.shape[-1], dtype=torch.float64)
        super().__init__(ThetaMap(constraints.real_vector, zero, zero + 1), len(mean))
        self.loc, self.scale = mean, std

    def _normalize(self, v: Tensor) -> tuple[Tensor, Tensor]:
        noise = (v - self.loc) / self.scale
        return noise, -self.scale.log().sum(-1).expand(noise.shape[:-1])

    def _generate(self, noise: Tensor) -> Tensor:
        return self.loc + self.scale * noise


def test_estimated_divergence_and_its_gradient_are_unbiased() -> None:
    rows = 20_000
    start = [
        torch.tensor(v, dtype=torch.float64) for v in ([0.3, -0.2], [0.5, 1.5], [0, 0.1], [1, 1])
    ]
    leaves = [v.repeat(rows, 1).requires_grad_() for v in start]
    p, q = Located(*leaves[:2]), Located(*leaves[2:])
    found = differentiable_kl(p, q, 2, generator("kl"))
    exact = torch.distributions.kl_divergence(
        Independent(Normal(*leaves[:2]), 1), Independent(Normal(*leaves[2:]), 1)
    )
    error = found.detach().std() / rows**0.5
    assert (found.mean() - exact[0]).abs() < 5 * error
    for sampled, wanted in zip(
        torch.autograd.grad(found.sum(), leaves),
        torch.autograd.grad(exact.sum(), leaves),
        strict=True,
    ):
        error = sampled.std(0) / rows**0.5
        assert ((sampled.mean(0) - wanted[0]).abs() < 5 * error + 1e-12).all()


def test_what_a_search_follows_has_the_gradient_of_the_divergence() -> None:
    mean = torch.zeros(5, 2, dtype=torch.float64).requires_grad_()
    one = torch.ones(5, 2, dtype=torch.float64)
    p, q = Located(one, 2 * one), Located(mean, one)
    # The draws of one step are those of the divergence; a second step has others.
    climbed = forward_kl_to_climb(p, 3, 1, generator("a"))
    values = (differentiable_kl(p, q, 3, generator("a")), climbed(q))
    torch.testing.assert_close(*(torch.autograd.grad(v.sum(), mean)[0] for v in values))
    climbed = forward_kl_to_climb(p, 3, 2, generator("a"))
    first, second = climbed(q), climbed(q)
    assert not torch.equal(first, second)
    with pytest.raises(StopIteration):
        climbed(q)


def test_divergence_of_classifiers_is_exact() -> None:
    p, q = (torch.tensor(v, dtype=torch.float64) for v in ([0.2, 0.3, 0.5], [0.6, 0.3, 0.1]))
    found = differentiable_kl(
        Categorical(probs=p.unsqueeze(0)), Categorical(probs=q.unsqueeze(0)), 1, generator("a")
    )
    torch.testing.assert_close(found, (p * (p / q).log()).sum().unsqueeze(0))


@pytest.mark.parametrize("kind", ["gaussian", "maf"])
def test_noise_is_uniform_in_the_ball_and_clipped(kind: str) -> None:
    model, x, theta = estimator(kind), observations(), parameters()
    spec = NoiseAugmentation(perturbation=AT)
    trained = registry.load("defense", "noise")(spec, SCALE, (0.0, 1.0))
    seen = []
    objective = trained.objective(
        lambda noisy: seen.append(noisy) or model(noisy), theta, x, 0.5, generator("a")
    )
    assert ball(clip=(0.0, 1.0)).contains(x, seen[0]).all()
    assert not torch.equal(seen[0], x)
    torch.testing.assert_close(objective, model(seen[0]).log_prob(theta))
