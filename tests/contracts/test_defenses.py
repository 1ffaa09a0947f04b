"""Every defense is the log-likelihood at weight 0 and has finite gradients, for every model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, constraints

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.predictive_bounds import log_likelihood_lower, probability_bounds
from certibayes.config.defenses import Fisher, NoDefense, RobustLikelihood
from certibayes.config.models import MAF, MLP, BBBInference, Gaussian, MAPInference
from certibayes.config.threat import PerturbationAt
from certibayes.defenses.base import Defense
from certibayes.defenses.fisher import fisher_trace
from certibayes.defenses.mixing import mix
from certibayes.defenses.robust_likelihood import worst_log_likelihood
from certibayes.estimators.base import Posterior, ThetaMap
from certibayes.seeding import generator
from certibayes.threat import Ball, Scale, ThreatModel

BATCH, X_DIM, THETA_DIM, CLASSES = 6, 4, 2, 3
MODELS = ("gaussian", "maf", "map", "bbb")
SCALE = Scale(torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64), 1.0)
SPECS = {
    "none": (NoDefense(), NoDefense()),
    "fisher": (Fisher(beta=0.0), Fisher(beta=0.3, draws=2)),
    "robust_likelihood": tuple(
        RobustLikelihood(
            perturbation=PerturbationAt(norm="linf", unit="feature_std", epsilon=epsilon),
            clean_weight=weight,
        )
        for epsilon, weight in ((0.1, 1.0), (0.1, 0.5))
    ),
}


def model(kind: str, samples: int = 3) -> nn.Module:
    torch.manual_seed(0)
    if kind in ("gaussian", "maf"):
        spec = Gaussian(hidden=(8,)) if kind == "gaussian" else MAF(transforms=2, hidden=8)
        build = registry.load("estimator", kind)
        return build(spec, THETA_DIM, X_DIM, constraints.real_vector)
    network = registry.load("network", "mlp")(MLP(hidden=(8, 8)), X_DIM, CLASSES)
    spec = {"map": MAPInference(), "bbb": BBBInference(initial_std=0.2)}[kind]
    inference = registry.load("inference", kind)(network, spec)
    return inference.model(inference.sample(samples, generator("weights")))


def data(kind: str) -> tuple[Tensor, Tensor]:
    g = generator("data")
    x = torch.randn(BATCH, X_DIM, generator=g)
    if kind in ("gaussian", "maf"):
        return torch.randn(BATCH, THETA_DIM, generator=g), x
    return torch.randint(CLASSES, (BATCH,), generator=g), x


def defense(kind: str, spec: object, clip: tuple[float, float] | None = None) -> Defense:
    return registry.load("defense", kind)(spec, SCALE, clip)


def robust(**changes: object) -> RobustLikelihood:
    return SPECS["robust_likelihood"][1].model_copy(update=changes)


@pytest.mark.parametrize("kind", registry.names("defense"))
@pytest.mark.parametrize("of", MODELS)
@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_weight_zero_is_the_log_likelihood(kind: str, of: str, progress: float) -> None:
    q, (target, x) = model(of), data(of)
    objective = defense(kind, SPECS[kind][0]).objective(q, target, x, progress, generator("a"))
    assert objective.shape == (BATCH,)
    assert torch.allclose(objective, q(x).log_prob(target), atol=1e-6)


@pytest.mark.parametrize("of", MODELS)
@pytest.mark.parametrize("mixing", ["inside", "outside"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_robust_likelihood_of_radius_zero_is_the_log_likelihood(
    of: str, mixing: str, norm: str
) -> None:
    q, (target, x) = model(of), data(of)
    at = PerturbationAt(norm=norm, unit="raw", epsilon=0.0)
    spec = robust(perturbation=at, mixing=mixing)
    objective = defense("robust_likelihood", spec).objective(q, target, x, 1.0, generator("a"))
    assert torch.allclose(objective, q(x).log_prob(target), atol=1e-4)


@pytest.mark.parametrize("kind", registry.names("defense"))
@pytest.mark.parametrize("of", ["gaussian", "maf", *registry.names("inference")])
def test_gradients_to_the_trained_parameters_are_finite(kind: str, of: str) -> None:
    target, x = data(of)
    if of in ("gaussian", "maf"):
        inference = registry.load("inference", "map")(model(of), MAPInference())
    else:
        network = registry.load("network", "mlp")(MLP(hidden=(8, 8)), X_DIM, CLASSES)
        spec = {"map": MAPInference(), "bbb": BBBInference(train_samples=2)}[of]
        inference = registry.load("inference", of)(network, spec)
    trained = defense(kind, SPECS[kind][1])
    loss = inference.loss(
        lambda m: trained.objective(m, target, x, 0.7, generator("a")), BATCH, generator("b")
    )
    loss.backward()
    gradients = [p.grad for p in inference.parameters() if p.requires_grad]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("kind", registry.names("defense"))
@pytest.mark.parametrize("of", MODELS)
def test_objective_is_the_same_without_gradient_and_follows_the_generator(
    kind: str, of: str
) -> None:
    q, (target, x) = model(of), data(of)
    judged = defense(kind, SPECS[kind][1])
    with torch.no_grad():
        value = judged.objective(q, target, x, 1.0, generator("a"))
    assert not value.requires_grad
    assert torch.allclose(value, judged.objective(q, target, x, 1.0, generator("a")), atol=1e-6)
    assert not x.requires_grad


@pytest.mark.parametrize("of", MODELS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_point_of_the_ball_beats_the_lower_bound(of: str, norm: str) -> None:
    q, (target, x) = model(of).double(), data(of)
    x, target = x.double(), target if target.dtype == torch.int64 else target.double()
    ball = ThreatModel(norm, 0.3, "feature_std").ball(SCALE)
    lower = worst_log_likelihood(q, target, x, ball)
    g = generator("points")
    attacked = x.clone().requires_grad_()
    for step in range(300):
        candidate = ball.sample(x, g)
        (gradient,) = torch.autograd.grad(q(attacked).log_prob(target).sum(), attacked)
        moved = ball.project(x, attacked.detach() - 0.2 * ball.steepest(gradient))
        attacked = moved.requires_grad_()
        for point in (candidate, moved):
            assert (q(point).log_prob(target) >= lower - 1e-9).all(), step
    assert (lower < q(x).log_prob(target)).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("samples", [1, 5])
def test_no_point_of_the_ball_leaves_the_probability_bounds(norm: str, samples: int) -> None:
    q, (y, x) = model("bbb", samples).double(), data("bbb")
    x = x.double()
    ball = ThreatModel(norm, 0.2, "raw").ball(SCALE)
    assert isinstance(q, Predictive)
    bounds = probability_bounds(q, x, ball)
    assert bounds.lower.shape == (BATCH, CLASSES)
    g = generator("points")
    for _ in range(300):
        assert bounds.contains(q(ball.sample(x, g)).probs, 1e-12).all()
    own = bounds.lower.gather(1, y.unsqueeze(1)).squeeze(1).log()
    assert torch.allclose(own, log_likelihood_lower(q, y, x, ball), atol=1e-10)
    exact = probability_bounds(q, x, ball.scaled(0.0))
    assert torch.allclose(exact.lower, q(x).probs, atol=1e-12)
    assert torch.allclose(exact.upper, q(x).probs, atol=1e-12)


def test_ramp_grows_linearly_and_is_over_at_its_fraction() -> None:
    q, (target, x) = model("gaussian"), data("gaussian")
    trained = defense("robust_likelihood", robust(clean_weight=0.0, ramp_fraction=0.4))
    assert trained.ramp_fraction == 0.4
    ball = ThreatModel("linf", 0.1, "feature_std").ball(SCALE)
    for progress, factor in ((0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (0.9, 1.0)):
        objective = trained.objective(q, target, x, progress, generator("a"))
        expected = worst_log_likelihood(q, target, x, ball.scaled(factor))
        assert torch.allclose(objective, expected, atol=1e-6)


@pytest.mark.parametrize("of", ["gaussian", "map"])
def test_x_outside_the_clip_range_is_an_error(of: str) -> None:
    q, (target, x) = model(of), data(of)
    x = x.clamp(0, 1)
    x[2, 1] = 1.5
    trained = defense("robust_likelihood", SPECS["robust_likelihood"][1], (0.0, 1.0))
    with pytest.raises(ValueError, match=r"1 of 6 observations lie outside the clip range"):
        trained.objective(q, target, x, 1.0, generator("a"))


def test_mixing_inside_is_the_log_of_the_mixture() -> None:
    clean, worst = torch.tensor([-0.5, -1.0]), torch.tensor([-2.0, -30.0])
    inside = mix(clean, worst, 0.25, "inside")
    assert torch.allclose(inside, (0.25 * clean.exp() + 0.75 * worst.exp()).log())
    assert torch.allclose(mix(clean, worst, 0.25, "outside"), 0.25 * clean + 0.75 * worst)
    assert (inside >= mix(clean, worst, 0.25, "outside")).all()
    for mixing in ("inside", "outside"):
        assert torch.equal(mix(clean, worst, 1.0, mixing), clean)
        assert torch.equal(mix(clean, worst, 0.0, mixing), worst)


def test_interval_initialization_replaces_the_weights_only_if_asked_for() -> None:
    for initialization, changed in (("default", False), ("interval", True)):
        network = registry.load("network", "mlp")(MLP(hidden=(8,)), X_DIM, CLASSES)
        before = network[0].weight.clone()
        spec = robust(initialization=initialization)
        defense("robust_likelihood", spec).initialize(network, generator("a"))
        assert torch.equal(network[0].weight, before) != changed


class LinearGaussian(Posterior):
    """N(mean, root root^T), batch first."""

    def __init__(self, mean: Tensor, root: Tensor) -> None:
        zero = torch.zeros(THETA_DIM, dtype=torch.float64)
        super().__init__(ThetaMap(constraints.real_vector, zero, torch.ones_like(zero)), len(mean))
        self.mean_at_x, self.root = mean, root

    def _normalize(self, v: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.linalg.solve(self.root, (v - self.mean_at_x).unsqueeze(-1)).squeeze(-1)
        return noise, -self.root.diagonal().log().sum().expand(noise.shape[:-1])

    def _generate(self, noise: Tensor) -> Tensor:
        return self.mean_at_x + noise @ self.root.mT


def test_fisher_trace_of_a_linear_gaussian_is_that_in_closed_form() -> None:
    g = generator("fisher")
    a = torch.randn(THETA_DIM, X_DIM, generator=g, dtype=torch.float64)
    root = torch.tensor([[0.5, 0.0], [0.3, 0.8]], dtype=torch.float64)
    std = SCALE.feature_std
    expected = (torch.linalg.solve_triangular(root, a, upper=False) * std).square().sum()
    x = torch.randn(10_000, X_DIM, generator=g, dtype=torch.float64).requires_grad_()
    trace = fisher_trace(LinearGaussian(x @ a.T, root), x, std, 4, generator("a"), False)
    # A quadratic form in normals: relative std at most sqrt(2) per draw; five standard errors.
    assert torch.allclose(trace.mean(), expected, rtol=5 * (2 / 40_000) ** 0.5)


def test_fisher_trace_of_a_classifier_is_exact() -> None:
    q, (_, x) = model("bbb").double(), data("bbb")
    x, std = x.double(), SCALE.feature_std
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: q(v.unsqueeze(0)).probs[0]))(x)
    expected = ((jacobian * std).square().sum(-1) / q(x).probs).sum(-1)
    point = x.clone().requires_grad_()
    trace = fisher_trace(q(point), point, std, 1, generator("a"))
    assert torch.allclose(trace, expected, rtol=1e-9)


def test_fisher_objective_subtracts_beta_times_the_trace_over_active_features() -> None:
    q, (y, x) = model("bbb"), data("bbb")
    objective = defense("fisher", Fisher(beta=0.3)).objective(q, y, x, 0.0, generator("a"))
    point = x.clone().requires_grad_()
    std = SCALE.feature_std.float()
    trace = fisher_trace(q(point), point, std, 1, generator("a"))
    assert torch.allclose(objective, q(x).log_prob(y) - 0.3 * trace, atol=1e-6)


def test_fisher_refuses_another_distribution() -> None:
    x = torch.zeros(1, 1, requires_grad=True)
    with pytest.raises(TypeError, match="got Independent; allowed: Categorical, Posterior"):
        fisher_trace(Independent(Normal(x, 1.0), 1), x, torch.ones(1), 1, generator("a"))


def test_robust_likelihood_refuses_another_model() -> None:
    ball = Ball("linf", torch.ones(1))
    with pytest.raises(TypeError, match="got Linear; allowed: Estimator, Predictive"):
        worst_log_likelihood(nn.Linear(1, 1), torch.zeros(1), torch.zeros(1, 1), ball)
