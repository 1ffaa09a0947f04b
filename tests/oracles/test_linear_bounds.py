"""Linear bounds against an external implementation: CROWN and CROWN-IBP by auto_LiRPA 0.7.1."""

import numpy as np
import pytest
import torch
from test_interval_bounds import NETWORKS, ORACLE, oracle_network

from certibayes.bounds import BallAround, Interval, interval_bounds, linear_bounds
from certibayes.threat import Ball

CASES = [
    (name, norm, epsilon)
    for name in NETWORKS
    for norm in ("linf", "l2")
    for epsilon in ("0.01", "0.05")
]


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
