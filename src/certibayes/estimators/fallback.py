"""A node whose linear bounds give way to its interval where that is tighter."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.graph import Node
from certibayes.bounds.linear import lower_form


class OrInterval(Node):
    """One number per observation, bounded linearly or by its interval: the better worst case.

    The choice is made for every number and end by itself, at the cost of one backward pass per end.
    """

    def __init__(self, parent: Node) -> None:
        """Build the node.

        Args:
            parent: a node without features.
        """
        super().__init__((parent,), parent.region, 0)
        self._constant: dict[float, tuple[Tensor, Tensor]] = {}

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Keep the coefficients where the linear bound is better, else take the interval's end."""
        pulled, offset = torch.zeros_like(coefficients), torch.zeros_like(coefficients)
        for sign, part in ((1.0, coefficients.clamp(min=0)), (-1.0, -coefficients.clamp(max=0))):
            if bool(part.any()):
                linear, end = self._chosen(sign)
                pulled = pulled + sign * torch.where(linear, part, 0.0)
                offset = offset + torch.where(linear, 0.0, part * end)
        return (pulled,), offset

    def _chosen(self, sign: float) -> tuple[Tensor, Tensor]:
        """Return where the linear bound of sign * value is better, and the interval's."""
        if sign not in self._constant:
            bounds = self.interval
            end = bounds.lower if sign > 0 else -bounds.upper
            form = lower_form(self.parents[0], torch.full_like(end, sign))
            self._constant[sign] = form.minimum() >= end, end
        return self._constant[sign]
