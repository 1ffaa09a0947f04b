"""Estimators of the Fisher information against closed forms, and the gradients of their draws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, constraints, kl_divergence

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.config.defenses import Fisher as Spec
from certibayes.config.errors import ConfigError
from certibayes.config.load import load
from certibayes.config.models import MLP, Gaussian
from certibayes.defenses.fisher import TRACES, Fisher
from certibayes.defenses.information import Place, expectation, scores, unit_of_features
from certibayes.seeding import generator
from certibayes.threat import Scale

X_DIM, THETA_DIM, CLASSES = 4, 2, 3
SCALE = Scale(torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64), 1.0)
STD = unit_of_features(SCALE)


def posterior_model() -> nn.Module:
    torch.manual_seed(0)
    build = registry.load("estimator", "gaussian")
    return build(Gaussian(hidden=(8,)), THETA_DIM, X_DIM, constraints.real_vector).double()


def classifier() -> Predictive:
    torch.manual_seed(0)
    network = registry.load("network", "mlp")(MLP(hidden=(8, 8)), X_DIM, CLASSES)
    weights = {name: torch.randn(3, *p.shape) for name, p in network.named_parameters()}
    return Predictive(network, weights).double()


def observations(n: int, repeats: int = 1) -> Tensor:
    x = torch.randn(n, X_DIM, generator=generator("x"), dtype=torch.float64)
    return x.repeat_interleave(repeats, 0)


def measured(model: nn.Module, x: Tensor, spec: Spec, seed: str = "a") -> Tensor:
    return TRACES[spec.trace](Place(model, x, model(x), STD), spec, generator(seed))


def kl(p: Distribution, q: Distribution) -> Tensor:
    return kl_divergence(getattr(p, "latent", p), getattr(q, "latent", q))


def information(model: nn.Module, x: Tensor) -> Tensor:
    """Second derivative of KL(q(. | x) || q(. | x + std * delta)) at delta = 0, (n, d, d)."""
    found = []
    for row in x.split(1):
        clean = model(row)
        found.append(
            torch.autograd.functional.hessian(
                lambda delta, row=row, clean=clean: kl(clean, model(row + STD * delta)).sum(),
                torch.zeros(X_DIM, dtype=torch.float64),
            )
        )
    return torch.stack(found).detach()


def traces(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)


@pytest.mark.parametrize("build", [posterior_model, classifier])
def test_exact_trace_is_that_of_the_second_derivative_of_kl(build) -> None:
    model, x = build(), observations(5)
    exact = measured(model, x, Spec(beta=1.0, trace="exact"))
    torch.testing.assert_close(exact, traces(information(model, x)), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("trace", ["score", "directional"])
@pytest.mark.parametrize("draw_gradient", ["none", "score_function", "reparametrized"])
def test_estimated_trace_of_a_posterior_is_unbiased(trace: str, draw_gradient: str) -> None:
    model, x = posterior_model(), observations(3)
    spec = Spec(beta=1.0, trace=trace, draws=2, draw_gradient=draw_gradient)
    with torch.no_grad():
        found = measured(model, observations(3, 10_000), spec).unflatten(0, (3, -1))
    error = found.std(1) / found.shape[1] ** 0.5
    exact = traces(information(model, x))
    assert ((found.mean(1) - exact).abs() < 5 * error + 1e-4 * exact).all()


@pytest.mark.parametrize("scale", [1e-3, 1e4])
@pytest.mark.parametrize("unit", ["raw", "within_std", "feature_std"])
def test_directional_trace_follows_the_scale_of_x(scale: float, unit: str) -> None:
    """In float32, as in training: not out of the data, not lost in rounding."""
    model = posterior_model().float()
    model.x_scale.fill_(scale)
    x = scale * observations(200).float()
    of_x = Scale(torch.full((X_DIM,), scale, dtype=torch.float64), scale)
    spec = {"beta": 1.0, "unit": unit}
    exact, along = (
        Fisher(Spec(**spec, trace=trace, draws=draws), of_x, None)
        for trace, draws in (("exact", 1), ("directional", 64))
    )
    target = torch.zeros(len(x), THETA_DIM)
    with torch.no_grad():
        clean = model(x).log_prob(target)
        found, wanted = (
            (clean - one.objective(model, target, x, 1.0, generator("draws"))).mean()
            for one in (along, exact)
        )
    torch.testing.assert_close(found, wanted, rtol=0.1, atol=0.0)


def test_trace_of_a_classifier_enumerates_its_labels() -> None:
    model, x = classifier(), observations(5)
    exact = traces(information(model, x))
    score = measured(model, x, Spec(beta=1.0))
    torch.testing.assert_close(score, exact, rtol=1e-8, atol=1e-10)
    along = measured(model, x, Spec(beta=1.0, trace="directional", draws=20_000))
    torch.testing.assert_close(along, exact, rtol=0.05, atol=0.0)


def test_top_eigenvalue_of_a_classifier_is_exact() -> None:
    model, x = classifier(), observations(5)
    found = measured(model, x, Spec(beta=1.0, trace="top_eigenvalue", draws=4))
    largest = torch.linalg.eigvalsh(information(model, x))[..., -1]
    torch.testing.assert_close(found, largest, rtol=1e-8, atol=1e-10)


def test_top_eigenvalue_of_a_posterior_is_that_of_the_matrix_of_its_draws() -> None:
    model, x = posterior_model(), observations(3)
    largest = torch.linalg.eigvalsh(information(model, x))[..., -1]
    spec = Spec(beta=1.0, trace="top_eigenvalue", draws=20_000)
    torch.testing.assert_close(measured(model, x, spec), largest, rtol=0.1, atol=0.0)


@pytest.mark.parametrize("draws", [4, 6])
def test_top_eigenvalue_of_few_draws_is_that_of_their_matrix_and_biased_upwards(draws: int) -> None:
    """Fewer and more draws than features."""
    model, x = posterior_model(), observations(3, 2000)
    spec = Spec(beta=1.0, trace="top_eigenvalue", draws=draws)
    found = measured(model, x, spec)
    _, score = scores(Place(model, x, model(x), STD), model(x).draw(draws, generator("a")))
    matrices = torch.einsum("nbi,nbj->bij", score, score) / draws
    torch.testing.assert_close(found, torch.linalg.eigvalsh(matrices)[..., -1])
    largest = torch.linalg.eigvalsh(information(model, observations(3)))[..., -1]
    found = found.unflatten(0, (3, -1))
    assert (found.mean(1) > largest - 5 * found.std(1) / 2000**0.5).all()


def test_top_eigenvalue_of_no_information_is_zero() -> None:
    model = posterior_model()
    with torch.no_grad():
        model.trunk[0].weight.zero_()
    found = measured(model, observations(3), Spec(beta=1.0, trace="top_eigenvalue", draws=4))
    assert torch.equal(found, torch.zeros_like(found))
    gradients = torch.autograd.grad(found.sum(), list(model.parameters()), allow_unused=True)
    assert all(g is None or g.isfinite().all() for g in gradients)


def test_gradient_of_the_top_eigenvalue_is_that_of_its_matrix() -> None:
    model, x = classifier(), observations(4)
    name = "sample/0/weight"
    weight = model.get_buffer(name).requires_grad_()
    found = measured(model, x, Spec(beta=1.0, trace="top_eigenvalue", draws=4)).sum()
    (gradient,) = torch.autograd.grad(found, weight)
    step = torch.randn(weight.shape, generator=generator("step"), dtype=torch.float64)
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            weight += sign * 1e-6 * step
            values.append(torch.linalg.eigvalsh(information(model, x))[..., -1].sum())
            weight -= sign * 1e-6 * step
    torch.testing.assert_close(
        (gradient * step).sum(), (values[0] - values[1]) / 2e-6, rtol=1e-4, atol=0.0
    )


def gradients_of_parts(spec: Spec, parts: int, rows: int) -> Tensor:
    """Gradients of the mean trace to all weights from independent draws, (parts, weights)."""
    model, x = posterior_model(), observations(2, rows)
    found = []
    for part in range(parts):
        trace = measured(model, x, spec, f"part {part}").mean()
        gradient = torch.autograd.grad(trace, list(model.parameters()))
        found.append(torch.cat([g.flatten() for g in gradient]))
    return torch.stack(found)


def exact_gradient() -> Tensor:
    return gradients_of_parts(Spec(beta=1.0, trace="exact"), 1, 1)[0]


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("trace", ["score", "directional"])
@pytest.mark.parametrize("draw_gradient", ["none", "score_function", "reparametrized"])
def test_gradients_are_unbiased_if_they_know_of_the_draws(
    draw_gradient: str, trace: str, draws: int
) -> None:
    spec = Spec(beta=1.0, trace=trace, draws=draws, draw_gradient=draw_gradient)
    found = gradients_of_parts(spec, 40, 500)
    exact = exact_gradient()
    error = found.std(0) / len(found) ** 0.5 + 1e-3 * exact.abs().max()
    off = ((found.mean(0) - exact) / error).abs().max()
    assert off > 10 if draw_gradient == "none" else off < 5


def test_the_other_draws_are_a_baseline() -> None:
    """What is the same at every draw has no gradient; one draw has no baseline."""
    q = posterior_model()(observations(5))
    log = torch.randn(4, 5, generator=generator("log"), requires_grad=True)
    constant = expectation(torch.full((4, 5), 7.0), log, q, "score_function")
    assert torch.equal(constant, torch.full((5,), 7.0))
    (gradient,) = torch.autograd.grad(constant.sum(), log)
    assert torch.equal(gradient, torch.zeros(4, 5))
    single = expectation(torch.full((1, 5), 7.0), log[:1], q, "score_function")
    (gradient,) = torch.autograd.grad(single.sum(), log)
    assert torch.equal(gradient[0], torch.full((5,), 7.0))


def objective(spec: Spec, x: Tensor, seed: int = 0) -> Tensor:
    model = posterior_model()
    theta = torch.zeros(len(x), THETA_DIM, dtype=torch.float64)
    return Fisher(spec, SCALE, None).objective(model, theta, x, 0.5, generator(seed))


def test_every_nth_step_is_penalized_n_times_as_much() -> None:
    x = observations(6)
    clean, full = (objective(Spec(beta=beta, trace="exact"), x) for beta in (0.0, 0.3))
    spec = Spec(beta=0.3, trace="exact", every=3)
    penalized = 0
    for seed in range(150):
        found = objective(spec, x, seed)
        hit = not torch.equal(found, clean)
        penalized += hit
        torch.testing.assert_close(found, clean + 3 * hit * (full - clean))
    assert abs(penalized - 50) < 5 * (150 * 2 / 9) ** 0.5


def test_a_share_of_the_batch_is_penalized_in_proportion() -> None:
    x = observations(6)
    clean, full = (objective(Spec(beta=beta, trace="exact"), x) for beta in (0.0, 0.3))
    spec = Spec(beta=0.3, trace="exact", share=0.34)
    counts = torch.zeros(6)
    for seed in range(150):
        penalty = objective(spec, x, seed) - clean
        hit = penalty != 0
        assert hit.sum() == 2
        torch.testing.assert_close(penalty[hit], 3 * (full - clean)[hit])
        counts += hit
    assert (counts - 50).abs().max() < 5 * (150 * 2 / 9) ** 0.5


def test_validation_is_penalized_in_full() -> None:
    x = observations(6)
    full = objective(Spec(beta=0.3, trace="exact"), x)
    with torch.no_grad():
        found = objective(Spec(beta=0.3, trace="exact", every=4, share=0.5), x)
    torch.testing.assert_close(found, full.detach())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trace": "top_eigenvalue", "draws": 3}, "draws: got 3 .*allowed: at least 4"),
        ({"trace": "exact", "draws": 2}, "got 2, 'none' with trace: exact; allowed: neither"),
        ({"trace": "exact", "draw_gradient": "score_function"}, "got 1, 'score_function' with"),
        ({"share": 0.0}, "greater than 0"),
        ({"every": 0}, "greater than or equal to 1"),
    ],
)
def test_draws_that_do_not_fit_the_trace_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Spec(beta=1.0, **fields)


def test_exact_information_of_a_flow_is_refused(tmp_path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "study: s\n"
        "models: {flow: {estimator: {kind: maf}}}\n"
        "defenses: {sharp: {kind: fisher, beta: 0.1, trace: exact}}\n"
        "experiments:\n"
        "  - {task: two_moons, budget: 1000, model: flow, defenses: [none, sharp]}\n"
    )
    with pytest.raises(
        ConfigError,
        match=r"got 'sharp' with trace: exact and the 'maf' estimator of 'flow'; allowed",
    ):
        load(path)


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Distribution:
        return Independent(Normal(x, 1.0), 1)


@pytest.mark.parametrize("trace", ["score", "directional", "top_eigenvalue"])
def test_another_distribution_is_refused(trace: str) -> None:
    spec = Spec(beta=1.0, trace=trace, draws=4)
    with pytest.raises(TypeError, match="got Independent; allowed: Categorical, Posterior"):
        measured(Unknown(), observations(1), spec)


def test_information_of_a_normal_with_mean_x_is_one_per_feature() -> None:
    found = measured(Unknown(), observations(3), Spec(beta=1.0, trace="exact"))
    torch.testing.assert_close(found, STD.square().sum().expand(3))
