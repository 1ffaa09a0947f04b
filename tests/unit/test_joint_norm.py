"""The largest norm of functions with linear bounds: exact for linear maps, never beaten."""

import pytest
import torch
from torch import nn

from certibayes.bounds import Ellipsoid, Interval
from certibayes.bounds.graph import Input
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.joint_norm import largest_norm
from certibayes.bounds.linear import LinearForm, lower_form

BATCH, ENTRIES = 2, 5


def regions(features, cut=False):
    torch.manual_seed(0)
    center, radius = torch.randn(BATCH, features).double(), torch.rand(BATCH, features).double()
    around = Interval.around(center, radius * (0.7 if cut else 1))
    return {"linf": around, "l2": Ellipsoid(center, radius, around, cut)}


def bound(module, region, weights):
    node = apply(module, Input(region, tightening=True))
    unit = torch.eye(ENTRIES).double()[:, None].expand(-1, BATCH, -1)
    lower, other = lower_form(node, unit), lower_form(node, -unit)
    upper = LinearForm(-other.coefficients, -other.offset, other.magnitude, other.input)
    box = node.interval.reshape(lambda ends: ends.T)
    return largest_norm(lower, upper, box, weights)


def points_of(region, n):
    side = torch.randn(n, *region.center.shape).double()
    if isinstance(region, Interval):
        return region.center + region.radius * side.sign()
    side = side / side.norm(dim=-1, keepdim=True)
    inside = region.center + region.radius * side
    return torch.minimum(torch.maximum(inside, region.box.lower), region.box.upper)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("features", [4, 15])
@pytest.mark.parametrize("cut", [False, True])
def test_no_point_has_a_larger_norm(norm, features, cut):
    region = regions(features, cut)[norm]
    module = nn.Sequential(nn.Linear(features, 12), nn.ReLU(), nn.Linear(12, ENTRIES)).double()
    weights = torch.rand(ENTRIES, BATCH).double()
    values = module(points_of(region, 20_000))
    reached = (values * weights.T).norm(dim=-1).amax(0)
    largest = bound(module, region, weights)
    assert (reached <= largest).all()
    assert (largest < 5 * reached).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_attained_for_linear_maps(norm):
    region = regions(4)[norm]
    module = nn.Linear(4, ENTRIES).double()
    scaled = module.weight * region.radius.unsqueeze(1)
    if norm == "l2":
        module.bias.data -= module(region.center[:1])[0]
        region = Ellipsoid(region.center[:1].expand(BATCH, -1), region.radius, region.box, False)
        expected = torch.linalg.matrix_norm(scaled, 2)
    else:
        expected = module(points_of(region, 2_000)).norm(dim=-1).amax(0)
    torch.testing.assert_close(bound(module, region, torch.ones(ENTRIES, BATCH).double()), expected)
