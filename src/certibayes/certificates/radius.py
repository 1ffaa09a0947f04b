"""The largest certified radius of a grid that was fixed beforehand."""

from __future__ import annotations

from torch import Tensor


def least_over_larger(upper: Tensor) -> Tensor:
    """Return bounds that cannot shrink as the radius grows: min over i >= j of upper_i.

    A ball lies in every larger one of the same norm, unit and clip range, so a bound of the larger
    serves the smaller. Where `upper` has a confidence, all radii of the grid must share it.

    Args:
        upper: bounds at ascending radii, shape (radii, batch).

    Returns:
        Shape (radii, batch), nondecreasing in the radius.
    """
    return upper.flip(0).cummin(0).values.flip(0)


def certified_at_any_larger(certified: Tensor) -> Tensor:
    """Return which observations are certified at a radius or at a larger one, (radii, batch)."""
    return certified.flip(0).cummax(0).values.flip(0)


def certified_radius(epsilons: Tensor, certified: Tensor) -> Tensor:
    """Return the largest certified epsilon, shape (batch,); 0 where no radius is certified.

    Args:
        epsilons: ascending, shape (radii,).
        certified: bool, shape (radii, batch).
    """
    return (certified.to(epsilons) * epsilons.unsqueeze(1)).amax(0)
