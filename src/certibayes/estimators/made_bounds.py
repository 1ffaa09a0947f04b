"""Bound rules of nflows' MADE and of its parts; importing this module registers them."""

from __future__ import annotations

from nflows.transforms.made import (
    MADE,
    MaskedFeedforwardBlock,
    MaskedLinear,
    MaskedResidualBlock,
)
from torch.nn import functional

from certibayes.bounds import Interval, Region, propagate, rule
from certibayes.bounds.affine import affine
from certibayes.bounds.graph import Node
from certibayes.bounds.graph_rules import apply, graph_rule, require_no_lead
from certibayes.bounds.nodes import Affine, Rearranged, Sum
from certibayes.bounds.rules import require_dims
from certibayes.estimators.joined_made import JoinedMADE
from certibayes.estimators.made_outputs import Algebra, Block, block_outputs, made_outputs

REGIONS: Algebra[Region] = Algebra(propagate, lambda one, other: one.box + other.box)
NODES: Algebra[Node] = Algebra(apply, Sum)


@rule(MaskedLinear)
def masked_linear(module: MaskedLinear, region: Region) -> Interval:
    """Bound (mask W) t + b, exactly for each output by itself."""
    return affine(region, module.weight * module.mask, module.bias)


@graph_rule(MaskedLinear)
def masked_linear_node(module: MaskedLinear, node: Node) -> Affine:
    """Return (mask W) t + b."""
    weight = module.weight * module.mask
    return Affine(node, masked_linear(module, node.region), lambda a: a @ weight, module.bias)


@rule(MaskedFeedforwardBlock, MaskedResidualBlock)
def masked_block(module: Block, region: Region) -> Region:
    """Bound a block without context, see `block_outputs`."""
    return block_outputs(REGIONS, module, region, None)


@graph_rule(MaskedFeedforwardBlock, MaskedResidualBlock)
def masked_block_node(module: Block, node: Node) -> Node:
    """Return a block without context, see `block_outputs`."""
    return block_outputs(NODES, module, node, None)


@rule(MADE)
def made(module: MADE, region: Region) -> Region:
    """Bound a MADE without context, see `made_outputs`."""
    return made_outputs(REGIONS, module, region, None)


@graph_rule(MADE)
def made_node(module: MADE, node: Node) -> Node:
    """Return a MADE without context, see `made_outputs`."""
    return made_outputs(NODES, module, node, None)


@rule(JoinedMADE)
def joined_made(module: JoinedMADE, region: Region) -> Region:
    """Bound a MADE of features and context: each part of an ellipsoid in its own projection."""
    require_dims(module, region, 2)
    inputs = region.reshape(lambda t: t[:, : module.features])
    context = region.reshape(lambda t: t[:, module.features :])
    return made_outputs(REGIONS, module.made, inputs, context)


@graph_rule(JoinedMADE)
def joined_made_node(module: JoinedMADE, node: Node) -> Node:
    """Return a MADE of features and context, both parts of one node."""
    require_no_lead(module, node)
    inputs = Rearranged(
        node,
        node.region.reshape(lambda t: t[:, : module.features]),
        lambda a: functional.pad(a, (0, module.context_features)),
        features=1,
    )
    context = Rearranged(
        node,
        node.region.reshape(lambda t: t[:, module.features :]),
        lambda a: functional.pad(a, (module.features, 0)),
        features=1,
    )
    return made_outputs(NODES, module.made, inputs, context)
