"""PGD against the exact worst case of posteriors that are known in closed form."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.distributions import Independent, Normal

from certibayes.attacks.base import AttackResult
from certibayes.config import attacks as specs
from certibayes.config.tasks import BUILT_IN
from certibayes.config.threat import PerturbationGrid
from certibayes.metrics.total_variation import total_variation_estimate
from certibayes.registry import load
from certibayes.seeding import generator
from certibayes.threat import Ball, Scale, ThreatModel

KINDS = ("gaussian_linear", "gaussian_linear_sbibm")
NORMS = ("l2", "linf")
EPSILON = 0.1


def setting(kind: str, norm: str, unit: str = "feature_std") -> tuple[object, Tensor, Ball]:
    task = load("task", kind)(BUILT_IN[kind]())
    draws = generator("oracle", kind)
    x = task.simulate(task.sample_prior(2_000, draws), draws)
    return task, x[:20], ThreatModel(norm, EPSILON, unit).ball(Scale.of(x))


def attack(task: object, x: Tensor, ball: Ball, objective: str, kind: str = "pgd") -> AttackResult:
    stated = {
        "objective": objective,
        "perturbation": {"norm": ball.norm, "unit": "raw", "epsilons": [EPSILON]},
    }
    steps = {"steps": 200} if kind in ("pgd", "pgd_adam") else {}
    built = TypeAdapter(specs.AnyAttack).validate_python({"kind": kind, **steps, **stated})
    return load("attack", kind)(built).attack(
        task.exact_posterior, x, None, load("objective", objective)(), ball, seed=1
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("objective", "unit"), [("forward_kl", "feature_std"), ("reverse_kl", "within_std")]
)
def test_pgd_reaches_the_worst_case_of_the_exact_posterior(kind, norm, unit, objective):
    task, x, ball = setting(kind, norm, unit)
    _, worst = task.worst_case_shift(ball)
    found = attack(task, x, ball, objective).objective
    assert (found <= worst * (1 + 1e-9)).all()
    assert (found >= 0.99 * worst).all()


@pytest.mark.parametrize("epsilon", [0.1, 0.2, 0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("objective", ["forward_kl", "reverse_kl"])
def test_the_default_pgd_reaches_the_worst_case_at_every_published_radius(objective, epsilon):
    task, x, _ = setting("gaussian_linear", "l2")
    ball = ThreatModel("l2", epsilon, "within_std").ball(Scale.of(x))
    grid = PerturbationGrid(norm="l2", unit="within_std", epsilons=(epsilon,))
    built = load("attack", "pgd")(specs.PGD(objective=objective, perturbation=grid))
    found = built.attack(task.exact_posterior, x, None, load("objective", objective)(), ball, 1)
    _, worst = task.worst_case_shift(ball)
    assert (found.objective <= worst * (1 + 1e-9)).all()
    assert (found.objective >= 0.99 * worst).all()


@pytest.mark.parametrize("task_kind", KINDS)
@pytest.mark.parametrize("kind", ["pgd", "pgd_adam", "random_search"])
def test_in_l1_every_vertex_is_a_local_maximum_and_none_beats_the_best_one(task_kind, kind):
    """Ascent and search end near one of the vertices, `spectral` compares them all."""
    task, x, ball = setting(task_kind, "l1")
    _, worst = task.worst_case_shift(ball)
    found = attack(task, x, ball, "forward_kl", kind).objective
    assert (found <= worst * (1 + 1e-9)).all()
    assert found.mean() > 0.6 * worst
    vertices = torch.diag(ball.radius)
    clean = task.exact_posterior(x[:1])
    moved = task.exact_posterior(x[:1] + vertices)
    squared = ((moved.mean - clean.mean) / clean.stddev).square().sum(1)
    assert float(squared.max() / 2) == pytest.approx(worst)


@pytest.mark.parametrize("task_kind", KINDS)
@pytest.mark.parametrize(
    ("kind", "norm", "share"),
    [
        ("spectral", "l2", 0.99),
        ("spectral", "linf", 0.99),
        ("spectral", "l1", 0.99),
        ("pgd_adam", "linf", 0.99),
        ("pgd_adam", "l2", 0.98),
        ("gloeckler2023_l2pgd", "l2", 0.98),
        ("fgsm", "linf", 0.99),
        ("fgsm", "l2", 0.85),
    ],
)
def test_other_attacks_reach_the_worst_case_of_the_exact_posterior(task_kind, kind, norm, share):
    """Less where one step, or steps that stay long, must tell nearly equal eigenvalues apart."""
    task, x, ball = setting(task_kind, norm, "within_std")
    _, worst = task.worst_case_shift(ball)
    found = attack(task, x, ball, "reverse_kl", kind).objective
    assert (found <= worst * (1 + 1e-9)).all()
    assert (found >= share * worst).all()


@pytest.mark.parametrize("norm", NORMS)
def test_random_search_comes_close_without_gradients(norm):
    task, x, ball = setting("gaussian_linear", norm)
    _, worst = task.worst_case_shift(ball)
    found = attack(task, x, ball, "forward_kl", "random_search").objective
    assert (found <= worst * (1 + 1e-9)).all()
    assert found.mean() > 0.8 * worst


@pytest.mark.parametrize("norm", NORMS)
def test_noise_stays_clearly_below_the_worst_case(norm):
    task, x, ball = setting("gaussian_linear", norm)
    _, worst = task.worst_case_shift(ball)
    assert attack(task, x, ball, "forward_kl", "noise").objective.mean() < 0.8 * worst


def test_l2_attack_finds_the_leading_eigenvector():
    """q = N(W x, I): the worst l2 shift is the leading right singular vector of W."""
    weight = torch.randn(6, 4, generator=generator("W"), dtype=torch.float64)
    left, _, right = torch.linalg.svd(weight, full_matrices=False)
    singular = torch.tensor([2.0, 1.5, 0.5, 0.1], dtype=torch.float64)
    weight = left * singular @ right

    class Linear:
        def exact_posterior(self, x: Tensor) -> Independent:
            mean = x @ weight.T
            return Independent(Normal(mean, torch.ones_like(mean)), 1)

    x = torch.randn(10, 4, generator=generator("x"), dtype=torch.float64)
    ball = Ball("l2", torch.full((4,), 0.3, dtype=torch.float64), None)
    found = attack(Linear(), x, ball, "forward_kl")
    worst = 0.5 * (0.3 * singular[0]) ** 2
    assert (found.objective >= 0.99 * worst).all()
    assert (((found.x - x) / 0.3 @ right[0]).abs() > 0.98).all()


@pytest.mark.parametrize("norm", NORMS)
def test_attacked_total_variation_reaches_the_closed_form(norm):
    """Same covariance, so the point of the worst KL is that of the worst total variation."""
    task, x, ball = setting("gaussian_linear_sbibm", norm)
    worst, _ = task.worst_case_shift(ball)
    clean = task.exact_posterior(x)
    attacked = task.exact_posterior(attack(task, x, ball, "forward_kl").x)
    noise = torch.randn(20_000, *x.shape, generator=generator("theta"), dtype=torch.float64)
    theta = clean.base_dist.loc + clean.base_dist.scale * noise
    found = total_variation_estimate(clean.log_prob(theta), attacked.log_prob(theta))
    assert (found.mean <= worst + 4 * found.standard_error).all()
    assert (found.mean >= 0.99 * worst - 4 * found.standard_error).all()
