"""The logarithm of a sum of exponentials as a node of a graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from certibayes.bounds.graph import Node
from certibayes.bounds.graph_rules import tightened
from certibayes.bounds.interval import Interval

REACH = 0.5
"""How far inside the box the planes touch, at most: see `LogSumExp`."""


class LogSumExp(Node):
    """log sum_k exp(u_k) of nodes with one number per observation each.

    Convex, so a tangent plane bounds it from below. From above, with c_k the chord of exp over the
    interval of u_k and S > 0, log sum_k exp(u_k) <= log S - 1 + sum_k c_k(u_k) / S. The plane below
    touches at most `REACH` above the lower corner of the box, and S is the sum of the chords at
    most `REACH` below the upper one. At these corners themselves the planes would be nowhere worse
    than the interval; inside narrow boxes they touch at the center, as for any convex function.
    """

    def __init__(self, parents: Sequence[Node]) -> None:
        """Build the node.

        Args:
            parents: nodes without features; their leading dimensions are broadcast.
        """
        boxes = [parent.interval for parent in parents]
        lower = torch.stack(torch.broadcast_tensors(*(box.lower for box in boxes)), -1)
        upper = torch.stack(torch.broadcast_tensors(*(box.upper for box in boxes)), -1)
        self._box = Interval(lower, upper)
        region = self._box.reshape(lambda ends: ends.logsumexp(-1))
        super().__init__(tuple(parents), region, 0)

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Use the plane below where a coefficient is positive, the one above where it is not."""
        positive, negative = coefficients.clamp(min=0), coefficients.clamp(max=0)
        below, below_offset = self._below()
        above, above_offset = self._above()
        slopes = positive.unsqueeze(-1) * below + negative.unsqueeze(-1) * above
        return slopes.unbind(-1), positive * below_offset + negative * above_offset

    def _below(self) -> tuple[Tensor, Tensor]:
        at = self._box.lower + self._box.radius.clamp(max=REACH)
        slope = at.softmax(-1)
        return slope, at.logsumexp(-1) - (slope * at).sum(-1)

    def _above(self) -> tuple[Tensor, Tensor]:
        upper, width = self._box.upper, self._box.width
        largest = upper.amax(-1, keepdim=True)
        top = (upper - largest).exp()
        # The chord's slope exp(upper) (1 - exp(-width)) / width.
        safe = torch.where(width > 0, width, torch.ones_like(width))
        slope = top * torch.where(width > 0, -torch.expm1(-safe) / safe, torch.ones_like(width))
        at = upper - self._box.radius.clamp(max=REACH)
        total = (top + slope * (at - upper)).sum(-1, keepdim=True)
        share = slope / total
        at_top = largest.squeeze(-1) + total.squeeze(-1).log() - 1 + (top / total).sum(-1)
        return share, at_top - (share * upper).sum(-1)


def log_sum_exp_node(parents: Sequence[Node]) -> LogSumExp:
    """Return log sum_k exp(u_k), with the intervals of the u_k tightened if asked.

    Args:
        parents: nodes without features.
    """
    for parent in parents:
        tightened(parent)
    return LogSumExp(parents)
