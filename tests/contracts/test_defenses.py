"""Every defense is the log-likelihood at weight 0 and has finite gradients, for every model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from certibayes import registry
from certibayes.config.base import Spec
from certibayes.config.defenses import (
    Adversarial,
    Empirical,
    Fisher,
    NoDefense,
    NoiseAugmentation,
    RobustLikelihood,
    Trades,
)
from certibayes.config.inference import BBBInference, MAPInference
from certibayes.config.models import MAF, MLP, Gaussian
from certibayes.config.threat import BoundedPerturbationAt
from certibayes.defenses.base import Defense
from certibayes.defenses.mixing import mix
from certibayes.defenses.worst_case_interval import interval_lower
from certibayes.seeding import generator
from certibayes.threat import Ball, Scale, ThreatModel

BATCH, X_DIM, THETA_DIM, CLASSES = 6, 4, 2, 3
MODELS = ("gaussian", "maf", "map", "bbb")
SCALE = Scale(torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64), 1.0)
BALL = BoundedPerturbationAt(norm="linf", unit="feature_std", epsilon=0.1)
POINT = BALL.model_copy(update={"epsilon": 0.0})
STEPS = {"steps": 3, "step_size": 0.5}
# Every defense, some in several forms: without effect and with it.
SPECS: dict[str, tuple[Spec, Spec]] = (
    {
        "none": (NoDefense(), NoDefense()),
        "fisher": (Fisher(beta=0.0), Fisher(beta=0.3, draws=2)),
        "fisher exact": (Fisher(beta=0.0, trace="exact"), Fisher(beta=0.3, trace="exact")),
        "fisher directional": (
            Fisher(beta=0.0, trace="directional"),
            Fisher(beta=0.3, trace="directional", draws=2, draw_gradient="score_function"),
        ),
        "fisher top_eigenvalue": (
            Fisher(beta=0.0, trace="top_eigenvalue", draws=4),
            Fisher(beta=0.3, trace="top_eigenvalue", draws=4, draw_gradient="reparametrized"),
        ),
        "empirical": (Empirical(beta=0.0), Empirical(beta=0.3)),
        "adversarial": (
            Adversarial(perturbation=POINT, **STEPS),
            Adversarial(perturbation=BALL, **STEPS),
        ),
        "adversarial mixed": (
            Adversarial(perturbation=BALL, clean_weight=1.0),
            Adversarial(perturbation=BALL, clean_weight=0.4, **STEPS),
        ),
        "trades": (
            Trades(perturbation=BALL, beta=0.0),
            Trades(perturbation=BALL, beta=0.5, draws=2, **STEPS),
        ),
        "trades reverse": (
            Trades(perturbation=POINT, beta=0.5, direction="reverse", **STEPS),
            Trades(perturbation=BALL, beta=0.5, direction="reverse", **STEPS),
        ),
        "trades published": (
            Trades(perturbation=POINT, beta=0.5, search_direction="reverse", **STEPS),
            Trades(perturbation=BALL, beta=0.5, search_direction="reverse", **STEPS),
        ),
        "noise": (NoiseAugmentation(perturbation=POINT), NoiseAugmentation(perturbation=BALL)),
        "robust_likelihood": tuple(
            RobustLikelihood(perturbation=BALL, clean_weight=weight) for weight in (1.0, 0.5)
        ),
    }
    | {
        f"robust_likelihood {bounds}": tuple(
            RobustLikelihood(perturbation=at, clean_weight=0.2, bounds=bounds)
            for at in (POINT, BALL)
        )
        for bounds in ("crown_ibp", "attack", "mixed", "shared_adversary")
    }
    | {
        f"robust_likelihood {density}": tuple(
            RobustLikelihood(
                perturbation=at, clean_weight=0.2, mixing="inside", epsilon_density=density
            )
            for at in (POINT, BALL)
        )
        for density in ("exponential", "rayleigh")
    }
)
MEANINGLESS = (  # no closed form; no posterior over theta
    ("fisher exact", "maf"),
    ("robust_likelihood shared_adversary", "map"),
    ("robust_likelihood shared_adversary", "bbb"),
)
FORMS = [(form, of) for form in SPECS for of in MODELS if (form, of) not in MEANINGLESS]
BALLS = ("adversarial", "trades", "noise", "robust_likelihood")


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


def test_every_defense_is_tested() -> None:
    assert {form.split()[0] for form in SPECS} == set(registry.names("defense"))


def defense(kind: str, spec: object, clip: tuple[float, float] | None = None) -> Defense:
    return registry.load("defense", kind)(spec, SCALE, clip)


def robust(**changes: object) -> RobustLikelihood:
    return SPECS["robust_likelihood"][1].model_copy(update=changes)


@pytest.mark.parametrize(("form", "of"), FORMS)
@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_weight_zero_is_the_log_likelihood(form: str, of: str, progress: float) -> None:
    q, (target, x) = model(of), data(of)
    plain = defense(form.split()[0], SPECS[form][0])
    objective = plain.objective(q, target, x, progress, generator("a"))
    assert objective.shape == (BATCH,)
    assert torch.allclose(objective, q(x).log_prob(target), atol=1e-5)


@pytest.mark.parametrize("of", MODELS)
@pytest.mark.parametrize("mixing", ["inside", "outside"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_robust_likelihood_of_radius_zero_is_the_log_likelihood(
    of: str, mixing: str, norm: str
) -> None:
    q, (target, x) = model(of), data(of)
    at = BoundedPerturbationAt(norm=norm, unit="raw", epsilon=0.0)
    spec = robust(perturbation=at, mixing=mixing)
    objective = defense("robust_likelihood", spec).objective(q, target, x, 1.0, generator("a"))
    assert torch.allclose(objective, q(x).log_prob(target), atol=1e-4)


@pytest.mark.parametrize(("form", "of"), FORMS)
def test_gradients_to_the_trained_parameters_are_finite(form: str, of: str) -> None:
    target, x = data(of)
    if of in ("gaussian", "maf"):
        inference = registry.load("inference", "map")(model(of), MAPInference())
    else:
        network = registry.load("network", "mlp")(MLP(hidden=(8, 8)), X_DIM, CLASSES)
        spec = {"map": MAPInference(), "bbb": BBBInference(train_samples=2)}[of]
        inference = registry.load("inference", of)(network, spec)
    trained = defense(form.split()[0], SPECS[form][1])
    loss = inference.loss(
        lambda m: trained.objective(m, target, x, 0.7, generator("a")), BATCH, generator("b")
    )
    loss.backward()
    gradients = [p.grad for p in inference.parameters() if p.requires_grad]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize(("form", "of"), FORMS)
def test_objective_is_the_same_without_gradient_and_follows_the_generator(
    form: str, of: str
) -> None:
    q, (target, x) = model(of), data(of)
    judged = defense(form.split()[0], SPECS[form][1])
    with torch.no_grad():
        value = judged.objective(q, target, x, 1.0, generator("a"))
    assert not value.requires_grad
    state = torch.get_rng_state()
    again = judged.objective(q, target, x, 1.0, generator("a"))
    assert torch.allclose(value, again, rtol=1e-4, atol=1e-5)
    assert not x.requires_grad
    assert all(module.training for module in q.modules())
    assert all(parameter.grad is None for parameter in q.parameters())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("of", MODELS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_point_of_the_ball_beats_the_lower_bound(of: str, norm: str) -> None:
    q, (target, x) = model(of).double(), data(of)
    x, target = x.double(), target if target.dtype == torch.int64 else target.double()
    ball = ThreatModel(norm, 0.3, "feature_std").ball(SCALE)
    lower = interval_lower(q, target, x, ball)
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


def test_ramp_grows_linearly_and_is_over_at_its_fraction() -> None:
    q, (target, x) = model("gaussian"), data("gaussian")
    trained = defense("robust_likelihood", robust(clean_weight=0.0, ramp_fraction=0.4))
    assert trained.ramp_fraction == 0.4
    ball = ThreatModel("linf", 0.1, "feature_std").ball(SCALE)
    for progress, factor in ((0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (0.9, 1.0)):
        objective = trained.objective(q, target, x, progress, generator("a"))
        expected = interval_lower(q, target, x, ball.scaled(factor))
        assert torch.allclose(objective, expected, atol=1e-6)


@pytest.mark.parametrize("kind", BALLS)
@pytest.mark.parametrize("of", ["gaussian", "map"])
def test_x_outside_the_clip_range_is_an_error(kind: str, of: str) -> None:
    q, (target, x) = model(of), data(of)
    x = x.clamp(0, 1)
    x[2, 1] = 1.5
    trained = defense(kind, SPECS[kind][1], (0.0, 1.0))
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


def test_robust_likelihood_refuses_another_model() -> None:
    ball = Ball("linf", torch.ones(1))
    with pytest.raises(TypeError, match="got Linear; allowed: Estimator, Predictive"):
        interval_lower(nn.Linear(1, 1), torch.zeros(1), torch.zeros(1, 1), ball)
