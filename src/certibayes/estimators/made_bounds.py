"""Bound rules of nflows' masked linear layers; importing this module registers them."""

from __future__ import annotations

from nflows.transforms.made import MaskedLinear

from certibayes.bounds import Interval, Region, rule
from certibayes.bounds.affine import affine
from certibayes.bounds.graph import Node
from certibayes.bounds.graph_rules import graph_rule
from certibayes.bounds.nodes import Affine


@rule(MaskedLinear)
def masked_linear(module: MaskedLinear, region: Region) -> Interval:
    """Bound (mask W) t + b, exactly for each output by itself."""
    return affine(region, module.weight * module.mask, module.bias)


@graph_rule(MaskedLinear)
def masked_linear_node(module: MaskedLinear, node: Node) -> Affine:
    """Return (mask W) t + b."""
    weight = module.weight * module.mask
    return Affine(node, masked_linear(module, node.region), lambda a: a @ weight, module.bias)
