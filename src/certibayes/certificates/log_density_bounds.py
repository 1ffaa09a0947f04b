"""Bounds of log q(theta | x') over a ball for given thetas, by intervals or linear functions."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from certibayes.bounds.graph import Input
from certibayes.bounds.linear import lower_form
from certibayes.certificates.base import UnsoundBoundError
from certibayes.certificates.bound_rules import bound_rule, estimator_name
from certibayes.certificates.shift_bounds import RELATIVE_ROUNDING
from certibayes.estimators.base import Estimator
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.threat import Ball

ROUNDING = 1e-13
"""Rounding of a linear bound, as a share of the sizes of all that is added up in it."""

Method = Literal["interval", "crown_ibp", "crown"]


@torch.no_grad()
def lower_log_density(
    method: Method, model: Estimator, theta: Tensor, x: Tensor, ball: Ball
) -> Tensor:
    """Return a lower bound of log q(theta | x') over the ball, shape (*, batch); -inf = none.

    The larger of the interval bound and, for "crown_ibp" and "crown", of the linear one.

    Args:
        method: how the log density is bounded.
        model: the estimator.
        theta: shape (*, batch, theta_dim).
        x: shape (batch, x_dim).
        ball: around every x.

    Raises:
        ValueError: if the estimator has no such bounds.
    """
    bound = _known(_rule("estimator_bounds", model)(model, theta, x, ball).lower)
    if method == "interval":
        return bound
    return torch.maximum(bound, _linear(method, model, theta, x, ball, 1.0))


@torch.no_grad()
def upper_log_density(
    method: Method, model: Estimator, theta: Tensor, x: Tensor, ball: Ball
) -> Tensor:
    """Return an upper bound of log q(theta | x') over the ball, shape (*, batch); inf = none.

    Arguments and errors as `lower_log_density`.
    """
    bound = -_known(-_rule("estimator_bounds", model)(model, theta, x, ball).upper)
    if method == "interval":
        return bound
    return torch.minimum(bound, -_linear(method, model, theta, x, ball, -1.0))


def require_enclosed(lower: Tensor, log_prob: Tensor, upper: Tensor) -> None:
    """Check that bounds over a ball enclose the value at a point of it; all of one shape.

    Raises:
        UnsoundBoundError: if a finite value is outside by more than 1e-8 (1 + |value|).
    """
    slack = RELATIVE_ROUNDING * (1 + log_prob.abs())
    outside = log_prob.isfinite() & ~((lower <= log_prob + slack) & (upper >= log_prob - slack))
    if outside.any():
        place = tuple(int(i) for i in outside.nonzero()[0])
        raise UnsoundBoundError(
            f"log q(theta | x') = {float(log_prob[place])} at {place}, the last number being the "
            f"observation: outside its bounds {float(lower[place])} to {float(upper[place])}"
        )


def _linear(
    method: Method, model: Estimator, theta: Tensor, x: Tensor, ball: Ball, sign: float
) -> Tensor:
    """Return a lower bound of sign * log q(theta | x') by a linear function of x'."""
    graph = _rule("log_density_graph", model)
    region = standardized_ball(model, x, ball)
    node = graph(model, theta, Input(region, method == "crown"))
    form = lower_form(node, torch.full(theta.shape[:-1], sign, dtype=theta.dtype))
    sizes = (form.coefficients * model.standardize(x)).abs().sum(-1)
    return _known(form.minimum() - ROUNDING * (form.magnitude + sizes))


def _rule(kind: str, model: Estimator) -> Any:
    rule = bound_rule(kind, model)
    if rule is None:
        raise ValueError(f"{kind}: {estimator_name(model)!r} has no rule")
    return rule


def _known(bound: Tensor) -> Tensor:
    return torch.where(bound.isnan(), -torch.inf, bound)
