"""Interval bounds of modules over balls and boxes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call, vmap

from certibayes.bounds import (
    graph_rules_activations,
    graph_rules_affine,
    graph_rules_pooling,
    graph_rules_products,
    rules_affine,
    rules_dip,
    rules_monotone,
    rules_normalization,
    rules_pooling,
    rules_products,
    rules_structure,
)
from certibayes.bounds.affine import affine, row_products
from certibayes.bounds.ball import BallAround
from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.graph import Input
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.interval import Interval
from certibayes.bounds.linear import linear_interval
from certibayes.bounds.rules import propagate

__all__ = [
    "graph_rules_activations",
    "graph_rules_affine",
    "graph_rules_pooling",
    "graph_rules_products",
    "interval_bounds",
    "interval_bounds_of_samples",
    "last_layer_folded",
    "linear_bounds",
    "rules_affine",
    "rules_dip",
    "rules_monotone",
    "rules_normalization",
    "rules_pooling",
    "rules_products",
    "rules_structure",
]


def interval_bounds(module: nn.Module, region: Region | BallAround) -> Interval:
    """Return bounds of module(x') over all x' of the region (Gowal et al., 2018).

    Differentiable in weights and inputs; exact at radius 0. An l2 ball enters the first affine
    layer exactly, by row norms.

    Args:
        module: built of modules with a bound rule.
        region: inputs, shape (batch, *features).

    Returns:
        Bounds of the shape of the module's output.

    Raises:
        TypeError: if a module has no bound rule; the message names its type.
    """
    return propagate(module, _resolve(region)).box


def linear_bounds(
    module: nn.Module, region: Region | BallAround, *, tightening: bool = True
) -> Interval:
    """Return bounds of module(x') over all x' of the region by backward linear bounds.

    "CROWN" (Zhang et al., 2018) with `tightening`: the inputs of activations are bounded linearly
    too. Without it "CROWN-IBP" (Zhang et al., 2020): intervals inside, one backward pass. Never
    wider than `interval_bounds`; differentiable; exact at radius 0.

    Args:
        module: built of modules with a graph rule.
        region: inputs, shape (batch, *features).
        tightening: whether intermediate bounds are linear.

    Returns:
        Bounds of the shape of the module's output.

    Raises:
        TypeError: if a module has no graph rule; the message names its type.
    """
    return linear_interval(apply(module, Input(_resolve(region), tightening)))


def last_layer_folded(
    module: nn.Sequential, coefficients: Tensor, region: Region | BallAround
) -> Interval:
    """Return bounds of C module(x') with the last layer folded into C: tighter than C bounds(...).

    C (W h + b) = (C W) h + C b is bounded over the hidden region h, so that terms which the rows of
    W share cancel; e.g. differences of logits in "elision of the last layer" (Gowal et al., 2018).

    Args:
        module: a Sequential that ends in nn.Linear.
        coefficients: C, shape (*, batch, m, outputs) or (m, outputs).
        region: inputs, shape (batch, *features).

    Returns:
        Bounds of shape (*, batch, m).

    Raises:
        TypeError: if the last module is not nn.Linear.
    """
    layers = list(module)
    last = layers[-1]
    if type(last) is not nn.Linear:
        raise TypeError(f"module: last layer is {type(last).__qualname__}; allowed: Linear")
    hidden = _resolve(region)
    for layer in layers[:-1]:
        hidden = propagate(layer, hidden)
    bias = None if last.bias is None else coefficients @ last.bias
    return affine(hidden, coefficients @ last.weight, bias, row_products)


def interval_bounds_of_samples(
    module: nn.Module,
    weight_samples: dict[str, Tensor],
    region: Region | BallAround,
    coefficients: Tensor | None = None,
) -> Interval:
    """Return bounds for every weight sample at once, by vmap.

    Args:
        module: the architecture; its own parameters are not used.
        weight_samples: parameter name -> values, shape (samples, *parameter shape).
        region: inputs, shape (batch, *features).
        coefficients: C of `last_layer_folded`; None = bounds of the outputs themselves.

    Returns:
        Bounds of shape (samples, batch, outputs), or (samples, batch, m) with coefficients.
    """
    bounds = _Bounds(module, _resolve(region), coefficients)

    def one_sample(weights: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        named = {f"module.{name}": value for name, value in weights.items()}
        ends: tuple[Tensor, Tensor] = functional_call(bounds, named, ())
        return ends

    return Interval(*vmap(one_sample)(weight_samples))


class _Bounds(nn.Module):
    """Makes bounds a forward pass, so that functional_call can replace the weights."""

    def __init__(self, module: nn.Module, region: Region, coefficients: Tensor | None) -> None:
        super().__init__()
        self.module = module
        self.region = region
        self.coefficients = coefficients

    def forward(self) -> tuple[Tensor, Tensor]:
        if self.coefficients is None:
            bounds = interval_bounds(self.module, self.region)
        else:
            assert isinstance(self.module, nn.Sequential)
            bounds = last_layer_folded(self.module, self.coefficients, self.region)
        return bounds.lower, bounds.upper


def _resolve(region: Region | BallAround) -> Region:
    return region.region() if isinstance(region, BallAround) else region
