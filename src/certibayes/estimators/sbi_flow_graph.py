"""The log density of a flow trained elsewhere as a graph of nodes, for bounds in x'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from nflows.nn.nets.resnet import ResidualNet
from nflows.transforms.autoregressive import (
    MaskedAffineAutoregressiveTransform,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
)
from nflows.transforms.base import Transform
from nflows.transforms.coupling import PiecewiseRationalQuadraticCouplingTransform
from nflows.transforms.lu import LULinear
from nflows.transforms.made import MADE
from nflows.transforms.permutations import Permutation, RandomPermutation, ReversePermutation
from nflows.transforms.standard import PointwiseAffineTransform
from torch import Tensor
from torch.nn import functional

from certibayes.bounds.affine import affine
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.nodes import Affine, Product, Scaled, Shifted, Sum
from certibayes.estimators.density_nodes import (
    affine_node,
    embedded,
    log_scale_node,
    normal_log_density_node,
    scale_node,
)
from certibayes.estimators.foreign import ForeignNetworkError
from certibayes.estimators.sbi_flow import SbiFlow
from certibayes.estimators.sbi_networks import made_hidden_node, masked, residual_hidden_node
from certibayes.estimators.sbi_splines import SbiSplines
from certibayes.estimators.scale import SCALE_FLOOR


@dataclass(frozen=True)
class Passed:
    """theta on its way to noise.

    Attributes:
        u: where it is, shape (*, batch, d); a tensor as long as no x has entered.
        log_det: what is fixed of log |det du / dtheta|, shape (*, batch).
        log_slopes: the other summands, nodes of shape (*, batch, any).
        conditions: what the transforms are conditioned on, shape (batch, features).
    """

    u: Node | Tensor
    log_det: Tensor
    log_slopes: tuple[Node, ...]
    conditions: Node

    def to(self, u: Node | Tensor, *log_slopes: Node) -> Passed:
        """Return the state after a transform."""
        return replace(self, u=u, log_slopes=(*self.log_slopes, *log_slopes))


def log_density_graph(estimator: SbiFlow, theta: Tensor, standardized: Input) -> Node:
    """Return log q(theta | x') as a function of the standardized x'.

    Args:
        estimator: the flow.
        theta: shape (*, batch, theta_dim).
        standardized: the perturbed input, shape (batch, x_dim).

    Returns:
        A node with values of shape (*, batch).

    Raises:
        TypeError: if a module has no bound; the message names it.
    """
    zeros = theta.new_zeros(theta.shape[:-1])
    state = Passed(theta, zeros, (), embedded(estimator, standardized))
    for transform in estimator.transforms:
        rule = RULES.get(type(transform))
        if rule is None:
            known = ", ".join(sorted(kind.__name__ for kind in RULES))
            raise ForeignNetworkError(
                f"module: got {type(transform).__name__}, no linear bound rule; allowed: {known}"
            )
        state = rule(transform, state)
    if isinstance(state.u, Tensor):
        raise ForeignNetworkError("module: got a flow without a conditioned transform, no bound")
    return normal_log_density_node(state.u, *state.log_slopes, constant=state.log_det)


def _pointwise(transform: PointwiseAffineTransform, state: Passed) -> Passed:
    d = _width(state.u)
    scale, shift = transform._scale.expand(d), transform._shift.expand(d)
    state = replace(state, log_det=state.log_det + scale.log().sum())
    if isinstance(state.u, Tensor):
        return state.to(state.u * scale + shift)
    return state.to(Shifted(Scaled(state.u, scale), shift))


def _permuted(transform: Permutation, state: Passed) -> Passed:
    if transform._dim != 1:
        raise ForeignNetworkError("module: got a Permutation of another dimension than 1, no bound")
    order: Tensor = transform._permutation
    if isinstance(state.u, Tensor):
        return state.to(state.u[..., order])
    matrix = torch.eye(len(order)).to(state.log_det)[order]
    return state.to(affine_node(state.u, matrix, matrix.new_zeros(len(order))))


def _lu_linear(transform: LULinear, state: Passed) -> Passed:
    weight, bias = transform.weight(), transform.bias
    state = replace(state, log_det=state.log_det + transform.logabsdet())
    if isinstance(state.u, Tensor):
        return state.to(functional.linear(state.u, weight, bias))
    return state.to(affine_node(state.u, weight, bias))


def _affine_autoregressive(transform: MaskedAffineAutoregressiveTransform, state: Passed) -> Passed:
    if transform._epsilon != SCALE_FLOOR:
        raise ForeignNetworkError(
            f"module: got {type(transform).__name__} with least scale {transform._epsilon}, "
            f"no bound; allowed: {SCALE_FLOOR}"
        )
    made: MADE = transform.autoregressive_net
    hidden = made_hidden_node(made, state.conditions, state.u)
    weight, bias = masked(made.final_layer)
    raw = affine_node(hidden, weight[0::2], bias[0::2])
    shift = affine_node(hidden, weight[1::2], bias[1::2])
    scale = scale_node(raw)
    scaled = Scaled(scale, state.u) if isinstance(state.u, Tensor) else Product(scale, state.u)
    return state.to(Sum(scaled, shift), log_scale_node(raw))


def _spline_autoregressive(
    transform: MaskedPiecewiseRationalQuadraticAutoregressiveTransform, state: Passed
) -> Passed:
    made: MADE = transform.autoregressive_net
    splines = SbiSplines.of(transform, getattr(made, "hidden_features", None))
    hidden = made_hidden_node(made, state.conditions, state.u)
    numbers = _numbers(hidden, splines, *masked(made.final_layer))
    arguments = _fixed(hidden, state.u) if isinstance(state.u, Tensor) else state.u
    z, log_slope = splines.nodes(arguments, numbers)
    return state.to(z, log_slope)


def _spline_coupling(
    transform: PiecewiseRationalQuadraticCouplingTransform, state: Passed
) -> Passed:
    """Leave the identity features as they are; the splines of the others see them and x'."""
    net = transform.transform_net
    if type(net) is not ResidualNet:
        raise ForeignNetworkError(f"module: got {type(net).__name__} in a coupling, no bound")
    if transform.unconditional_transform is not None:
        raise ForeignNetworkError("module: got a coupling with an unconditional transform")
    splines = SbiSplines.of(transform, net.hidden_features)
    every = torch.eye(transform.features).to(state.log_det)
    kept, moved = every[transform.identity_features], every[transform.transform_features]
    hidden = residual_hidden_node(net, state.conditions, _selected(state.u, kept))
    numbers = _numbers(hidden, splines, net.final_layer.weight, net.final_layer.bias)
    chosen = _selected(state.u, moved)
    arguments = _fixed(hidden, chosen) if isinstance(chosen, Tensor) else chosen
    z, log_slope = splines.nodes(arguments, numbers)
    placed = affine_node(z, moved.T, moved.new_zeros(transform.features))
    if isinstance(state.u, Tensor):
        return state.to(Shifted(placed, state.u @ (kept.T @ kept)), log_slope)
    rest = affine_node(state.u, kept.T @ kept, kept.new_zeros(transform.features))
    return state.to(Sum(placed, rest), log_slope)


def _numbers(hidden: Node, splines: SbiSplines, weight: Tensor, bias: Tensor) -> Affine:
    """Return the splines' scaled, unconstrained numbers, shape (*, batch, d, 3 bins - 1)."""
    scale = splines.row_scale(bias)
    bias = bias.unflatten(0, (-1, len(scale))) * scale
    flat = (weight.unflatten(0, (-1, len(scale))) * scale.unsqueeze(-1)).flatten(0, 1)
    region = affine(hidden.region, flat, bias.flatten())
    region = region.reshape(lambda t: t.unflatten(-1, bias.shape))
    return Affine(hidden, region, lambda a: a.flatten(-2) @ flat, bias, 2)


def _selected(u: Node | Tensor, matrix: Tensor) -> Node | Tensor:
    if isinstance(u, Tensor):
        return u @ matrix.T
    return affine_node(u, matrix, matrix.new_zeros(len(matrix)))


def _fixed(like: Node, value: Tensor) -> Node:
    """Return a node that has one value for every x'."""
    zeros = value.new_zeros(value.shape[-1], like.feature_shape[-1])
    return Shifted(affine_node(like, zeros, zeros[:, 0]), value)


def _width(u: Node | Tensor) -> int:
    return u.shape[-1] if isinstance(u, Tensor) else u.feature_shape[-1]


RULES: dict[type[Transform], Callable[[Any, Passed], Passed]] = {
    PointwiseAffineTransform: _pointwise,
    Permutation: _permuted,
    RandomPermutation: _permuted,
    ReversePermutation: _permuted,
    LULinear: _lu_linear,
    MaskedAffineAutoregressiveTransform: _affine_autoregressive,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform: _spline_autoregressive,
    PiecewiseRationalQuadraticCouplingTransform: _spline_coupling,
}
"""How every transform moves theta towards noise."""
