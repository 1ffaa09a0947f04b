"""Closed forms of the shift, in several dimensions: no attack reaches more, on draws of its own."""

from dataclasses import replace

import pytest
import torch
from estimator_zoo import POSITIVE, estimator_of

from certibayes import registry
from certibayes.certificates.base import UnsoundBoundError
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.config.certificates import PosteriorShift as Spec
from certibayes.metrics.total_variation import total_variation_terms
from certibayes.seeding import generator
from certibayes.threat import Ball

MODELS = {
    "gaussian": {"hidden": (10,)},
    "gaussian-diagonal": {"hidden": (10,), "squash": True},
    "mixture": {"hidden": (10,), "components": 3},
    "mixture-full": {"hidden": (10,), "components": 3},
    "ensemble": {"hidden": (10,)},
    "ensemble-mixture": {"hidden": (10,), "components": 2},
}
EACH = pytest.mark.parametrize("name", MODELS)
NORMS = pytest.mark.parametrize("norm", ["l2", "linf"])
BATCH, X_DIM, SELECTING, REPORTING = 2, 4, 300, 10_000


def case(name):
    model = estimator_of(name, support=POSITIVE, gain=0.5, **MODELS[name]).eval()
    x = model.x_location + torch.randn(BATCH, X_DIM, generator=generator("x", name)).double()
    return model.requires_grad_(False), x


def ball_of(norm, factor):
    return Ball(norm, factor * torch.tensor([1.0, 0.5, 2.0, 0.0]).double())


def terms_of(model, theta, log_prob, points):
    return total_variation_terms(log_prob, model(points).log_prob(theta))


def strongest(model, x, ball, starts=3, steps=15):
    """Projected gradient ascent of the total variation; the best by the draws that select."""
    theta = model(x).draw(SELECTING, generator("selecting")).repeat(1, starts, 1)
    center = x.repeat(starts, 1)
    log_prob = model(center).log_prob(theta)
    attacked = ball.sample(center, generator("starts"))
    best, most = attacked, torch.full((len(center),), -1.0, dtype=torch.float64)
    for step in range(steps):
        attacked = attacked.detach().requires_grad_()
        value = terms_of(model, theta, log_prob, attacked).mean(0)
        (gradient,) = torch.autograd.grad(value.sum(), attacked)
        better = value > most
        best = torch.where(better.unsqueeze(-1), attacked, best).detach()
        most = torch.maximum(most, value.detach())
        attacked = ball.project(center, attacked + 0.85**step * ball.steepest(gradient))
    winner = most.view(starts, BATCH).argmax(0)
    return best.view(starts, BATCH, X_DIM)[winner, torch.arange(BATCH)]


def rim(x, ball, n=6):
    source = generator("rim")
    return [ball.project(x, x + 20 * (ball.sample(x, source) - x)) for _ in range(n)]


def test_every_closed_form_is_attacked():
    kinds = {name.partition("-")[0] for name in MODELS}
    assert kinds == set(registry.names("head_shift_bounds"))


@EACH
@NORMS
@pytest.mark.parametrize("factor", [0.02, 0.2])
def test_no_attack_reaches_more_than_the_closed_form(name, norm, factor):
    """By Monte Carlo on draws that selected nothing, less five standard errors."""
    (model, x), ball = case(name), ball_of(norm, factor)
    bound = registry.load("head_shift_bounds", model.kind)(model, x, ball)
    theta = model(x).draw(REPORTING, generator("reporting"))
    log_prob = model(x).log_prob(theta)
    points = [strongest(model, x, ball), *rim(x, ball)]
    largest = torch.zeros(BATCH, dtype=torch.float64)
    for attacked in points:
        terms = terms_of(model, theta, log_prob, attacked)
        ratio = log_prob - model(attacked).log_prob(theta)
        for found, most in ((terms, bound.total_variation), (ratio, bound.forward_kl)):
            assert (found.mean(0) - 5 * found.std(0) / REPORTING**0.5 <= most + 1e-9).all()
        largest = torch.maximum(largest, terms.mean(0))
    assert (largest > 0.05 * bound.total_variation).all(), "the attack is at work"


@EACH
def test_a_bound_below_what_an_attack_reaches_is_caught(name):
    (model, x), ball = case(name), ball_of("linf", 0.5)
    grid = {"norm": "linf", "unit": "raw", "epsilons": (0.5,)}
    spec = Spec(perturbation=grid, draws=2_000, comparison_draws=2_000, bounds="closed_form")
    certificate = PosteriorShift(spec)
    prepared = certificate.prepare(model, x, None, seed=1)
    result = certificate.certify(prepared, ball)
    assert result.deterministic
    attacked = strongest(model, x, ball)
    reached = certificate.refute(prepared, result, attacked, ball).lower
    assert (reached <= result.upper + 0.05).all()
    for share in (0.0, 0.3):
        lie = replace(result, upper=share * reached)
        with pytest.raises(UnsoundBoundError, match="reaches at least"):
            certificate.refute(prepared, lie, attacked, ball)
