"""Every certificate: no attack beats it, radius 0 is exact, it never claims more than it knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from estimator_zoo import trained_here
from torch import nn
from torch.distributions import constraints

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.certificates import posterior_draws
from certibayes.certificates.base import UnsoundBoundError, Verdict
from certibayes.certificates.monotone import require_monotone
from certibayes.certificates.radius import least_over_larger
from certibayes.config.certificates import Decision, PosteriorShift
from certibayes.config.models import MAF, MLP, NSF, Gaussian, Mixture
from certibayes.seeding import generator
from certibayes.threat import Ball

NORMS = ("l2", "linf")
CLIP = (-3.0, 3.0)
X_DIM, BATCH, DRAWS = 4, 6, 64
GRID = {"norm": "linf", "unit": "raw", "epsilons": (0.1,)}


@dataclass(frozen=True)
class Case:
    certificate: Any
    model: nn.Module
    x: torch.Tensor
    target: torch.Tensor | None
    radius: float

    def prepare(self):
        return self.certificate.prepare(self.model, self.x, self.target, seed=1)


def weights_of(network, source, spread):
    """Random weights of a size at which bounds and attacks are neither trivial nor vacuous."""
    return {
        name: value.double() + spread * torch.randn(value.shape, generator=source).double()
        for name, value in network.named_parameters()
    }


def observations(name):
    return torch.randn(BATCH, X_DIM, generator=generator(name), dtype=torch.float64).clamp(-2, 2)


def posterior_case(kind, bounds="interval"):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        spec = {
            "gaussian": Gaussian(hidden=(16,)),
            "mixture": Mixture(hidden=(16,), components=3),
            "maf": MAF(transforms=2, hidden=16, blocks=1),
            "nsf": NSF(transforms=2, hidden=16, blocks=1, bins=4),
        }
        kinds = ["gaussian"] * 3 if kind == "ensemble" else [kind]
        members = [
            registry.load("estimator", one)(spec[one], 3, X_DIM, constraints.positive)
            for one in kinds
        ]
        whole = members[0] if len(members) == 1 else registry.load("estimator", kind)(members)
        model = whole.double().eval()
    model.load_state_dict(weights_of(model, generator("weights", kind), 0.05), strict=False)
    shift = PosteriorShift(
        perturbation=GRID, draws=300, comparison_draws=DRAWS, tau=0.45, bounds=bounds
    )
    certificate = registry.load("certificate", "posterior_shift")(shift)
    return Case(certificate, model, observations(kind), None, 0.03)


def decision_case(bounds="interval"):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = registry.load("network", "mlp")(MLP(hidden=(16,)), X_DIM, 3).double()
    source = generator("weights", "decision")
    samples = [weights_of(network, source, 0.05) for _ in range(4)]
    stacked = {name: torch.stack([s[name] for s in samples]) * 3 for name in samples[0]}
    model = Predictive(network, stacked).eval()
    x = observations("decision")
    target = model(x).probs.argmax(-1)
    target[-1] = (target[-1] + 1) % 3
    certificate = registry.load("certificate", "decision")(
        Decision(perturbation=GRID, bounds=bounds)
    )
    return Case(certificate, model, x, target, 0.05)


CASES = {
    "posterior_shift": {
        f"{kind}-{bounds}": (lambda kind=kind, bounds=bounds: posterior_case(kind, bounds))
        for kind in ("gaussian", "mixture", "maf", "nsf", "ensemble")
        for bounds in ("interval", "crown_ibp", "crown", "closed_form")
        if bounds != "closed_form" or kind in registry.names("head_shift_bounds")
    },
    "decision": {
        f"mlp-{bounds}": (lambda bounds=bounds: decision_case(bounds))
        for bounds in ("interval", "crown_ibp", "crown")
    },
}
BUILDERS = {
    f"{name}-{model}": build for name, models in CASES.items() for model, build in models.items()
}


LINEAR_SPLINES = ("posterior_shift-nsf-crown", "posterior_shift-nsf-crown_ibp")
"""Dozens of backward passes per draw: with the slow tests."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.slow] * (name in LINEAR_SPLINES)) for name in BUILDERS
    ]
)
def case(request):
    return BUILDERS[request.param]()


def ball_of(case, norm, factor=1.0):
    radius = torch.tensor([1.0, 0.5, 2.0, 0.0], dtype=torch.float64) * case.radius * factor
    return Ball(norm, radius, CLIP)


def reached(prepared, attacked):
    """What the certificate bounds, from its definition, at attacked x (repeats * batch, x_dim)."""
    repeats = len(attacked) // BATCH
    if hasattr(prepared, "theta"):
        theta = prepared.theta[:DRAWS].repeat(1, repeats, 1)
        log_prob = prepared.log_prob[:DRAWS].repeat(1, repeats)
        ratio = (prepared.model(attacked).log_prob(theta) - log_prob).exp()
        return (1 - ratio).clamp(min=0).mean(0)
    target = prepared.target.repeat(repeats).unsqueeze(-1)
    probs = prepared.model(attacked).probs
    return probs.scatter(-1, target, 0.0).amax(-1) - probs.gather(-1, target).squeeze(-1)


def bound_of(result):
    return getattr(result, "comparison", result.upper)


def gradient_attack(prepared, ball, starts=8, steps=30):
    """Projected gradient ascent on the certified quantity itself, on the same draws."""
    x = prepared.x.repeat(starts, 1)
    attacked = ball.sample(x, generator("pgd"))
    best, best_value = x, reached(prepared, x)
    for step in range(steps):
        attacked = attacked.detach().requires_grad_()
        value = reached(prepared, attacked)
        (gradient,) = torch.autograd.grad(value.sum(), attacked)
        better = value > best_value
        best = torch.where(better.unsqueeze(-1), attacked, best).detach()
        best_value = torch.maximum(value, best_value).detach()
        move = 0.4 * 0.9**step * ball.steepest(gradient)
        attacked = ball.project(x, attacked.detach() + move)
    values = best_value.unflatten(0, (starts, BATCH))
    return best.unflatten(0, (starts, BATCH))[values.argmax(0), torch.arange(BATCH)]


def test_every_registered_certificate_has_a_case():
    elsewhere = {"log_density", "coverage", "posterior_decision", "probabilistic_safety"}
    assert set(CASES) | elsewhere == set(registry.names("certificate"))
    kinds = {name.partition("-")[0] for name in CASES["posterior_shift"]}
    assert kinds == set(trained_here("estimator_bounds"))
    assert kinds == set(trained_here("log_density_graph"))


@torch.no_grad()
@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("norm", NORMS)
def test_random_points_never_beat_it(case, norm, factor):
    prepared, ball = case.prepare(), ball_of(case, norm, factor)
    result = case.certificate.certify(prepared, ball)
    x = case.x.repeat(100, 1)
    source = generator("points", norm)
    bound = bound_of(result).repeat(100) + 1e-9
    for repeat in range(20):
        points = ball.sample(x, source)
        if repeat % 2:
            points = ball.project(x, x + 10 * (points - x))
        assert ball.contains(x, points, 1e-9).all()
        assert (reached(prepared, points) <= bound).all()


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("norm", NORMS)
def test_gradient_attacks_never_beat_it(case, norm, factor):
    prepared, ball = case.prepare(), ball_of(case, norm, factor)
    result = case.certificate.certify(prepared, ball)
    attacked = gradient_attack(prepared, ball)
    confronted = case.certificate.refute(prepared, result, attacked, ball)
    assert (confronted.lower <= bound_of(result) + 1e-9).all()
    torch.testing.assert_close(confronted.lower, reached(prepared, attacked).detach())
    assert not (result.certified & confronted.refuted).any()
    assert confronted.upper is result.upper


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", trained_here("estimator_bounds"))
def test_even_an_adversary_per_theta_never_beats_the_posterior_shift(kind, norm):
    """The bound lets every theta have its own x'; the factor shows an attack at work."""
    case = posterior_case(kind)
    prepared, ball = case.prepare(), ball_of(case, norm, 0.2)
    bound = case.certificate.certify(prepared, ball).comparison
    theta = prepared.theta[:DRAWS].flatten(0, 1).unsqueeze(0)
    log_prob = prepared.log_prob[:DRAWS].flatten()
    x = case.x.repeat(DRAWS, 1)
    attacked, worst = x, torch.zeros_like(log_prob)
    for step in range(40):
        attacked = attacked.detach().requires_grad_()
        value = case.model(attacked).log_prob(theta).squeeze(0)
        (gradient,) = torch.autograd.grad(-value.sum(), attacked)
        worst = torch.maximum(worst, 1 - (value.detach() - log_prob).exp())
        attacked = ball.project(x, attacked.detach() + 0.9**step * ball.steepest(gradient))
    reached_mean = worst.unflatten(0, (DRAWS, BATCH)).mean(0)
    assert (reached_mean <= bound + 1e-9).all()
    assert (reached_mean >= (0.01 if kind == "nsf" else 0.02) * bound).all()


@torch.no_grad()
@pytest.mark.parametrize("norm", NORMS)
def test_radius_zero_is_exact(case, norm):
    prepared, ball = case.prepare(), ball_of(case, norm, 0.0)
    result = case.certificate.certify(prepared, ball)
    torch.testing.assert_close(bound_of(result), reached(prepared, case.x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_accuracy_is_certified_below_attacked_below_clean(norm):
    case = decision_case()
    prepared = case.prepare()
    clean = case.model(case.x).probs.argmax(-1) == case.target
    assert not clean.all()
    for factor in (0.0, 0.2, 1.0, 3.0):
        ball = ball_of(case, norm, factor)
        result = case.certificate.certify(prepared, ball)
        attacked = gradient_attack(prepared, ball)
        right = case.model(attacked).probs.argmax(-1) == case.target
        assert (result.certified <= right).all()
        assert (right <= clean).all()
        confronted = case.certificate.refute(prepared, result, attacked, ball)
        assert torch.equal(confronted.refuted, ~right)
        if factor == 0.0:
            assert torch.equal(result.certified, clean)


@pytest.mark.parametrize("norm", NORMS)
def test_bounds_grow_with_the_radius(case, norm):
    """Those by intervals do; the others, once the least over larger radii is taken."""
    prepared = case.prepare()
    results = [
        case.certificate.certify(prepared, ball_of(case, norm, factor))
        for factor in (0.0, 0.1, 0.5, 1.0, 2.0, 10.0)
    ]
    if case.certificate.spec.bounds_grow:
        require_monotone("bound", [bound_of(result) for result in results])
    upper = torch.stack([result.upper for result in results])
    require_monotone("bound made monotone", list(least_over_larger(upper)))
    with pytest.raises(UnsoundBoundError, match="radius number 0"):
        require_monotone("bound", [bound_of(results[-1]), bound_of(results[0])])


def test_verdicts_without_an_attack(case):
    prepared = case.prepare()
    tiny = case.certificate.certify(prepared, ball_of(case, "linf", 1e-3))
    assert tiny.certified.any()
    vacuous = case.certificate.certify(prepared, ball_of(case, "linf", 1e3))
    assert set(vacuous.verdict) == {Verdict.UNKNOWN}
    assert set(vacuous.verdict) == {"unknown"}
    for result in (tiny, vacuous):
        assert not result.refuted.any()
        assert len(result.verdict) == BATCH
        assert result.upper.dtype == torch.float64
        assert (result.lower == -torch.inf).all()
        assert 0 < result.confidence <= 1
        assert result.seconds > 0


def test_confidence_is_that_of_the_specification():
    result = decision_case()
    assert result.certificate.certify(result.prepare(), ball_of(result, "l2")).confidence == 1.0
    shift = posterior_case("gaussian")
    assert shift.certificate.certify(shift.prepare(), ball_of(shift, "l2")).confidence == 0.999
    closed = posterior_case("gaussian", "closed_form")
    exact = closed.certificate.certify(closed.prepare(), ball_of(closed, "l2"))
    assert exact.confidence == 1.0
    assert exact.deterministic


def test_an_x_outside_the_clip_range_is_an_error(case):
    outside = replace(case, x=case.x + torch.tensor([4.0, 0.0, 0.0, 0.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="outside the clip range"):
        outside.certificate.certify(outside.prepare(), ball_of(outside, "linf"))


def test_an_attack_outside_the_ball_is_an_error(case):
    prepared, ball = case.prepare(), ball_of(case, "linf")
    result = case.certificate.certify(prepared, ball)
    with pytest.raises(ValueError, match="outside the ball"):
        case.certificate.refute(prepared, result, case.x + 1.01 * ball.radius, ball)
    with pytest.raises(ValueError, match="float64"):
        case.certificate.refute(prepared, result, case.x.float(), ball)


def test_an_attack_that_beats_the_bound_is_reported(case):
    prepared, ball = case.prepare(), ball_of(case, "linf")
    result = case.certificate.certify(prepared, ball)
    lie = bound_of(result) * 0 - 1
    result = replace(result, upper=lie, **({"comparison": lie} if case.target is None else {}))
    attacked = gradient_attack(prepared, ball)
    with pytest.raises(UnsoundBoundError):
        case.certificate.refute(prepared, result, attacked, ball)


def test_only_float64_finite_and_evaluated(case):
    with pytest.raises(ValueError, match=r"x: got torch\.float32"):
        case.certificate.prepare(case.model, case.x.float(), case.target, seed=1)
    with pytest.raises(ValueError, match="NaN"):
        case.certificate.prepare(case.model, case.x * torch.nan, case.target, seed=1)
    with pytest.raises(ValueError, match="training"):
        case.certificate.prepare(case.model.train(), case.x, case.target, seed=1)
    with pytest.raises(ValueError, match=r"model\..*got torch\.float32"):
        case.certificate.prepare(case.model.eval().float(), case.x, case.target, seed=1)
    with pytest.raises(ValueError, match="model: got Linear"):
        case.certificate.prepare(nn.Linear(4, 2).double(), case.x, case.target, seed=1)


@pytest.mark.parametrize("kind", trained_here("estimator_bounds"))
def test_draws_and_bounds_do_not_depend_on_chunks(kind, monkeypatch):
    case = posterior_case(kind)
    ball = ball_of(case, "linf")
    whole, part = case.prepare(), replace(case, x=case.x[:2]).prepare()
    torch.testing.assert_close(part.theta, whole.theta[:, :2])
    assert not torch.equal(whole.theta[:, 0], whole.theta[:, 1])
    other = case.certificate.prepare(case.model, case.x, None, seed=2)
    assert not torch.equal(other.theta, whole.theta)
    result = case.certificate.certify(whole, ball)
    monkeypatch.setattr(posterior_draws, "ROWS_PER_BLOCK", 40)
    torch.testing.assert_close(case.certificate.certify(whole, ball).upper, result.upper)


@pytest.mark.parametrize("kind", trained_here("estimator_bounds"))
def test_estimates_are_labeled_and_never_certify(kind):
    case = posterior_case(kind)
    result = case.certificate.certify(case.prepare(), ball_of(case, "linf"))
    assert (result.kl_estimate.mean > 0).all()
    assert (result.kl_estimate.standard_error > 0).all()
    assert (result.kl_bound is None) == (kind not in registry.names("forward_kl_bounds"))
    assert torch.equal(result.certified, result.upper <= case.certificate.spec.tau)


@pytest.mark.parametrize("labels", [None, torch.zeros(BATCH), torch.full((BATCH,), 3)])
def test_labels_are_checked(labels):
    case = decision_case()
    with pytest.raises(ValueError, match="target: got"):
        case.certificate.prepare(case.model, case.x, labels, seed=1)


def test_a_subclass_has_no_bound_rule_of_its_parent():
    case = posterior_case("gaussian")
    changed = type("Changed", (type(case.model),), {})
    case.model.__class__ = changed
    with pytest.raises(ValueError, match="estimator: got"):
        case.certificate.certify(case.prepare(), ball_of(case, "linf"))
