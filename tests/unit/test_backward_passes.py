"""Backward passes that share work find what passes one by one find."""

import pytest
import torch
from torch import nn

from certibayes.bounds import BallAround, Interval, graph_rules, linear
from certibayes.bounds.graph import Input, products
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.linear import linear_interval, lower_form
from certibayes.bounds.nodes import Elementwise
from certibayes.config.models import MAF
from certibayes.estimators.maf import MAFEstimator
from certibayes.estimators.maf_graph import log_density_graph
from certibayes.seeding import generator
from certibayes.threat import Ball

BATCH, DRAWS, FEATURES = 3, 4, 5


def input_of(norm, tightening):
    x = torch.randn(BATCH, FEATURES, generator=generator("x")).double()
    radius = torch.full((FEATURES,), 0.2, dtype=torch.float64)
    return Input(BallAround(x, Ball(norm, radius)).region(), tightening)


def flow_node(norm, tightening):
    """Return the noise of a flow of two transforms, draws of theta in front of the batch."""
    torch.manual_seed(0)
    flow = MAFEstimator(
        MAF(transforms=2, hidden=9), 3, FEATURES, torch.distributions.constraints.real_vector
    )
    theta = torch.randn(DRAWS, BATCH, 3, generator=generator("theta")).double()
    node = log_density_graph(flow.double(), theta, input_of(norm, tightening))
    squares = node.parents[0].parents[0].parents[0]
    assert isinstance(squares, Elementwise)
    return squares.parents[0]


def network_node(norm, tightening):
    torch.manual_seed(0)
    layers = [nn.Linear(FEATURES, 8)]
    for activation in (nn.ReLU(), nn.LeakyReLU(0.1), nn.Sigmoid(), nn.SiLU(), nn.Tanh()):
        layers += [activation, nn.Linear(8, 8)]
    return apply(nn.Sequential(*layers).double(), input_of(norm, tightening))


@pytest.mark.parametrize("tightening", [False, True])
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("build", [flow_node, network_node])
@pytest.mark.parametrize("entries", [1, 2**24])
def test_passes_together_equal_passes_one_by_one(build, norm, tightening, entries, monkeypatch):
    monkeypatch.setattr(linear, "ENTRIES_IN_CACHE", entries)
    node = build(norm, tightening)
    found, box = linear_interval(node), node.interval
    with torch.no_grad():
        for feature in range(box.lower.shape[-1]):
            one = torch.zeros_like(box.lower)
            one[..., feature] = 1.0
            lower, upper = lower_form(node, one).minimum(), -lower_form(node, -one).minimum()
            own = Interval(box.lower[..., feature], box.upper[..., feature])
            expected = Interval(lower, upper).intersect(own)
            for end in ("lower", "upper"):
                torch.testing.assert_close(
                    getattr(found, end)[..., feature], getattr(expected, end), rtol=0, atol=1e-12
                )


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("build", [flow_node, network_node])
def test_functions_folded_into_one_bound_as_both_do(build, norm, monkeypatch):
    folded = linear_interval(build(norm, True))
    count = 0

    def apart(node, region, lines):
        nonlocal count
        count += 1
        return Elementwise(node, region, lines)

    monkeypatch.setattr(graph_rules, "function_of", apart)
    plain = linear_interval(build(norm, True))
    assert count
    for end in ("lower", "upper"):
        torch.testing.assert_close(getattr(folded, end), getattr(plain, end), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("coefficients", "values", "features"),
    [
        ((6, 1, 1, 4), (2, 3, 4), 1),
        ((6, 1, 1, 4), (3, 4), 1),
        ((6, 2, 3, 4), (2, 3, 4), 1),
        ((2, 1, 4), (3, 4), 1),
        ((3, 4), (3, 4), 1),
        ((1, 4), (3, 4), 1),
        ((6, 1, 1, 4), (4,), 1),
        ((6, 2, 1, 4), (1, 4), 1),
        ((2, 3, 4), (1, 4), 1),
        ((3, 4), (1, 4), 1),
        ((4,), (1, 4), 1),
        ((6, 1, 2, 1), (2, 3), 1),
        ((6, 1, 2, 4), (3, 2, 4), 2),
        ((6, 1, 1), (2, 3), 0),
    ],
)
def test_products_are_sums_over_features(coefficients, values, features):
    source = generator("products")
    one = torch.randn(coefficients, generator=source).double()
    other = torch.randn(values, generator=source).double()
    expected = one * other
    for _ in range(features):
        expected = expected.sum(-1)
    torch.testing.assert_close(products(one, other, features), expected, rtol=0, atol=1e-12)
