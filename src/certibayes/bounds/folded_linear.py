"""Linear bounds of combinations of a network's outputs, its last layer folded into them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certibayes.bounds.affine import affine, row_products
from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.linear import lower_form


def largest_folded(module: nn.Module, coefficients: Tensor, region: Region) -> Tensor:
    """Return upper bounds of C module(x') over the region, shape (batch, m).

    Intermediate layers have interval bounds, C W one backward pass of linear ones ("CROWN-IBP",
    Zhang et al., 2020), where it is the tighter of the two the interval bound of
    `last_layer_folded`. Differentiable; exact at radius 0.

    Args:
        module: a Sequential that ends in nn.Linear.
        coefficients: C, shape (batch, m, outputs).
        region: inputs, shape (batch, *features).

    Raises:
        TypeError: if the module is not such a Sequential, or has a module without linear bounds.
    """
    layers = list(module) if isinstance(module, nn.Sequential) else []
    if not layers or type(layers[-1]) is not nn.Linear:
        raise TypeError(
            f"module: got {type(module).__qualname__}; allowed: a Sequential that ends in Linear"
        )
    last = layers[-1]
    hidden: Node = Input(region, tightening=False)
    for layer in layers[:-1]:
        hidden = apply(layer, hidden)
    rows = coefficients @ last.weight
    linear = -lower_form(hidden, -rows.movedim(-2, 0)).minimum().movedim(0, -1)
    largest = torch.minimum(linear, affine(hidden.region, rows, None, row_products).upper)
    return largest if last.bias is None else largest + coefficients @ last.bias
