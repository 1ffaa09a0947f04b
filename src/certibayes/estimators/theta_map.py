"""The map between theta, in the prior's support, and the unconstrained, standardised v."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Transform, biject_to
from torch.distributions.constraints import Constraint

from certibayes.estimators.support import support_like


@dataclass(frozen=True)
class ThetaMap:
    """theta = bijection(location + scale * v), the bijection torch's from R^theta_dim to a support.

    Attributes:
        support: of the prior. (The codomain of the bijection is no substitute: torch states that
            of a composition's last part, so all of R for "positive".)
        location: shape (theta_dim,).
        scale: shape (theta_dim,), positive.
    """

    support: Constraint
    location: Tensor
    scale: Tensor

    def bijection(self, like: Tensor) -> Transform:
        """Return the bijection from all of R^theta_dim onto the support, in a tensor's type."""
        return biject_to(support_like(self.support, like))

    def to_theta(self, v: Tensor) -> Tensor:
        """Map v to theta, both of shape (*, theta_dim) and of v's data type."""
        theta: Tensor = self.bijection(v)(self.location + self.scale * v)
        return theta

    def to_v(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Map theta to v and log |det dv / dtheta|, shapes (*, theta_dim) and (*), theta's type.

        Outside the support the determinant's logarithm is -inf, so that a log density built on it
        is -inf, and v is 0, so that no NaN enters a gradient.
        """
        bijection = self.bijection(theta)
        inside = self._inside(theta)
        interior: Tensor = bijection(self.location)
        theta = torch.where(inside.unsqueeze(-1), theta, interior.to(theta))
        unconstrained = bijection.inv(theta)
        log_det = bijection.log_abs_det_jacobian(unconstrained, theta)
        if bijection.domain.event_dim == 0:
            log_det = log_det.sum(-1)
        v = (unconstrained - self.location) / self.scale
        log_det = -log_det - self.scale.log().sum()
        return v, torch.where(inside, log_det, -torch.inf)

    def _inside(self, theta: Tensor) -> Tensor:
        inside: Tensor = support_like(self.support, theta).check(theta)
        if self.support.event_dim == 0:
            inside = inside.all(-1)
        return inside & theta.isfinite().all(-1)
