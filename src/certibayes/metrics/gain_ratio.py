"""How much more one attack reaches than another, whatever the sign of the objective."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.stats import binomtest
from torch import Tensor

BEATEN_ABOVE = 1.1
"""Ratio of median gains above which a check speaks against an attack."""
FLOOR = 1e-6
"""Gain below which nothing was reached: rounding errors of an objective."""
LARGEST = 1e30
"""Stands for an infinite gain, so that ratios are finite."""


@dataclass(frozen=True)
class GainRatio:
    """Medians over observations of what two attacks gain over the clean value, and their ratio.

    Attributes:
        main: median gain of the attack.
        check: median gain of the one it is held against.
        ratio: (max(check, 0) + FLOOR) / (max(main, 0) + FLOOR), so 1 where neither gains.
        p_value: of the sign test of "the check gains no more than the attack at half of the
            observations": how easily chance alone lets it gain more at so many.
    """

    main: float
    check: float
    p_value: float

    @property
    def beats(self) -> bool:
        """Whether the check speaks against the attack: a ratio above `BEATEN_ABOVE`."""
        return self.ratio > BEATEN_ABOVE

    @property
    def ratio(self) -> float:
        """See the class."""
        return (max(self.check, 0.0) + FLOOR) / (max(self.main, 0.0) + FLOOR)


def gain_ratio(clean: Tensor, main: Tensor, check: Tensor) -> GainRatio:
    """Return the medians of main - clean and check - clean, and their ratio.

    Gains, not values, are compared: a targeted objective or a negative log density may be negative,
    and the clean value of a divergence is 0. A gain that is not a number counts as none.

    Args:
        clean: objective at the clean observations, shape (n,).
        main: objective at the points of the attack, on the same draws, shape (n,).
        check: objective at the points of the other attack, on the same draws, shape (n,).
    """
    gains = [_finite(value - clean) for value in (main, check)]
    wins = int((gains[1] > gains[0] + FLOOR).sum())
    p_value = float(binomtest(wins, len(clean), alternative="greater").pvalue)
    main_gain, check_gain = (float(gain.quantile(0.5)) for gain in gains)
    return GainRatio(main_gain, check_gain, p_value)


def _finite(gain: Tensor) -> Tensor:
    return torch.nan_to_num(gain.double(), nan=0.0, posinf=LARGEST, neginf=-LARGEST)
