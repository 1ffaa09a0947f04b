"""Distance of what a posterior predicts to what was observed."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PredictiveDistance(NamedTuple):
    """Median over draws of a norm of (simulated - observed) / unit; all of shape (batch,).

    NaN where no simulation of an observation succeeded.

    Attributes:
        l1: sum over features of absolute differences.
        l2: Euclidean norm.
        linf: largest absolute difference.
    """

    l1: Tensor
    l2: Tensor
    linf: Tensor


def predictive_distance(simulated: Tensor, observed: Tensor, unit: Tensor) -> PredictiveDistance:
    """Measure how far simulations of posterior draws lie from the observation.

    Args:
        simulated: x ~ p(. | theta), theta ~ q, shape (n, batch, x_dim); NaN in a row that failed,
            which is left out.
        observed: shape (batch, x_dim).
        unit: of every feature, shape (x_dim,); features with unit 0 are left out.
    """
    known = unit > 0
    difference = ((simulated - observed)[..., known] / unit[known]).abs()
    norms = (difference.sum(-1), difference.square().sum(-1).sqrt(), difference.amax(-1))
    return PredictiveDistance(*(norm.nanquantile(0.5, dim=0) for norm in norms))
