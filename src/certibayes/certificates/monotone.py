"""What interval bounds promise over a grid of radii."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from certibayes.certificates.base import UnsoundBoundError

TOLERANCE = 1e-7


def require_monotone(quantity: str, values: Sequence[Tensor]) -> None:
    """Check that bounds on common draws do not shrink as the radius grows.

    Interval bounds grow with the radius, theta by theta, so a mean over common draws does too
    (`PosteriorShiftResult.mean`, `Decision`'s `upper`). The *confidence* bound of the mean does
    not: empirical Bernstein and betting shrink where larger terms vary less. Each `upper` holds at
    its own radius with its own confidence; a minimum over radii would have to split the confidence.

    Args:
        quantity: name for the message.
        values: one tensor per radius, ascending, each of shape (batch,).

    Raises:
        UnsoundBoundError: if a value shrinks by more than 1e-7.
    """
    for step, (smaller, larger) in enumerate(pairwise(values)):
        shrunk = ~(larger >= smaller - TOLERANCE)
        if shrunk.any():
            row = int(shrunk.nonzero()[0])
            raise UnsoundBoundError(
                f"{quantity} of observation {row}: {float(smaller[row])} at radius number {step}, "
                f"{float(larger[row])} at the next, larger one"
            )
