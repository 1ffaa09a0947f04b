"""Interval bounds against other implementations.

`bounds.npz`: networks, inputs and interval bounds by auto_LiRPA 0.7.1 (BSD-3); raw radii, no clip.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from certibayes.bounds import BallAround, Interval, interval_bounds
from certibayes.threat import Ball

ORACLE = np.load(Path(__file__).with_name("bounds.npz"))
NETWORKS = {
    "mlp_relu": lambda: [
        nn.Linear(20, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 5),
    ],
    "mlp_tanh": lambda: [
        nn.Linear(20, 64),
        nn.Tanh(),
        nn.Linear(64, 64),
        nn.Tanh(),
        nn.Linear(64, 5),
    ],
    "cnn_relu": lambda: [
        nn.Conv2d(1, 8, 3, stride=1, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 10),
    ],
}


def oracle_network(name):
    module = nn.Sequential(*NETWORKS[name]()).double().requires_grad_(False)
    prefix = f"{name}/weights/"
    module.load_state_dict(
        {
            key.removeprefix(prefix): torch.from_numpy(ORACLE[key])
            for key in ORACLE
            if key.startswith(prefix)
        }
    )
    return module, torch.from_numpy(ORACLE[f"{name}/x"])


def oracle_bounds(name, norm, epsilon):
    key = f"{name}/{norm}/{epsilon}/interval"
    return Interval(*(torch.from_numpy(ORACLE[f"{key}/{side}"]) for side in ("lower", "upper")))


def bounds_that_ignore_the_border(module, x, epsilon):
    """The oracle's rule for a first convolution and an l2 ball: the norm of the whole kernel.

    It also counts the entries that lie on the zero padding, which no perturbation moves.
    """
    norms = module[0].weight.flatten(1).norm(dim=1).view(-1, 1, 1)
    return interval_bounds(module[1:], Interval.around(module[0](x), epsilon * norms))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("norm", "tolerance"), [("linf", 1e-9), ("l2", 1e-5)])
@pytest.mark.parametrize("epsilon", ["0.01", "0.05"])
def test_bounds_equal_the_external_oracle(name, norm, tolerance, epsilon):
    module, x = oracle_network(name)
    np.testing.assert_allclose(module(x), ORACLE[f"{name}/output"], atol=1e-9)
    radius = torch.full((x[0].numel(),), float(epsilon), dtype=torch.float64)
    bounds = interval_bounds(module, BallAround(x, Ball(norm, radius)))
    expected = oracle_bounds(name, norm, epsilon)
    if (name, norm) == ("cnn_relu", "l2"):
        assert (bounds.lower > expected.lower).all()
        assert (bounds.upper < expected.upper).all()
        bounds = bounds_that_ignore_the_border(module, x, float(epsilon))
    torch.testing.assert_close(bounds.lower, expected.lower, atol=tolerance, rtol=0)
    torch.testing.assert_close(bounds.upper, expected.upper, atol=tolerance, rtol=0)


# The package compiles a helper with torch.jit.script, which torch 2.13 deprecates.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated.:DeprecationWarning")
def test_bounds_equal_bound_propagation():
    peer = pytest.importorskip("bound_propagation")
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 4)
    ).double()
    x = torch.randn(11, 7).double()
    expected = peer.BoundModelFactory().build(module).ibp(peer.HyperRectangle.from_eps(x, 0.1))
    ball = Ball("linf", torch.full((7,), 0.1, dtype=torch.float64))
    bounds = interval_bounds(module, BallAround(x, ball))
    torch.testing.assert_close(bounds.lower, expected.lower, atol=1e-5, rtol=0)
    torch.testing.assert_close(bounds.upper, expected.upper, atol=1e-5, rtol=0)
