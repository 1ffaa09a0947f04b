"""What every certificate demands of its inputs."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn

from certibayes.threat import Ball

BALL_TOLERANCE = 1e-9


def require_float64(model: nn.Module, x: Tensor) -> None:
    """Check that a certificate speaks of the float64 network at finite float64 observations.

    Raises:
        ValueError: if a floating-point parameter or buffer of the model or x is not float64, if x
            is not of shape (batch, x_dim) with batch >= 1, or if x is not finite.
    """
    for name, value in chain(model.named_parameters(), model.named_buffers()):
        if value.is_floating_point() and value.dtype != torch.float64:
            raise ValueError(f"model.{name}: got {value.dtype}; allowed: torch.float64")
    if model.training:
        raise ValueError("model: got training mode; allowed: evaluation mode, model.eval()")
    if x.dtype != torch.float64:
        raise ValueError(f"x: got {x.dtype}; allowed: torch.float64")
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"x: got shape {tuple(x.shape)}; allowed: (batch >= 1, x_dim)")
    if not bool(x.isfinite().all()):
        raise ValueError("x: got NaN or infinite values; allowed: finite numbers")


def require_in_ball(ball: Ball, x: Tensor, attacked: Tensor) -> None:
    """Check that attacked observations, shape (batch, x_dim), are float64 and in the ball around x.

    Raises:
        ValueError: otherwise; the relative tolerance is 1e-9.
    """
    if attacked.dtype != torch.float64 or attacked.shape != x.shape:
        raise ValueError(
            f"attacked: got {attacked.dtype} of shape {tuple(attacked.shape)}; allowed: "
            f"torch.float64 of shape {tuple(x.shape)}"
        )
    inside = ball.contains(x, attacked, BALL_TOLERANCE)
    if not bool(inside.all()):
        raise ValueError(
            f"attacked: {int((~inside).sum())} of {len(x)} points lie outside the ball, e.g. row "
            f"{int((~inside).nonzero()[0])}; allowed: points of the certified ball"
        )


def require_thetas(target: Tensor | None, batch: int, theta_dim: int) -> Tensor:
    """Return the thetas that a certificate speaks of, shape (batch, theta_dim).

    Raises:
        ValueError: if there are none, or they are not finite, not float64 or of another shape.
    """
    shape = (batch, theta_dim)
    if target is None or target.dtype != torch.float64 or target.shape != shape:
        got = None if target is None else f"{target.dtype} of shape {tuple(target.shape)}"
        raise ValueError(f"target: got {got}; allowed: torch.float64 of shape {shape}")
    if not bool(target.isfinite().all()):
        raise ValueError("target: got NaN or infinite values; allowed: finite numbers")
    return target
