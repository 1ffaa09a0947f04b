"""nflows' MADE under a ball of contexts: as the estimators' own formulas say; errors by name."""

import pytest
import torch
from nflows.transforms.made import MADE
from torch import nn
from torch.nn import functional

from certibayes.bounds import BallAround, Interval, interval_bounds, linear_bounds
from certibayes.bounds.affine import affine
from certibayes.bounds.graph import Input
from certibayes.bounds.linear import linear_interval
from certibayes.estimators import made_bounds, made_outputs
from certibayes.estimators.density_nodes import affine_node
from certibayes.estimators.joined_made import JoinedMADE
from certibayes.estimators.made import ConditionedMADE
from certibayes.estimators.made_hidden import context_node, hidden_bounds, hidden_node
from certibayes.seeding import generator
from certibayes.threat import Ball

FEATURES, HIDDEN, CONTEXT, BLOCKS, BATCH = 3, 8, 4, 2, 5
RULE_SETS = (interval_bounds, linear_bounds)


def conditioned_and_plain():
    """The estimators' MADE and nflows' own with the same weights, whose first feature is 0."""
    torch.manual_seed(0)
    conditioned = ConditionedMADE(FEATURES, HIDDEN, CONTEXT, BLOCKS).double()
    plain = MADE(
        FEATURES + 1, HIDDEN, CONTEXT, BLOCKS, output_multiplier=2, use_residual_blocks=False
    ).double()
    plain.load_state_dict(conditioned.state_dict())
    return conditioned, plain


def around_contexts(norm, u, context):
    """Regions of the joined input with u fixed behind a 0, and of the context alone."""
    radius = 0.1 + torch.rand(CONTEXT, generator=generator("radius")).double()
    joined = torch.cat((functional.pad(u, (1, 0)), context), 1)
    fixed = torch.zeros(FEATURES + 1).double()
    return (
        BallAround(joined, Ball(norm, torch.cat((fixed, radius)))),
        BallAround(context, Ball(norm, radius)).region(),
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("tightening", [None, False, True])
def test_rules_of_modules_equal_the_formulas_of_the_estimators(norm, tightening):
    conditioned, plain = conditioned_and_plain()
    u = torch.randn(BATCH, FEATURES, generator=generator("u")).double()
    context = torch.randn(BATCH, CONTEXT, generator=generator("context")).double()
    joined, region = around_contexts(norm, u, context)
    weights = conditioned.weights()
    last = tuple(part.flatten(0, 1) for part in weights.outputs)
    if tightening is None:
        found = interval_bounds(JoinedMADE(plain), joined)
        expected = affine(hidden_bounds(weights, region, u), *last)
    else:
        found = linear_bounds(JoinedMADE(plain), joined, tightening=tightening)
        perturbed = Input(region, tightening)
        node = hidden_node(weights, context_node(weights, perturbed, perturbed), u)
        expected = linear_interval(affine_node(node, *last))
    for end in ("lower", "upper"):
        ends = getattr(found, end)[:, conditioned.outputs :]
        torch.testing.assert_close(ends, getattr(expected, end), atol=1e-10, rtol=0)


def test_importing_the_rules_registers_them():
    assert made_bounds.JoinedMADE is JoinedMADE


def test_without_a_context_its_layers_are_left_out():
    torch.manual_seed(0)
    plain = MADE(FEATURES, HIDDEN, CONTEXT).double().eval()
    x = torch.randn(BATCH, FEATURES, generator=generator("x")).double()
    for bounds in RULE_SETS:
        point = bounds(plain, Interval.point(x))
        torch.testing.assert_close(point.lower, plain(x))
        torch.testing.assert_close(point.upper, plain(x))


def squashed(t):
    return t.tanh()


def test_activations_that_are_modules_have_their_own_rule():
    x = Interval.point(torch.zeros(1, FEATURES))
    for bounds in RULE_SETS:
        bounds(MADE(FEATURES, HIDDEN, activation=nn.SiLU()), x)
        with pytest.raises(TypeError, match="got Hardswish"):
            bounds(MADE(FEATURES, HIDDEN, activation=nn.Hardswish()), x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": squashed}, "activation: got squashed; allowed: a module with a rule, gelu"),
        ({"dropout_probability": 0.1}, "dropout_probability: got 0.1 in training mode"),
        ({"use_batch_norm": True}, r"BatchNorm1d\.training: got True"),
    ],
)
@pytest.mark.parametrize("residual", [False, True])
def test_settings_without_a_sound_rule_are_errors(settings, message, residual):
    made = MADE(FEATURES, HIDDEN, CONTEXT, use_residual_blocks=residual, **settings).train()
    joined = Interval.point(torch.zeros(1, FEATURES + CONTEXT))
    for bounds in RULE_SETS:
        with pytest.raises(ValueError, match=message):
            bounds(JoinedMADE(made), joined)
        with pytest.raises(ValueError, match=message):
            bounds(made, Interval.point(torch.zeros(1, FEATURES)))


def test_what_is_not_nflows_own_is_named():
    joined = Interval.point(torch.zeros(1, FEATURES + CONTEXT))
    hooked = MADE(FEATURES, HIDDEN, CONTEXT).eval()
    hooked.blocks[1].register_forward_hook(lambda module, inputs, output: 2 * output)
    conditioned = ConditionedMADE(FEATURES, HIDDEN, CONTEXT, BLOCKS)
    for bounds in RULE_SETS:
        with pytest.raises(ValueError, match="got MaskedResidualBlock with hooks"):
            bounds(JoinedMADE(hooked), joined)
        with pytest.raises(TypeError, match="got ConditionedMADE, no bound rule"):
            bounds(JoinedMADE(conditioned), Interval.point(torch.zeros(1, FEATURES + 1 + CONTEXT)))
    with pytest.raises(ValueError, match="context_features: got None"):
        JoinedMADE(MADE(FEATURES, HIDDEN))


def test_known_activations_compute_what_nflows_computes():
    t = torch.linspace(-30, 30, 601).double()
    for function, module in made_outputs.ACTIVATIONS.items():
        assert torch.equal(function(t), module(t))
