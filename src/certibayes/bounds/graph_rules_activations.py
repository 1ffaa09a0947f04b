"""Nodes of activations: their interval rules and the lines around them."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from certibayes.bounds import relaxations
from certibayes.bounds.graph import Node
from certibayes.bounds.graph_rules import enclosed, graph_rule
from certibayes.bounds.interval import Interval
from certibayes.bounds.nodes import Elementwise, Lines
from certibayes.bounds.relaxations_dip import Dip, dip_lines
from certibayes.bounds.rules_dip import gelu as gelu_interval
from certibayes.bounds.rules_dip import silu as silu_interval
from certibayes.bounds.rules_monotone import leaky_relu as leaky_relu_interval
from certibayes.bounds.rules_monotone import monotone
from certibayes.bounds.rules_monotone import softplus as softplus_interval


@graph_rule(nn.ReLU)
def relu(module: nn.ReLU, node: Node) -> Elementwise:
    """Return max(t, 0)."""
    return enclosed(node, partial(monotone, module), relaxations.leaky_relu)


@graph_rule(nn.LeakyReLU)
def leaky_relu(module: nn.LeakyReLU, node: Node) -> Elementwise:
    """Return max(t, 0) + slope min(t, 0).

    Raises:
        ValueError: if the slope is not in [0, 1].
    """
    slope = module.negative_slope
    if not 0 <= slope <= 1:
        raise ValueError(f"negative_slope: got {slope}; allowed with linear bounds: 0 to 1")
    lines = partial(relaxations.leaky_relu, negative_slope=slope)
    return enclosed(node, partial(leaky_relu_interval, module), lines)


@graph_rule(nn.Tanh)
def tanh(module: nn.Tanh, node: Node) -> Elementwise:
    """Return the hyperbolic tangent."""
    return enclosed(node, partial(monotone, module), tanh_lines)


@graph_rule(nn.Sigmoid)
def sigmoid(module: nn.Sigmoid, node: Node) -> Elementwise:
    """Return 1 / (1 + exp(-t))."""
    return enclosed(node, partial(monotone, module), sigmoid_lines)


@graph_rule(nn.Softplus)
def softplus(module: nn.Softplus, node: Node) -> Elementwise:
    """Return log(1 + exp(beta t)) / beta, which is convex."""

    def derivative(t: Tensor) -> Tensor:
        return (module.beta * t).sigmoid()

    lines = partial(relaxations.convex, module.__call__, derivative)
    return enclosed(node, partial(softplus_interval, module), lines)


@graph_rule(nn.SiLU)
def silu(module: nn.SiLU, node: Node) -> Elementwise:
    """Return t sigmoid(t)."""
    return enclosed(node, partial(silu_interval, module), partial(dip_lines, SILU))


@graph_rule(nn.GELU)
def gelu(module: nn.GELU, node: Node) -> Elementwise:
    """Return t Phi(t).

    Raises:
        ValueError: for the approximation by tanh.
    """
    return enclosed(node, partial(gelu_interval, module), partial(dip_lines, GELU))


def tanh_lines(over: Interval) -> Lines:
    """Enclose tanh."""
    return relaxations.sigmoidal(torch.tanh, lambda t: 1 - t.tanh().square(), over)


def sigmoid_lines(over: Interval) -> Lines:
    """Enclose the logistic function."""
    return relaxations.sigmoidal(torch.sigmoid, lambda t: t.sigmoid() * (-t).sigmoid(), over)


def silu_derivative(t: Tensor) -> Tensor:
    """Return sigmoid(t) (1 + t sigmoid(-t))."""
    return t.sigmoid() * (1 + t * (-t).sigmoid())


def gelu_derivative(t: Tensor) -> Tensor:
    """Return Phi(t) + t phi(t)."""
    density = (-0.5 * t.square()).exp() / math.sqrt(2 * math.pi)
    return 0.5 * (1 + torch.erf(t / math.sqrt(2))) + t * density


SILU = Dip(functional.silu, silu_derivative, lambda t: t * (-t).sigmoid(), 0.5, 8.0)
"""Its second derivative lies within [-0.1, 0.5]."""
GELU = Dip(functional.gelu, gelu_derivative, lambda t: t * torch.special.ndtr(-t), 0.8, 6.0)
"""Its second derivative lies within [-0.11, 2 / sqrt(2 pi)]."""
