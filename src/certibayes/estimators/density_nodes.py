"""Nodes that the log densities of all estimators are built from."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from certibayes.bounds.affine import affine
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.graph_rules import apply, enclosed
from certibayes.bounds.nodes import Affine, Elementwise, Shifted, Sum, Total
from certibayes.bounds.relaxations import concave, convex, sigmoidal
from certibayes.estimators.base import Estimator
from certibayes.estimators.scale import SCALE_FLOOR, positive_scale


def embedded(estimator: Estimator, standardized: Input) -> Node:
    """Return what the estimator conditions on as a function of the standardised x'."""
    embedding = estimator.embedding
    return standardized.once(embedding, lambda: apply(embedding, standardized))


def hidden_layer(estimator: Estimator, trunk: nn.Module, standardized: Input) -> Node:
    """Return trunk(embedding of the standardised x'), which no theta changes."""
    return standardized.once(trunk, lambda: apply(trunk, embedded(estimator, standardized)))


def affine_node(node: Node, weight: Tensor, bias: Tensor) -> Affine:
    """Return W t + b for a matrix W, shape (outputs, inputs)."""
    return Affine(node, affine(node.region, weight, bias), lambda a: a @ weight, bias)


def scale_node(raw: Node) -> Elementwise:
    """Return softplus(raw) + floor, convex and increasing."""
    return enclosed(
        raw,
        lambda over: over.increasing(positive_scale),
        lambda over: convex(positive_scale, torch.sigmoid, over),
    )


def log_scale_node(raw: Node) -> Elementwise:
    """Return log(softplus(raw) + floor), enclosed as one function.

    Its second derivative has the sign of sigmoid(-t) (softplus(t) + floor) - sigmoid(t), positive
    below one inflection, where the floor takes over, and negative above it.
    """
    return enclosed(
        raw,
        lambda over: over.increasing(_log_scale),
        lambda over: sigmoidal(_log_scale, _log_scale_derivative, over, INFLECTION),
    )


def normal_log_density_node(noise: Node, *log_scales: Node, constant: Tensor) -> Node:
    """Return sum_i -noise_i^2 / 2 + sum of log scales + constant - d log(2 pi) / 2.

    Args:
        noise: shape (*, batch, d).
        log_scales: nodes of shape (*, batch, d).
        constant: shape (*, batch).
    """
    squares = enclosed(
        noise,
        lambda over: -over.square().scaled(0.5),
        lambda over: concave(lambda t: -0.5 * t.square(), torch.neg, over),
    )
    total = Sum(*(Total(term) for term in (squares, *log_scales)))
    return Shifted(total, constant - 0.5 * noise.feature_shape[-1] * math.log(2 * math.pi))


def _log_scale(raw: Tensor) -> Tensor:
    return positive_scale(raw).log()


def _log_scale_derivative(raw: Tensor) -> Tensor:
    return raw.sigmoid() / positive_scale(raw)


def _inflection() -> float:
    low, high = -50.0, 0.0
    for _ in range(100):
        middle = (low + high) / 2
        convex_here = math.exp(-middle) * (math.log1p(math.exp(middle)) + SCALE_FLOOR) > 1
        low, high = (middle, high) if convex_here else (low, middle)
    return high


INFLECTION = _inflection()
"""Where log(softplus(t) + floor) turns from convex to concave, about -3.09."""
