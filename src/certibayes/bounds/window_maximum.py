"""The node of largest entries over windows, and which entries a window holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.graph import Node, sum_features
from certibayes.bounds.interval import Interval


@dataclass(frozen=True)
class Windows:
    """Windows over the flattened positions of a channel.

    Attributes:
        index: positions, shape (windows, size); arbitrary where `inside` is False.
        inside: whether the entry exists, same shape; at least one per window.
    """

    index: Tensor
    inside: Tensor

    def gather(self, values: Tensor) -> Tensor:
        """Return entries of values, (*, positions), by window: (*, windows, size)."""
        return values[..., self.index]

    def scatter(self, values: Tensor, positions: int) -> Tensor:
        """Sum values by window, (*, windows, size), into positions: the transpose of `gather`."""
        sums = values.new_zeros(*values.shape[:-2], positions)
        return sums.index_add(-1, self.index.flatten(), values.flatten(-2))


class WindowMaximum(Node):
    """The largest entry of every window, channel by channel.

    With L the largest lower end in a window, max_j t_j = L + max_j (t_j - L)+, at most
    L + sum_j lambda_j (t_j - l_j) with the chords lambda_j = (u_j - L)+ / (u_j - l_j), and at most
    the largest upper end; of the two the one that is lower at the center. From below: the entry
    with the largest lower end. Both are exact where one entry is always largest.
    """

    def __init__(self, parent: Node, region: Interval, windows: Windows) -> None:
        """Build the node.

        Args:
            parent: values of shape (batch, channels, *positions), bounded as tightly as wanted.
            region: bounds of the maxima, shape (batch, channels, *windows).
            windows: which flattened positions each window holds.
        """
        super().__init__((parent,), region, parent.features)
        flat = parent.interval.reshape(lambda t: t.flatten(2))
        low, high = windows.gather(flat.lower), windows.gather(flat.upper)
        outside = torch.full_like(low, -torch.inf)
        largest = torch.where(windows.inside, low, outside).max(-1, keepdim=True)
        rise = torch.where(windows.inside, (high - largest.values).clamp(min=0), 0.0)
        slope = rise / torch.where(rise > 0, high - low, torch.ones_like(low))
        chords = largest.values.squeeze(-1) - (slope * low).sum(-1)
        constant = torch.where(windows.inside, high, outside).amax(-1)
        at_center = chords + (slope * (low + high) / 2).sum(-1)
        use_constant = constant < at_center
        self._windows = windows
        self._upper_slope = torch.where(use_constant.unsqueeze(-1), torch.zeros_like(slope), slope)
        self._upper_offset = torch.where(use_constant, constant, chords)
        self._lower_slope = torch.zeros_like(low).scatter(-1, largest.indices, 1.0)

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Use the lower bound where a coefficient is positive, the upper one where it is not."""
        flat = coefficients.flatten(1 - self.features)
        positive, negative = flat.clamp(min=0), flat.clamp(max=0)
        pulled = positive.unsqueeze(-1) * self._lower_slope
        pulled = pulled + negative.unsqueeze(-1) * self._upper_slope
        shape = self.parents[0].feature_shape
        summed = self._windows.scatter(pulled, math.prod(shape[1:]))
        offset = sum_features(negative * self._upper_offset, 2)
        return (summed.unflatten(-1, shape[1:]),), offset
