"""Linear bounds against other implementations.

`bounds.npz`: CROWN and CROWN-IBP by auto_LiRPA 0.7.1; bound-propagation computes at test time.
"""

import numpy as np
import pytest
import torch
from test_interval_bounds import NETWORKS, ORACLE, oracle_network
from torch import nn

from certibayes.bounds import BallAround, Interval, interval_bounds, linear_bounds
from certibayes.threat import Ball

CASES = [
    (name, norm, epsilon)
    for name in NETWORKS
    for norm in ("linf", "l2")
    for epsilon in ("0.01", "0.05")
]
PEER_TOLERANCE = 1e-12


@pytest.mark.parametrize(("name", "norm", "epsilon"), CASES)
@pytest.mark.parametrize(("kind", "tightening"), [("crown_ibp", False), ("crown", True)])
def test_mean_width_is_the_oracles_or_less(name, norm, epsilon, kind, tightening):
    """Equal for the MLPs; less with l2 balls at padded borders, which the oracle widens."""
    module, x = oracle_network(name)
    ball = BallAround(x, Ball(norm, torch.full((x[0].numel(),), float(epsilon)).double()))
    bounds = linear_bounds(module, ball, tightening=tightening)
    ends = (ORACLE[f"{name}/{norm}/{epsilon}/{kind}/{side}"] for side in ("lower", "upper"))
    expected = Interval(*map(torch.from_numpy, ends))
    ratio = float(bounds.width.mean() / expected.width.mean())
    assert ratio < 1.001
    if (name, norm) != ("cnn_relu", "l2"):
        assert ratio > 0.99
    interval = interval_bounds(module, ball)
    assert (bounds.lower >= interval.lower - 1e-12).all()
    assert (bounds.upper <= interval.upper + 1e-12).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_bounds_of_relu_networks_equal_the_oracles(norm):
    module, x = oracle_network("mlp_relu")
    bounds = linear_bounds(module, BallAround(x, Ball(norm, torch.full((20,), 0.05).double())))
    for side in ("lower", "upper"):
        expected = ORACLE[f"mlp_relu/{norm}/0.05/crown/{side}"]
        np.testing.assert_allclose(getattr(bounds, side), expected, atol=1e-6)


# The package compiles a helper with torch.jit.script, which torch 2.13 deprecates.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated.:DeprecationWarning")
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
@pytest.mark.parametrize("adaptive", [True, False])
def test_bounds_are_no_wider_than_bound_propagations(activation, adaptive):
    """On average; of ReLU networks, where the slopes are the same, at every output."""
    peer = pytest.importorskip("bound_propagation")
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(7, 16), activation(), nn.Linear(16, 16), activation(), nn.Linear(16, 4)
    ).double()
    x = torch.randn(11, 7).double()
    oracle = peer.BoundModelFactory(adaptive_relu=adaptive).build(module)
    for epsilon in (0.02, 0.1, 0.5):
        rectangle = peer.HyperRectangle.from_eps(x, epsilon)
        ball = BallAround(x, Ball("linf", torch.full((7,), epsilon, dtype=torch.float64)))
        for tightening, pulled in ((True, oracle.crown), (False, oracle.crown_ibp)):
            expected = pulled(rectangle).concretize()
            bounds = linear_bounds(module, ball, tightening=tightening)
            assert bounds.width.mean() <= expected.width.mean() + PEER_TOLERANCE
            if activation is nn.ReLU and adaptive:
                assert (bounds.lower >= expected.lower - PEER_TOLERANCE).all()
                assert (bounds.upper <= expected.upper + PEER_TOLERANCE).all()
