"""Every attack, in every norm, with every objective."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from analytic_models import GaussianModel, SoftmaxLinear
from estimator_zoo import trained_here
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.distributions import constraints

from certibayes.attacks.base import AttackResult
from certibayes.attacks.candidates import noise_points
from certibayes.bnn.predictive import Predictive
from certibayes.config.attacks import FORM_OF_OBJECTIVE, AnyAttack
from certibayes.config.models import MLP, AnyEstimator
from certibayes.registry import load, names
from certibayes.seeding import generator
from certibayes.threat import Ball

NORMS = ("l1", "l2", "linf")
RADIUS = torch.tensor([0.3, 0.2, 0.0], dtype=torch.float64)


def estimator(kind: str, seed: int = 1) -> nn.Module:
    if kind == "ensemble":
        return load("estimator", kind)([estimator("maf", seed) for seed in (1, 2)])
    sizes = {"gaussian": {"hidden": [8]}, "maf": {"hidden": 8, "blocks": 1}}.get(kind, {})
    spec = TypeAdapter(AnyEstimator).validate_python({"kind": kind, **sizes})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return load("estimator", kind)(spec, 2, 3, constraints.positive).double()


def predictive() -> nn.Module:
    network = load("network", "mlp")(MLP(hidden=(8,)), 3, 4).double()
    source = generator("ensemble")
    return Predictive(
        network,
        {
            name: torch.randn(5, *values.shape, generator=source, dtype=torch.float64)
            for name, values in network.named_parameters()
        },
    )


POSTERIORS = {
    "monte_carlo": lambda: GaussianModel(closed_form=False),
    "closed_form": lambda: GaussianModel(closed_form=True),
    **{kind: lambda kind=kind: estimator(kind) for kind in trained_here("estimator")},
}
CLASSIFIERS = {"softmax": SoftmaxLinear, "predictive": predictive}
MODELS = {**POSTERIORS, **CLASSIFIERS}
DIVERGENCES = ("forward_kl", "reverse_kl", "mmd")
KLS = ("forward_kl", "reverse_kl")
ANALYTIC = [
    (objective, model)
    for objective in names("objective")
    for model in ("monte_carlo", "closed_form", "softmax")
    if (FORM_OF_OBJECTIVE[objective] == "classification") == (model in CLASSIFIERS)
    and (objective in KLS or model != "closed_form")
]
LEARNED = [*product(KLS, trained_here("estimator")), ("expected_loss", "predictive")]
CASES = ANALYTIC + LEARNED
FEW = [
    ("forward_kl", "closed_form"),
    ("mmd", "monte_carlo"),
    ("toward_posterior", "monte_carlo"),
    ("expected_loss", "softmax"),
    ("margin", "softmax"),
]
PUBLISHED = "gloeckler2023_l2pgd"
KEEP_BEST = [kind for kind in names("attack") if kind != PUBLISHED]


def grid(kinds: list[str], cases: list[tuple[str, str]]) -> list[tuple[str, str, str, str]]:
    """Return (kind, norm, objective, model): all cases in noise and PGD, a few in the others.

    The published attack is slow and knows l2 alone: it meets one case. The two objectives without
    draws are met in one norm; noise and PGD meet learned posteriors in l2 and linf alone.
    """
    chosen = []
    for kind, norm, case in product(kinds, NORMS, cases):
        few = [("reverse_kl", "maf")] if norm == "l2" else []
        wanted = {"noise": cases, "pgd": cases, PUBLISHED: FEW[3:] if norm == "l2" else []}
        repeated = norm != "l2" and case[0] in ("nll", "toward_theta")
        repeated = repeated or (norm == "l1" and case in LEARNED and kind in ("noise", "pgd"))
        if case in wanted.get(kind, FEW + few) and not repeated:
            chosen.append((kind, norm, *case))
    return chosen


each_attack = pytest.mark.parametrize("kind", names("attack"))
each_norm = pytest.mark.parametrize("norm", NORMS)
MORE = {
    "noise": ["points"],
    "pgd": ["points", "restarts"],
    "pgd_adam": ["restarts"],
    "fgsm": ["points", "restarts"],
    "random_search": ["steps"],
    "spectral": ["points"],
}
AXES = ("kind", "norm", "objective", "model")
everything = pytest.mark.parametrize(AXES, grid(list(names("attack")), CASES))
everything_that_keeps_best = pytest.mark.parametrize(AXES, grid(KEEP_BEST, CASES))


def data(batch: int = 12) -> tuple[Tensor, Tensor]:
    x = 2 * torch.rand(batch, 3, generator=generator("x"), dtype=torch.float64) - 1
    x[0], x[1] = 1.0, -1.0
    return x, torch.randint(4, (batch,), generator=generator("labels"))


SIZES = {
    "pgd": {"steps": 12, "selection_every": 4},
    "pgd_adam": {"steps": 12, "selection_every": 4},
    "random_search": {"steps": 6, "proposals": 3},
}


def aim(objective: str, model: nn.Module):
    """Return what the objective aims at, with thetas that suit bounded posteriors too."""
    x, labels = data()
    thetas = 0.5 + torch.rand(30, 2, generator=generator("prior"), dtype=torch.float64)
    posterior = FORM_OF_OBJECTIVE[objective] == "posterior"
    truth, prior = (thetas[: len(x)], thetas) if posterior else (labels, labels)
    return load("objective", objective)().aim(model, x, truth, prior, generator("aim"))


def spec(kind: str, norm: str = "l2", objective: str = "forward_kl", **values: object):
    sizes = SIZES.get(kind, {}) | (values if kind in KEEP_BEST else {})
    points = {"points": 4} if kind in KEEP_BEST else {}
    perturbation = {"norm": norm, "unit": "raw", "epsilons": [0.1]}
    stated = {"kind": kind, "objective": objective, "perturbation": perturbation}
    return TypeAdapter(AnyAttack).validate_python({**stated, **points, **sizes})


def run(
    kind: str,
    norm: str,
    objective: str,
    model: nn.Module,
    ball: Ball | None = None,
    seed: int = 0,
    **values: object,
) -> AttackResult:
    x, _ = data()
    attack = load("attack", kind)(spec(kind, norm, objective, **values))
    ball = Ball(norm, RADIUS, (-1.0, 1.0)) if ball is None else ball
    target = aim(objective, model)
    return attack.attack(model, x, target, load("objective", objective)(), ball, seed)


def value_at(objective: str, model: nn.Module, candidate: Tensor, seed: int = 0) -> Tensor:
    x, _ = data()
    with torch.no_grad():
        prepared = load("objective", objective)().prepare(
            model(x), aim(objective, model), 64, generator(seed, "selection")
        )
        return prepared(model(candidate))


@everything
def test_stays_in_ball_and_clip_range(kind, norm, objective, model):
    x, _ = data()
    for clip in (None, (-1.0, 1.0)):
        ball = Ball(norm, RADIUS, clip)
        found = run(kind, norm, objective, MODELS[model](), ball)
        assert ball.contains(x, found.x, 1e-12).all()
        assert torch.equal(found.x[:, 2], x[:, 2])
        assert found.x.shape == x.shape
        assert found.objective.shape == (len(x),)


@everything_that_keeps_best
def test_keeps_the_best_candidate_and_states_its_value(kind, norm, objective, model):
    built = MODELS[model]()
    x, _ = data()
    found = run(kind, norm, objective, built)
    assert torch.equal(found.objective, value_at(objective, built, found.x))
    assert (found.objective >= value_at(objective, built, x)).all()
    for point in noise_points(x, Ball(norm, RADIUS, (-1.0, 1.0)), 4, 0):
        assert (found.objective >= value_at(objective, built, point)).all()


@pytest.mark.parametrize(
    ("kind", "norm", "objective", "model", "size"),
    [
        (*cell, size)
        for cell in grid(KEEP_BEST, [case for case in ANALYTIC if case[0] in (*KLS, *FEW[3])])
        for size in MORE[cell[0]]
    ],
)
def test_more_points_restarts_or_proposals_are_never_worse(kind, norm, objective, model, size):
    results = [run(kind, norm, objective, MODELS[model](), **{size: n}) for n in (1, 3, 6)]
    for fewer, more in pairwise(results):
        assert (more.objective >= fewer.objective).all()


@pytest.mark.parametrize(AXES, grid([kind for kind in KEEP_BEST if kind != "noise"], CASES))
def test_never_below_noise_on_the_same_draws(kind, norm, objective, model):
    least = {"restarts": 1} if kind == "fgsm" else {"steps": 1, "restarts": 1}
    least = {key: one for key, one in least.items() if kind in ("pgd", "pgd_adam", "fgsm")}
    for seed in range(3):
        noise = run("noise", norm, objective, MODELS[model](), seed=seed)
        attack = run(kind, norm, objective, MODELS[model](), seed=seed, **least)
        assert (attack.objective >= noise.objective).all()


@pytest.mark.parametrize(
    AXES, grid(["pgd", "pgd_adam", "fgsm", "random_search", PUBLISHED], ANALYTIC)
)
def test_beats_noise_clearly(kind, norm, objective, model):
    built = MODELS[model]()
    clean = value_at(objective, built, data()[0])
    noise = run("noise", norm, objective, built).objective - clean
    found = run(kind, norm, objective, built).objective - clean
    factor = 1.3 if kind in ("pgd", "pgd_adam") and objective in DIVERGENCES else 1.1
    assert found.mean() > factor * noise.mean()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("objective", [*DIVERGENCES, "expected_loss"])
def test_spectral_beats_noise_where_the_second_order_counts(norm, objective):
    built = SoftmaxLinear() if objective == "expected_loss" else GaussianModel(closed_form=False)
    ball = Ball(norm, 0.1 * RADIUS, None)
    clean = value_at(objective, built, data()[0])
    noise = run("noise", norm, objective, built, ball).objective - clean
    found = run("spectral", norm, objective, built, ball).objective - clean
    assert found.mean() > 1.2 * noise.mean()


@pytest.mark.parametrize(
    AXES, [case for case in grid(list(names("attack")), ANALYTIC) if case[2] != "nll"]
)
def test_is_fixed_by_the_seed(kind, norm, objective, model):
    first, again, other = (
        run(kind, norm, objective, MODELS[model](), seed=seed) for seed in (5, 5, 6)
    )
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.objective, again.objective)
    if kind == "noise":
        assert not torch.equal(first.x, other.x)


@everything
def test_radius_zero_returns_x(kind, norm, objective, model):
    built = MODELS[model]()
    x, _ = data()
    found = run(kind, norm, objective, built, Ball(norm, torch.zeros(3), None))
    assert torch.equal(found.x, x)
    assert torch.equal(found.objective, value_at(objective, built, x))
    if objective in DIVERGENCES:
        assert found.objective.abs().max() < 1e-12


@pytest.mark.parametrize(
    AXES, [case for case in grid(list(names("attack")), CASES) if case[1] == "l2"]
)
def test_leaves_the_weights_alone(kind, norm, objective, model):
    built = MODELS[model]()
    run(kind, norm, objective, built)
    assert all(p.grad is None and p.requires_grad for p in built.parameters())


@each_attack
def test_rejects_x_outside_the_clip_range(kind):
    with pytest.raises(ValueError, match="outside the clip range"):
        run(kind, "l2", "forward_kl", GaussianModel(True), Ball("l2", RADIUS, (-0.5, 0.5)))


class Undefined(nn.Module):
    """The Gaussian model, NaN wherever the first feature is above its limit."""

    def __init__(self, limit: Tensor) -> None:
        super().__init__()
        self.inner = GaussianModel(closed_form=False)
        self.limit = limit

    def forward(self, x: Tensor):
        q = self.inner(x)
        limit = self.limit.repeat(len(x) // len(self.limit))
        q.center = torch.where((x[:, 0] > limit).unsqueeze(1), torch.nan, 1.0) * q.center
        return q


@pytest.mark.parametrize("kind", KEEP_BEST)
@each_norm
@pytest.mark.parametrize("objective", DIVERGENCES)
def test_nan_never_wins(kind, norm, objective):
    x, _ = data()
    found = run(kind, norm, objective, Undefined(x[:, 0] + 0.05), Ball(norm, RADIUS, None))
    assert (found.x[:, 0] <= x[:, 0] + 0.05).all()
    assert found.objective.isfinite().all()
    assert (found.objective > 0).any()


def test_nan_at_x_keeps_x_with_the_lowest_value():
    x, _ = data()
    nowhere = Undefined(torch.full((len(x),), -torch.inf))
    found = run("noise", "l2", "forward_kl", nowhere)
    assert torch.equal(found.x, x)
    assert (found.objective == -torch.inf).all()


@each_norm
def test_noise_points_are_a_prefix(norm):
    x, _ = data()
    ball = Ball(norm, RADIUS, None)
    assert torch.equal(noise_points(x, ball, 3, 1), noise_points(x, ball, 7, 1)[:3])
    assert not torch.equal(noise_points(x, ball, 3, 1), noise_points(x, ball, 3, 2))


@pytest.mark.parametrize("kind", ["pgd", "pgd_adam"])
@pytest.mark.parametrize("selection_every", [0, 1, 5])
def test_ascent_counts_its_steps_and_judges_the_last_iterate(kind, selection_every):
    built = GaussianModel(closed_form=True)
    values = {"steps": 7, "restarts": 1, "points": 1}
    found = run(kind, "linf", "forward_kl", built, selection_every=selection_every, **values)
    assert found.steps == 7
    start = noise_points(data()[0], Ball("linf", RADIUS, (-1.0, 1.0)), 1, 0)[0]
    assert (found.objective > value_at("forward_kl", built, start)).all()
