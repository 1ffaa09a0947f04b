"""What a way of bounding the shift of a posterior finds at one radius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.metrics.standard_error import Estimate

RELATIVE_ROUNDING = 1e-8


@dataclass(frozen=True)
class ShiftBounds:
    """Bounds over a ball, all of shape (batch,), float64.

    Attributes:
        upper: bound of the total variation, with the confidence that was asked for.
        mean: the same before the width that the confidence adds.
        comparison: bound of an attack's mean term on the comparison draws, a matter of algebra.
        comparison_kl: bound of an attack's mean log ratio on the same draws, nats.
        kl_estimate: estimate, not a certificate, of a bound of the forward KL, nats.
        forward_kl: certified bound of the forward KL, nats; None = the family's, if there is one.
        confidence: probability that `upper` holds; None = the one that was asked for.
    """

    upper: Tensor
    mean: Tensor
    comparison: Tensor
    comparison_kl: Tensor
    kl_estimate: Estimate
    forward_kl: Tensor | None = None
    confidence: float | None = None


def joined(parts: Sequence[ShiftBounds]) -> ShiftBounds:
    """Return the bounds of consecutive observations as one; none has a `forward_kl` of its own."""
    means, errors = zip(*(part.kl_estimate for part in parts), strict=True)
    return ShiftBounds(
        upper=torch.cat([part.upper for part in parts]),
        mean=torch.cat([part.mean for part in parts]),
        comparison=torch.cat([part.comparison for part in parts]),
        comparison_kl=torch.cat([part.comparison_kl for part in parts]),
        kl_estimate=Estimate(torch.cat(means), torch.cat(errors)),
    )
