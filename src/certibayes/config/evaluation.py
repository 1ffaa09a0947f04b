"""What is measured on how many observations."""

from __future__ import annotations

from certibayes.config.base import PositiveInt, Spec


class Evaluation(Spec):
    """Sizes of the evaluation, shared by attack, certify and evaluate."""

    observations: PositiveInt = 200
    """Test observations that are attacked and certified."""
    report_draws: PositiveInt = 1_000
    """Fresh draws of theta that report a divergence: never those that selected an iterate."""
    coverage_draws: PositiveInt = 500
    c2st_observations: PositiveInt = 3
    c2st_draws: PositiveInt = 500
    ece_bins: PositiveInt = 15
