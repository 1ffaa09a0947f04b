"""What is audited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.estimators.base import Estimator

Inside = Callable[[Tensor], Tensor]
"""Tells which thetas, shape (*, theta_dim), lie in the prior's support; bool, shape (*)."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A posterior under audit.

    Attributes:
        kind: "maf", "maf_rqs", "nsf", "mdn", "flow", "density_estimator" or "object".
        names: classes of the posterior and of its network, for the record.
        model: q(theta | x) before the cut at the prior's support, for x in float64.
        inside: the prior's support, which cuts q; None = q is not cut.
        theta_dim: parameters.
        x_dim: features of x.
        gradients: whether log q(theta | x) has gradients to x.
        uncertified: why the network cannot be bounded; None = it can.
    """

    kind: str
    names: tuple[str, ...]
    model: ConditionalModel
    inside: Inside | None
    theta_dim: int
    x_dim: int
    gradients: bool
    uncertified: str | None

    @property
    def cut(self) -> bool:
        """Whether the prior's support cuts the posterior."""
        return self.inside is not None

    @property
    def estimator(self) -> Estimator | None:
        """The model, if its density can be bounded."""
        bounded = isinstance(self.model, Estimator) and self.uncertified is None
        return self.model if bounded and isinstance(self.model, Estimator) else None
