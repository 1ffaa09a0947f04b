"""A uniform prior over a box with its own bounds in every dimension."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Independent, Transform, Uniform, biject_to, constraints
from torch.distributions.constraints import Constraint
from torch.nn.functional import softplus


class Box(Constraint):
    """The closed box between two vectors, compared in the data type of what is checked.

    Attributes:
        lower, upper: shape (d,), float64.
    """

    event_dim = 1

    def __init__(self, lower: Tensor, upper: Tensor) -> None:
        self.lower = lower
        self.upper = upper
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return whether each row lies in the box, shape (*, d) to (*)."""
        inside = (value >= self.lower.to(value)) & (value <= self.upper.to(value))
        return inside.all(-1)


class BoxTransform(Transform):
    """theta = lower + (upper - lower) sigmoid(v), in the data type and on the device of v."""

    domain = constraints.real_vector
    bijective = True

    def __init__(self, box: Box) -> None:
        super().__init__()
        self.codomain = self._box = box

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoxTransform) and other._box is self._box

    def _ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return self._box.lower.to(like), self._box.upper.to(like)

    def _call(self, x: Tensor) -> Tensor:
        lower, upper = self._ends(x)
        return torch.lerp(lower, upper, x.sigmoid()).clamp(lower, upper)

    def _inverse(self, y: Tensor) -> Tensor:
        lower, upper = self._ends(y)
        accuracy = torch.finfo(y.dtype)
        share = ((y - lower) / (upper - lower)).clamp(accuracy.tiny, 1 - accuracy.eps)
        return share.logit()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log |det d theta / d v|, shape (*, d) to (*)."""
        lower, upper = self._ends(x)
        return ((upper - lower).log() - softplus(x) - softplus(-x)).sum(-1)


@biject_to.register(Box)
def _from_the_reals(box: Box) -> BoxTransform:
    return BoxTransform(box)


class UniformPrior(Independent):
    """Independent U(lower_i, upper_i), float64, event shape (d,)."""

    def __init__(self, lower: Sequence[float], upper: Sequence[float]) -> None:
        self.box = Box(
            torch.tensor(lower, dtype=torch.float64), torch.tensor(upper, dtype=torch.float64)
        )
        super().__init__(Uniform(self.box.lower, self.box.upper), 1)

    @property
    def support(self) -> Constraint:
        """The closed box, with event dimension 1."""
        return self.box

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, d)."""
        uniform = torch.rand(n, *self.event_shape, generator=generator, dtype=torch.float64)
        return self.box.lower + (self.box.upper - self.box.lower) * uniform
