"""Safe weights: no weights of a safe box and no x' of the ball beat the bound; masses are exact."""

from dataclasses import replace
from itertools import pairwise
from math import erf, sqrt

import pytest
import torch
from torch import nn

from certibayes import registry
from certibayes.bnn.mean_field import MeanField, MeanFieldPosterior
from certibayes.bounds.ball import BallAround
from certibayes.bounds.weight_intervals import rivals_over_weights
from certibayes.certificates.base import UnsoundBoundError, Verdict
from certibayes.certificates.weight_boxes import WeightBox, disjoint_boxes
from certibayes.config.certificates import ProbabilisticSafety
from certibayes.config.inference import MEAN_FIELD
from certibayes.config.models import MLP
from certibayes.config.networks import CNN
from certibayes.seeding import generator
from certibayes.threat import Ball

GRID = {"norm": "linf", "unit": "raw", "epsilons": (0.1,)}
NORMS = ("l2", "linf")
NETWORKS = {
    "mlp": MLP(hidden=(8,)),
    "linear": MLP(hidden=()),
    "cnn": CNN(layers=({"filters": 2, "kernel": 2}, {"pool": 2}), hidden=(5,)),
}
X_DIM, BATCH, CLASSES = 9, 5, 3


def posterior_of(kind, spread=0.02, samples=4):
    spec = NETWORKS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = registry.load("network", spec.kind)(spec, X_DIM, CLASSES).double().eval()
    source = generator("posterior", kind)
    means = {name: 2 * value.detach().clone() for name, value in network.named_parameters()}
    stds = {
        name: spread * (0.5 + torch.rand(value.shape, generator=source, dtype=torch.float64))
        for name, value in means.items()
    }
    stored = {
        name: value + stds[name] * torch.randn(samples, *value.shape, generator=source).double()
        for name, value in means.items()
    }
    return MeanFieldPosterior(network, means, stds, stored).eval()


def prepared_case(kind, spread=0.02, **settings):
    spec = ProbabilisticSafety(perturbation=GRID, **{"boxes": 5, **settings})
    certificate = registry.load("certificate", "probabilistic_safety")(spec)
    posterior = posterior_of(kind, spread)
    x = torch.rand(BATCH, X_DIM, generator=generator("x", kind), dtype=torch.float64)
    mean = posterior.draw(1, generator("unused"))
    weights = posterior.at(torch.zeros_like(posterior.mean))
    target = torch.func.functional_call(mean.network, weights, (x,)).argmax(-1)
    target[-1] = (target[-1] + 1) % CLASSES
    return certificate, certificate.prepare(posterior, x, target, seed=1)


def ball_of(norm, radius):
    return Ball(norm, torch.full((X_DIM,), radius, dtype=torch.float64), (0.0, 1.0))


def networks_of(posterior, box):
    """Center and half widths of a box as networks, as the certificate makes them."""
    found = []
    width = (box.upper - box.lower) / 2 * posterior.std
    for weights in (posterior.at((box.lower + box.upper) / 2), posterior.named(width)):
        network = registry.load("network", SPEC.kind)(SPEC, X_DIM, CLASSES).double()
        network.load_state_dict(weights)
        found.append(network.requires_grad_(False))
    return found


SPEC = NETWORKS["mlp"]


@torch.no_grad()
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_no_weights_of_the_box_and_no_point_of_the_ball_beat_the_bound(kind, norm, monkeypatch):
    monkeypatch.setitem(globals(), "SPEC", NETWORKS[kind])
    posterior = posterior_of(kind)
    source = generator("points", kind, norm)
    half = torch.full_like(posterior.mean, 2.0)
    center, radius = networks_of(posterior, WeightBox(-half, half, 0.0))
    x = torch.rand(BATCH, X_DIM, generator=source, dtype=torch.float64)
    y = torch.randint(CLASSES, (BATCH,), generator=source)
    ball = ball_of(norm, 0.1)
    bound = rivals_over_weights(center, radius, y, BallAround(x, ball).region())
    largest = torch.full_like(bound, -torch.inf)
    for _ in range(300):
        signs = 2.0 * (torch.rand(len(half), generator=source, dtype=torch.float64) * 2 - 1)
        signs = torch.where(torch.rand(len(half), generator=source) < 0.7, 2 * signs.sign(), signs)
        points = ball.project(x, x + 5 * (ball.sample(x, source) - x))
        logits = torch.func.functional_call(posterior.network, posterior.at(signs), (points,))
        margin = logits - logits.gather(1, y.unsqueeze(1))
        margin = margin.scatter(1, y.unsqueeze(1), -torch.inf).amax(1)
        assert (margin <= bound + 1e-9).all()
        largest = torch.maximum(largest, margin)
    assert (largest > bound - 3.0).all()


@torch.no_grad()
def test_of_a_linear_network_the_bound_is_attained():
    """Every weight takes the end that helps the rival; in linf so does every feature of x'."""
    posterior = posterior_of("linear")
    weight, bias = posterior.named(posterior.mean).values()
    wide, thick = (2 * value for value in posterior.named(posterior.std).values())
    x = torch.full((1, X_DIM), 0.5, dtype=torch.float64)
    low, high = x[0] - 0.1, x[0] + 0.1
    rival = -torch.inf
    for k in (1, 2):
        ends = [(weight[k] + wide[k] - weight[0] + wide[0]) * end for end in (low, high)]
        rival = max(
            rival, float(torch.maximum(*ends).sum() + (bias + thick)[k] - (bias - thick)[0])
        )
    center = nn.Sequential(nn.Linear(X_DIM, CLASSES)).double().requires_grad_(False)
    radius = nn.Sequential(nn.Linear(X_DIM, CLASSES)).double().requires_grad_(False)
    center[0].weight.copy_(weight)
    center[0].bias.copy_(bias)
    radius[0].weight.copy_(wide)
    radius[0].bias.copy_(thick)
    region = BallAround(x, ball_of("linf", 0.1)).region()
    found = rivals_over_weights(center, radius, torch.tensor([0]), region)
    assert float(found[0]) >= rival - 1e-12
    plain = rivals_over_weights(center, _zero(radius), torch.tensor([0]), region)
    ends = torch.maximum((weight[1:] - weight[0]) * low, (weight[1:] - weight[0]) * high)
    assert float(plain[0]) == pytest.approx(float((ends.sum(1) + bias[1:] - bias[0]).max()))


def _zero(network):
    return nn.Sequential(nn.Linear(X_DIM, CLASSES)).double().requires_grad_(False).apply(_to_zero)


@torch.no_grad()
def _to_zero(module):
    for value in module.parameters():
        value.zero_()


def test_the_mass_of_one_box_is_a_product():
    box = WeightBox.between(torch.full((7,), -1.5).double(), torch.full((7,), 1.5).double())
    assert box.log_mass == pytest.approx(7 * torch.tensor(erf(1.5 / sqrt(2))).log().item())
    far = WeightBox.between(torch.tensor([20.0]).double(), torch.tensor([21.0]).double())
    assert far.log_mass == pytest.approx(-203.917, abs=1e-2)


@pytest.mark.parametrize("half_width", [0.5, 1.0, 2.0])
def test_boxes_do_not_overlap_and_their_mass_is_that_of_their_union(half_width):
    source = generator("boxes")
    centers = torch.randn(12, 3, generator=source, dtype=torch.float64)
    boxes = disjoint_boxes(centers, half_width)
    assert len(boxes) > 3
    draws = torch.randn(20_000, 3, generator=source, dtype=torch.float64)
    inside = torch.stack([((draws > b.lower) & (draws < b.upper)).all(1) for b in boxes])
    assert int(inside.sum(0).max()) == 1
    mass = sum(torch.tensor(b.log_mass).exp().item() for b in boxes)
    assert float(inside.any(0).double().mean()) == pytest.approx(mass, abs=0.015)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_attacked_weights_never_beat_the_bound(kind, norm):
    certificate, prepared = prepared_case(kind)
    for radius in (0.0, 0.02, 0.1):
        ball = ball_of(norm, radius)
        result = certificate.certify(prepared, ball)
        points = ball.project(prepared.x, ball.sample(prepared.x, generator("attack")))
        confronted = certificate.refute(prepared, result, points, ball)
        assert (confronted.lower <= result.upper + 1e-9).all()
        assert result.confidence == 1.0
    assert result.verdict[-1] is not Verdict.CERTIFIED
    assert confronted.verdict[-1] is Verdict.REFUTED


def test_the_share_of_safe_weights_is_above_what_is_certified():
    """By draws of the weights and the worst of many x'; the bound is not vacuous either."""
    certificate, prepared = prepared_case("mlp", spread=2e-3, tau=0.5, half_widths=(2.0, 3.0))
    ball = ball_of("linf", 0.02)
    result = certificate.certify(prepared, ball)
    drawn = prepared.posterior.draw(2000, generator("weights"))
    unsafe = torch.zeros(2000, BATCH, dtype=torch.bool)
    for repeat in range(20):
        points = ball.sample(prepared.x, generator("x", repeat))
        unsafe |= drawn.sample_logits(points).argmax(-1) != prepared.target
    assert (unsafe.double().mean(0) <= result.upper + 0.03).all()
    assert result.certified.any()
    assert (result.upper[result.certified] < 0.5).all()


def test_bounds_grow_and_vanishing_mass_is_unknown():
    certificate, prepared = prepared_case("mlp")
    found = [certificate.certify(prepared, ball_of("linf", r)).upper for r in (0.0, 0.05, 0.2, 1.0)]
    for small, large in pairwise(found):
        assert (small <= large).all()
    assert set(found[-1].tolist()) == {1.0}
    narrow, prepared = prepared_case("mlp", half_widths=(1e-3,))
    result = narrow.certify(prepared, ball_of("linf", 0.0))
    assert set(result.verdict) == {Verdict.UNKNOWN}


def test_a_bound_that_lies_is_reported():
    certificate, prepared = prepared_case("mlp")
    ball = ball_of("linf", 0.05)
    result = certificate.certify(prepared, ball)
    with pytest.raises(UnsoundBoundError):
        certificate.refute(prepared, replace(result, upper=result.upper * 0), prepared.x, ball)


@pytest.mark.parametrize("kind", MEAN_FIELD)
def test_gaussian_methods_state_their_marginals(kind):
    from certibayes.config.models import Model

    spec = Model(network=MLP(hidden=(3,)), inference={"kind": kind, "initial_std": 0.5}).inference
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    inference = registry.load("inference", kind)(network, spec)
    assert isinstance(inference, MeanField)
    means, stds = inference.marginals()
    assert set(means) == {name for name, _ in network.named_parameters()}
    for name, value in network.named_parameters():
        torch.testing.assert_close(means[name], value, check_stride=False)
        torch.testing.assert_close(stds[name], torch.full_like(value, 0.5))
