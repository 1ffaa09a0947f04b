"""Tests of accuracy with random points (Lemos et al., 2023)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from certibayes.metrics.coverage import coverage_curve, credibility
from certibayes.metrics.uniformity import uniformity


class Tarp(NamedTuple):
    """Expected coverage of balls around random points.

    Attributes:
        credibility: of the smallest ball around each reference point that holds the true theta,
            shape (batch,); uniform in (0, 1) for the true posterior.
        coverage: share of true thetas inside the ball of each level, shape (levels,).
        area: integral of |coverage - level| over the levels.
        bias: integral of coverage - level over the levels from 1/2 on: negative = too narrow,
            positive = too wide.
        p: Kolmogorov-Smirnov p-value of uniform credibilities.
    """

    credibility: Tensor
    coverage: Tensor
    area: float
    bias: float
    p: float


def tarp(
    theta: Tensor,
    draws: Tensor,
    references: Tensor,
    unit: Tensor,
    levels: Tensor,
    generator: torch.Generator,
) -> Tarp:
    """Return how often balls around random points hold the true theta.

    The ball of level L around r_i is the one that holds the share L of the draws from q(. | x_i);
    its credibility for theta_i is (k + 1/2) / (n + 1), k the number of draws nearer to r_i than
    theta_i. Unlike highest-density regions these balls see a bias of the location. Where the
    reference points do not depend on x, the prior in place of the posterior passes this test, as it
    passes the others.

    Args:
        theta: true parameters, shape (batch, theta_dim).
        draws: n draws from each q(. | x_i), shape (n, batch, theta_dim).
        references: random points, independent of theta given x, shape (batch, theta_dim).
        unit: what distances are measured in, per parameter, shape (theta_dim,), positive.
        levels: increasing credibilities in [0, 1], shape (levels,).
        generator: source of the randomization behind the p-value.

    Raises:
        ValueError: if a distance is NaN or the levels are not increasing within [0, 1].
    """
    true, drawn = (((points - references) / unit).norm(dim=-1) for points in (theta, draws))
    needed = credibility(-true, -drawn)
    curve = coverage_curve(needed, levels)
    upper = curve.levels >= 0.5
    bias = torch.trapezoid((curve.coverage - curve.levels)[upper], curve.levels[upper])
    ranks = needed * (len(draws) + 1) - 0.5
    p = uniformity(ranks, len(draws), generator).p
    return Tarp(needed, curve.coverage, curve.area, float(bias), p)
