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

        Whether x lies inside the clip range is decided in the precision of x, so that training data
        at the border, rounded to float32, are inside.

        Raises:
            ValueError: if the ball is an l1 ball, which no bound knows, or if an x lies outside the
                clip range: a clamp would leave a single point, and bound nothing else.
        """
        if self.ball.norm == "l1":
            raise ValueError("norm: got 'l1'; allowed for bounds: 'l2', 'linf'")
        flat = self.x.flatten(1)
        self.ball.require_inside_clip(flat)
        lower, upper = self.ball.box(flat)
        box = Interval(lower.view_as(self.x), upper.view_as(self.x))
        if self.ball.norm == "linf":
            return box
        radius = self.ball.radius.to(self.x).expand_as(flat).reshape(self.x.shape)
        return Ellipsoid(self.x, radius, box, cut=self.ball.clip is not None)
