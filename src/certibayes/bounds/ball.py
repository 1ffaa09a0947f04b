"""From a threat model's ball around observations to a region that bounds can be propagated from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certibayes.bounds.ellipsoid import Ellipsoid, Region
from certibayes.bounds.interval import Interval
from certibayes.threat import Ball


@dataclass(frozen=True)
class BallAround:
    """The admissible perturbations of every observation of a batch.

    Attributes:
        x: raw observations, shape (batch, *features), inside the ball's clip range.
        ball: radius per feature, raw units, over the flattened features.
    """

    x: Tensor
    ball: Ball

    def region(self) -> Region:
        """Return the same set: a box (linf, exactly) or an ellipsoid cut by a box (l2, exactly).

        Raises:
            ValueError: if the ball is an l1 ball, which no bound knows.
        """
        if self.ball.norm == "l1":
            raise ValueError("norm: got 'l1'; allowed for bounds: 'l2', 'linf'")
        flat = self.x.flatten(1)
        lower, upper = self.ball.box(flat)
        box = Interval(lower.view_as(self.x), upper.view_as(self.x))
        if self.ball.norm == "linf":
            return box
        radius = self.ball.radius.to(self.x).expand_as(flat).reshape(self.x.shape)
        return Ellipsoid(self.x, radius, box, cut=self.ball.clip is not None)
