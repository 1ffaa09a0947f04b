"""The support of a prior of any make."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from certibayes.audit.errors import AuditError
from certibayes.audit.subject import Inside


def inside_support(prior: Any) -> Inside:
    """Return the function that tells which thetas lie in a prior's support.

    By the constraint `prior.support` where there is one, otherwise by a finite `log_prob`.

    Args:
        prior: of torch, of the sbi toolbox, or any object with `log_prob`.

    Raises:
        AuditError: if it has neither.
    """
    support = _constraint(prior)
    if support is None and not hasattr(prior, "log_prob"):
        raise AuditError(f"prior: got {type(prior).__name__}; allowed: with support or log_prob")

    def inside(theta: Tensor) -> Tensor:
        with torch.no_grad():
            if support is None:
                rows = prior.log_prob(theta.reshape(-1, theta.shape[-1]).float())
                return torch.as_tensor(rows).isfinite().reshape(theta.shape[:-1])
            within: Tensor = support.check(theta)
        return within.all(-1) if within.shape == theta.shape else within

    return inside


def _constraint(prior: Any) -> Any | None:
    try:
        support = prior.support
    except (AttributeError, NotImplementedError):
        return None
    return support if hasattr(support, "check") else None
