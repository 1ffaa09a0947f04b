"""More than a million perturbed points, none of which beats a certificate; the sum is stated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from estimator_zoo import BOUNDED, ENSEMBLES, POSITIVE, estimator_of, trained_here
from test_certificates import decision_case
from torch import Tensor

from certibayes import registry
from certibayes.bounds.ball import BallAround
from certibayes.bounds.weight_intervals import rivals_over_weights
from certibayes.certificates.coverage import Coverage
from certibayes.certificates.log_density import LogDensity
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.config.certificates import Coverage as CoverageSpec
from certibayes.config.certificates import LogDensity as LogDensitySpec
from certibayes.config.certificates import PosteriorDecision as PosteriorDecisionSpec
from certibayes.config.certificates import PosteriorShift as ShiftSpec
from certibayes.seeding import generator
from certibayes.threat import Ball

SIZES = {
    "gaussian": {"hidden": (10,)},
    "mixture": {"hidden": (10,), "components": 3},
    "maf": {"transforms": 2, "hidden": 10},
    "nsf": {"transforms": 1, "hidden": 8, "bins": 4},
    "ensemble": {"hidden": (8,)},
    "ensemble-mixture": {"hidden": (8,), "components": 2},
    "ensemble-maf": {"transforms": 1, "hidden": 8},
    "ensemble-nsf": {"transforms": 1, "hidden": 6, "bins": 3},
}
ESTIMATORS = (*BOUNDED, *ENSEMBLES)
METHODS = ("interval", "crown_ibp", "crown")
BALLS = [(norm, radius) for norm in ("l2", "linf") for radius in (0.02, 0.2)]
GRID = {"norm": "linf", "unit": "raw", "epsilons": (0.1,)}
X_DIM, DRAWS, CHUNK, WEIGHTS = 4, 16, 600, 6


@dataclass(frozen=True)
class Plan:
    """Points around every observation: random ones, on the border, and on the way of an ascent."""

    random: int
    border: int
    starts: int
    steps: int = 10

    @property
    def points(self) -> int:
        return self.random + self.border + self.starts * self.steps


@dataclass(frozen=True)
class Bounded:
    """quantity(x') <= most; `ascended` is the same, or a smooth stand-in; rows in blocks of x."""

    quantity: Callable[[Tensor], Tensor]
    most: Tensor
    ascended: Callable[[Tensor], Tensor]


FEW, MANY = Plan(900, 900, 20), Plan(2_000, 2_000, 100)
PLANS = {
    "log_density": MANY,
    "coverage": FEW,
    "posterior_shift": FEW,
    "decision": MANY,
    "posterior_decision": MANY,
    "probabilistic_safety": MANY,
}
OF_CLASSIFIERS = ("decision", "posterior_decision", "probabilistic_safety")
BATCHES = dict.fromkeys(PLANS, 3) | dict.fromkeys(OF_CLASSIFIERS, 6)
BOUNDED_QUANTITIES = dict.fromkeys(PLANS, 1) | {"log_density": 2}
MODELS = {name: ("mlp",) if name in OF_CLASSIFIERS else ESTIMATORS for name in PLANS}
CASES = [(name, model) for name in PLANS for model in MODELS[name]]


def stated(name: str) -> int:
    """Points that meet the bounds of one model, over all balls."""
    return PLANS[name].points * BATCHES[name] * BOUNDED_QUANTITIES[name] * len(BALLS)


def estimator_case(kind, name):
    sizes = SIZES.get(kind, SIZES[base(kind)])
    model = estimator_of(kind, support=POSITIVE, gain=0.5, **sizes)
    noise = torch.randn(BATCHES[name], X_DIM, generator=generator("x", kind, name)).double()
    x = model.x_location + noise
    return model.eval().requires_grad_(False), x, model(x).draw(1, generator("theta", kind))[0]


def base(kind):
    return kind.partition("-")[0]


def least(ends):
    return torch.stack(list(ends)).amin(0)


def log_density(kind, ball):
    model, x, theta = estimator_case(kind, "log_density")

    def value(points):
        return model(points).log_prob(theta.repeat(len(points) // len(x), 1))

    results = []
    for method in METHODS:
        certificate = LogDensity(LogDensitySpec(perturbation=GRID, bounds=method))
        prepared = certificate.prepare(model, x, theta, seed=0)
        results.append(certificate.certify(prepared, ball))
    yield x, Bounded(value, least(result.most for result in results), value)
    lowest = least(-result.least for result in results)
    yield x, Bounded(lambda points: -value(points), lowest, lambda points: -value(points))


def coverage(kind, ball):
    model, x, theta = estimator_case(kind, "coverage")
    found, few = [], {"draws": DRAWS, "comparison_draws": DRAWS}
    for method in METHODS:
        certificate = Coverage(CoverageSpec(perturbation=GRID, bounds=method, **few))
        prepared = certificate.prepare(model, x, theta, seed=0)
        found.append(certificate.certify(prepared, ball).comparison)
    draws = prepared.draws.theta

    def margins(points):
        repeats = len(points) // len(x)
        posterior = model(points)
        at_truth = posterior.log_prob(theta.repeat(repeats, 1))
        return posterior.log_prob(draws.repeat(1, repeats, 1)) - at_truth

    yield (
        x,
        Bounded(
            lambda points: (margins(points) > 0).double().mean(0),
            least(found),
            lambda points: torch.sigmoid(20 * margins(points)).mean(0),
        ),
    )


def posterior_shift(kind, ball):
    model, x, _ = estimator_case(kind, "posterior_shift")
    found, few = [], {"draws": DRAWS, "comparison_draws": DRAWS}
    for method in METHODS:
        certificate = PosteriorShift(ShiftSpec(perturbation=GRID, bounds=method, **few))
        prepared = certificate.prepare(model, x, None, seed=0)
        found.append(certificate.certify(prepared, ball).comparison)

    def value(points):
        repeats = len(points) // len(x)
        log_prob = model(points).log_prob(prepared.theta.repeat(1, repeats, 1))
        ratio = (log_prob - prepared.log_prob.repeat(1, repeats)).exp()
        return (1 - ratio).clamp(min=0).mean(0)

    yield x, Bounded(value, least(found), value)


def decision(_, ball):
    case = decision_case()
    prepared = case.prepare()

    def value(points):
        target = prepared.target.repeat(len(points) // len(case.x)).unsqueeze(-1)
        probs = case.model(points).probs
        return probs.scatter(-1, target, 0.0).amax(-1) - probs.gather(-1, target).squeeze(-1)

    yield case.x, Bounded(value, case.certificate.certify(prepared, ball).upper, value)


def posterior_decision(_, ball):
    """The deterministic part of the statement: on the drawn weights."""
    case = decision_case()
    spec = PosteriorDecisionSpec(perturbation=GRID, bounds="crown_ibp", draws=case.model.samples)
    certificate = registry.load("certificate", "posterior_decision")(spec)
    prepared = certificate.prepare(case.model, case.x, case.target, seed=0)
    labels = case.target.unsqueeze(-1)

    def value(points):
        target = labels.repeat(len(points) // len(case.x), 1)
        probs = case.model(points).probs
        return probs.scatter(-1, target, 0.0).amax(-1) - probs.gather(-1, target).squeeze(-1)

    yield case.x, Bounded(value, certificate.certify(prepared, ball).mean, value)


def within(source, value, radius):
    return value + radius * (2 * torch.rand(value.shape, generator=source).double() - 1)


def at_corner(source, value, radius):
    return value + radius * (2 * torch.randint(2, value.shape, generator=source) - 1)


def probabilistic_safety(_, ball):
    """What makes a box of weights safe: rivals' logits less the label's, over the whole box."""
    case = decision_case()
    center, radius = deepcopy(case.model.network), deepcopy(case.model.network)
    center.load_state_dict({name: v[0] for name, v in case.model.weight_samples.items()})
    radius.load_state_dict({name: 0.02 * v.abs() for name, v in center.state_dict().items()})
    source, of_center = generator("weights", "safety"), list(center.state_dict().items())
    drawn = [
        {name: moved(value, radius.state_dict()[name]) for name, value in of_center}
        for moved in (partial(within, source), partial(at_corner, source)) * (WEIGHTS // 2)
    ]

    def value(points):
        label = case.target.repeat(len(points) // len(case.x)).unsqueeze(-1)
        margins = []
        for weights in drawn:
            logits = torch.func.functional_call(center, weights, (points,))
            rival = logits.scatter(-1, label, -torch.inf).amax(-1)
            margins.append(rival - logits.gather(-1, label).squeeze(-1))
        return torch.stack(margins).amax(0)

    with torch.no_grad():
        region = BallAround(case.x, ball).region()
        most = rivals_over_weights(center, radius, case.target, region)
    yield case.x, Bounded(value, most, value)


BUILDERS = {
    "log_density": log_density,
    "coverage": coverage,
    "posterior_shift": posterior_shift,
    "decision": decision,
    "posterior_decision": posterior_decision,
    "probabilistic_safety": probabilistic_safety,
}


def points_of(
    x: Tensor, ball: Ball, plan: Plan, ascended: Callable[[Tensor], Tensor]
) -> Iterator[Tensor]:
    """Yield the plan's points, blocks of x; border points lie on faces, edges and corners alike."""
    source = generator("points", ball.norm)
    for number, stretch in ((plan.random, 1.0), (plan.border, 2.0)):
        center = x.repeat(number, 1)
        inside = ball.sample(center, source)
        yield ball.project(center, center + stretch * (inside - center))
    center = x.repeat(plan.starts, 1)
    attacked = ball.sample(center, source)
    for step in range(plan.steps):
        attacked = attacked.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(ascended(attacked).sum(), attacked)
        attacked = attacked.detach() + 0.8**step * ball.steepest(gradient)
        attacked = ball.project(center, attacked)
        yield attacked


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model"), CASES)
def test_none_of_the_points_beats_the_bound(name, model):
    visited = 0
    for norm, radius in BALLS:
        ball = Ball(norm, radius * torch.tensor([1.0, 0.5, 2.0, 0.0]).double())
        for x, bounded in BUILDERS[name](model, ball):
            largest = torch.full((len(x),), -math.inf, dtype=torch.float64)
            for points in points_of(x, ball, PLANS[name], bounded.ascended):
                for rows in points.split(CHUNK * len(x)):
                    value = bounded.quantity(rows).view(-1, len(x))
                    assert not value.isnan().any()
                    largest = torch.maximum(largest, value.amax(0))
                visited += len(points)
            assert bounded.most.isfinite().all()
            assert (largest <= bounded.most + 1e-8 * (1 + bounded.most.abs())).all()
            assert (largest > bounded.quantity(x)).any() or name == "coverage"
    assert visited == stated(name)


def test_the_points_are_more_than_a_million_over_all_certificates():
    """1,200,000 of log_density, 240,000 of coverage and posterior_shift, 120,000 each of others."""
    total = {name: stated(name) * len(MODELS[name]) for name in PLANS}
    assert set(total) == set(registry.names("certificate"))
    assert {base(kind) for kind in ESTIMATORS} == set(trained_here("estimator_bounds"))
    assert min(total.values()) >= 100_000
    assert sum(total.values()) == 2_040_000 >= 1_000_000
