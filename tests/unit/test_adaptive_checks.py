"""Adaptive checks: what they run, and that masked gradients are noticed."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from certibayes.attacks.first_targets import first_targets
from certibayes.config.adaptive import checks_of
from certibayes.config.attacks import CHECKS, AnyAttack
from certibayes.metrics.gain_ratio import gain_ratio
from certibayes.registry import load
from certibayes.seeding import generator
from certibayes.threat import Ball

BALL = {"norm": "l2", "unit": "raw", "epsilons": [0.5]}
GRADIENT_KINDS = ("fgsm", "pgd", "pgd_adam", "gloeckler2023_l2pgd")


def attack(kind: str = "pgd", **values: object):
    stated = {"kind": kind, "objective": "forward_kl", "perturbation": BALL, **values}
    return TypeAdapter(AnyAttack).validate_python(stated)


class Smooth(nn.Module):
    """N(3 tanh(x), I) in two dimensions."""

    def forward(self, x: Tensor) -> MultivariateNormal:
        return MultivariateNormal(3 * torch.tanh(self.seen(x)), torch.eye(2).to(x))

    def seen(self, x: Tensor) -> Tensor:
        return x


class Rounded(Smooth):
    """The same at x rounded to 0.05: its gradient is zero everywhere."""

    def seen(self, x: Tensor) -> Tensor:
        return (x / 0.05).round() * 0.05


def ratios(model: nn.Module) -> dict[str, float]:
    """Return the ratio of every check of PGD from a single start and a single noise point."""
    spec = attack(steps=20, restarts=1, points=1)
    x = torch.rand(24, 2, generator=generator("x"), dtype=torch.float64) - 0.5
    ball, objective = Ball("l2", torch.full((2,), 0.5)), load("objective", "forward_kl")()
    clean = model(x)
    prepared = objective.prepare(clean, None, 256, generator("report"))
    main = load("attack", "pgd")(spec).attack(model, x, None, objective, ball, 1)
    found = {}
    for name, check in checks_of(spec, defended=False).items():
        points = load("attack", check.kind)(check).attack(model, x, None, objective, ball, 2).x
        found[name] = gain_ratio(prepared(clean), prepared(model(main.x)), prepared(model(points)))
    return {name: gain.ratio for name, gain in found.items()}


def test_masked_gradients_are_noticed():
    found = ratios(Rounded())
    assert found["gradient_free"] > 1.1
    assert found["more_restarts"] > 1.1


def test_honest_gradients_are_not_suspected():
    assert all(ratio < 1.1 for ratio in ratios(Smooth()).values())


@pytest.mark.parametrize("kind", GRADIENT_KINDS)
def test_gradient_attacks_are_checked_by_default(kind):
    spec = attack(kind)
    assert set(checks_of(spec, defended=True)) == set(CHECKS)
    assert set(checks_of(spec, defended=False)) == set(CHECKS) - {"transfer"}
    assert checks_of(attack(kind, adaptive=None), defended=True) == {}
    for check in checks_of(spec, defended=True).values():
        assert check.adaptive_checks is None
        assert check.perturbation == spec.perturbation


@pytest.mark.parametrize("kind", ["noise", "random_search", "spectral"])
def test_other_attacks_have_no_checks(kind):
    assert checks_of(attack(kind), defended=True) == {}
    with pytest.raises(ValidationError, match="adaptive"):
        attack(kind, adaptive=None)


def test_effort_is_multiplied():
    spec = attack(steps=7, restarts=2, gradient_draws=3, selection_draws=5, adaptive={"factor": 4})
    checks = checks_of(spec, defended=True)
    assert (checks["more_steps"].steps, checks["more_steps"].restarts) == (28, 2)
    assert (checks["more_restarts"].steps, checks["more_restarts"].restarts) == (7, 8)
    draws = checks["more_draws"]
    assert (draws.gradient_draws, draws.selection_draws) == (12, 20)
    assert checks["transfer"] == attack(
        steps=7, restarts=2, gradient_draws=3, selection_draws=5, adaptive=None
    )
    search = checks["gradient_free"]
    assert search.kind == "random_search"
    assert search.steps * search.proposals >= 50


def test_the_published_attack_is_strengthened_in_the_words_of_pgd():
    checks = checks_of(attack("gloeckler2023_l2pgd", mask=[0]), defended=True)
    more = checks["more_steps"]
    assert (more.kind, more.steps, more.gradient_draws, more.mask) == ("pgd", 400, 5, (0,))
    assert more.step_size == more.final_step == 0.1
    assert checks["transfer"].kind == "gloeckler2023_l2pgd"


def test_objectives_without_draws_need_no_more_of_them():
    assert "more_draws" not in checks_of(attack(objective="nll"), defended=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"checks": []}, "allowed: each name once, or adaptive: null"),
        ({"checks": ["transfer", "transfer"]}, "each name once"),
        ({"checks": ["more_luck"]}, "more_steps"),
        ({"report_draws": 255}, "greater than or equal to 256"),
        ({"factor": 1}, "greater than or equal to 2"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValidationError, match=message):
        attack(adaptive=values)


def test_first_targets_are_those_of_all():
    """Towards another posterior: the first three aim where they aim among all twelve."""
    objective = load("objective", "toward_posterior")()
    model = Smooth()
    x = torch.randn(12, 2, generator=generator("x"), dtype=torch.float64)
    everything = (objective, model, x, x, x)
    whole = objective.aim(model, x, x, x, generator("aim"))
    first = first_targets(*everything, generator("aim"), 3)
    assert torch.equal(first.mean, whole.mean[:3])


def test_first_targets_of_values_are_a_prefix():
    objective = load("objective", "expected_loss")()
    labels = torch.arange(6)
    x = torch.zeros(6, 2)
    found = first_targets(objective, Smooth(), x, labels, labels, generator("aim"), 2)
    assert found.tolist() == [0, 1]
    none = load("objective", "forward_kl")()
    assert first_targets(none, Smooth(), x, x, x, generator("aim"), 2) is None
