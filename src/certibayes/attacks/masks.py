"""Balls that leave some features alone."""

from __future__ import annotations

import torch

from certibayes.config.errors import ConfigError
from certibayes.threat import Ball


def masked(ball: Ball, features: tuple[int, ...] | None, key: str) -> Ball:
    """Return the ball with radius 0 along every feature that is not listed.

    Args:
        ball: the set of allowed x'.
        features: features that may be perturbed, counted from 0; None = all.
        key: key of the study file that states them, named in the error.

    Raises:
        ConfigError: if a feature does not exist.
    """
    if features is None:
        return ball
    x_dim = len(ball.radius)
    outside = [feature for feature in features if not 0 <= feature < x_dim]
    if outside:
        raise ConfigError(f"{key}: got {outside}; allowed: 0 to {x_dim - 1}, the features of x")
    radius = torch.zeros_like(ball.radius)
    radius[list(features)] = ball.radius[list(features)]
    return Ball(ball.norm, radius, ball.clip)
