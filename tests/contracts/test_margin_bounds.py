"""Margins of ensembles: no x' leaves their bounds, one adversary is never worse than many."""

import pytest
import torch
from torch import nn

from certibayes.bnn.margin_bounds import margin_bounds
from certibayes.bnn.predictive import Predictive
from certibayes.seeding import generator
from certibayes.tasks.digits import Digits
from certibayes.threat import Ball

BOUNDS = ("interval", "crown_ibp", "crown")
CLASSES = 4


def ensemble(samples=5, spread=0.3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = nn.Sequential(
            nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, CLASSES)
        )
        weights = {
            name: 1.5 * p.detach() + spread * p.std() * torch.randn(samples, *p.shape)
            for name, p in network.named_parameters()
        }
    return Predictive(network, weights).double().eval()


def margins(q, x, y):
    """p_k - p_y of every sample, shape (samples, batch, classes), by the definition."""
    p = q.sample_logits(x).softmax(-1)
    return p - p[:, torch.arange(len(y)), y].unsqueeze(-1)


@pytest.fixture
def labeled():
    x = torch.rand(8, 6, generator=generator("x"), dtype=torch.float64)
    return x, torch.arange(8) % CLASSES


@torch.no_grad()
@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("radius", [0.02, 0.3, 3.0])
def test_no_point_of_the_ball_leaves_them(labeled, norm, bounds, radius):
    (x, y), q = labeled, ensemble()
    ball = Ball(norm, torch.full((6,), radius, dtype=torch.float64), (0.0, 1.0))
    found = margin_bounds(q, y, x, ball, bounds)
    source = generator("points")
    for turn in range(100):
        point = ball.sample(x, source)
        if turn % 2:
            point = ball.project(x, x + 20 * (point - x))
        at = margins(q, point, y)
        assert (at <= found.upper + 1e-12).all()
        assert (at >= found.lower - 1e-12).all()
        assert (at.mean(0) <= found.mean_upper + 1e-12).all()
    own = y.unsqueeze(-1)
    assert (found.mean_upper.gather(1, own).abs() < 1e-9).all()
    assert (found.mean_upper <= found.upper.mean(0)).all()


@torch.no_grad()
@pytest.mark.parametrize("bounds", BOUNDS)
def test_radius_zero_is_exact(labeled, bounds):
    (x, y), q = labeled, ensemble()
    found = margin_bounds(q, y, x, Ball("linf", x.new_zeros(6), None), bounds)
    at = margins(q, x, y)
    for bound in (found.lower, found.upper):
        torch.testing.assert_close(bound, at, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.mean_upper, at.mean(0), rtol=0, atol=1e-10)


@torch.no_grad()
def test_logits_of_any_size_give_finite_bounds(labeled):
    (x, y), q = labeled, ensemble()
    wild = Predictive(q.network, {n: 60 * w for n, w in q.weight_samples.items()}).double().eval()
    ball = Ball("linf", x.new_full((6,), 0.5), None)
    for bounds in BOUNDS:
        found = margin_bounds(wild, y, x, ball, bounds)
        assert found.mean_upper.isfinite().all()
        assert (found.mean_upper.abs() <= 1 + 1e-9).all()
        assert (margins(wild, x, y).mean(0) <= found.mean_upper + 1e-9).all()


def trained_on_digits(samples=6, steps=150):
    """A small ensemble of networks that agree on the digits and differ in their weights."""
    y, x = Digits.__new__(Digits).training_set()
    networks = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(samples):
            torch.manual_seed(seed)
            network = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)).double()
            steps_of = torch.optim.Adam(network.parameters(), 2e-2, weight_decay=1e-3)
            for _ in range(steps):
                steps_of.zero_grad()
                nn.functional.cross_entropy(network(x), y).backward()
                steps_of.step()
            networks.append(network.requires_grad_(False))
    weights = {
        name: torch.stack([dict(one.named_parameters())[name] for one in networks])
        for name, _ in networks[0].named_parameters()
    }
    return Predictive(networks[0], weights).eval()


@pytest.mark.slow
def test_one_adversary_certifies_more_digits_and_no_attack_beats_it():
    q = trained_on_digits()
    y, x = (part[:60] for part in Digits.__new__(Digits).test_set())
    ball = Ball("linf", x.new_full((64,), 0.05), (0.0, 1.0))
    with torch.no_grad():
        intervals = margin_bounds(q, y, x, ball, "interval").mean_upper
        found = margin_bounds(q, y, x, ball, "crown_ibp")
    rival = torch.ones_like(intervals).scatter(1, y.unsqueeze(1), 0.0).bool()
    shared, alone = found.mean_upper[rival], found.upper.mean(0)[rival]
    assert (shared <= alone).all()
    assert shared.sum() < alone.sum() - 1e-2
    worst, worst_alone, by_intervals = (
        one.view(60, 9).amax(1) for one in (shared, alone, intervals[rival])
    )
    certified = [(w < 0).sum() for w in (worst, worst_alone, by_intervals)]
    assert certified[0] >= certified[1] >= certified[2]
    assert worst.sum() < worst_alone.sum() - 1e-3
    point = ball.sample(x, generator("start"))
    for step in range(40):
        point = point.detach().requires_grad_()
        at = margins(q, point, y).mean(0)
        assert (at <= found.mean_upper + 1e-9).all()
        largest = at.scatter(1, y.unsqueeze(1), -torch.inf).amax(1)
        (gradient,) = torch.autograd.grad(largest.sum(), point)
        point = ball.project(x, point.detach() + 0.5 * 0.93**step * ball.steepest(gradient))
