"""Nodes of products of parts of an input."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from certibayes.bounds.graph import Node
from certibayes.bounds.graph_rules import enclosed, graph_rule, require_no_lead, tightened
from certibayes.bounds.graph_rules_activations import sigmoid_lines
from certibayes.bounds.nodes import Product, Rearranged
from certibayes.bounds.rules_products import halves


@graph_rule(nn.GLU)
def glu(module: nn.GLU, node: Node) -> Product:
    """Return a sigmoid(b), a and b the halves of the input."""
    require_no_lead(module, node)
    regions = halves(module, node.region)
    dim = module.dim % node.interval.lower.dim() - node.interval.lower.dim()
    values, gates = (
        Rearranged(node, region, partial(_restored, dim=dim, place=place), node.features)
        for place, region in enumerate(regions)
    )
    tightened(values)
    opened = enclosed(gates, lambda over: over.increasing(torch.sigmoid), sigmoid_lines)
    return Product(values, opened)


def _restored(a: Tensor, dim: int, place: int) -> Tensor:
    """Put the coefficients of one half beside zeros for the other."""
    parts = [torch.zeros_like(a), torch.zeros_like(a)]
    parts[place] = a
    return torch.cat(parts, dim)
