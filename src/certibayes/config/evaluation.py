"""What is measured on how many observations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from certibayes.config.base import AtLeastTwo, PositiveInt, Spec


class Evaluation(Spec):
    """Sizes of the evaluation, shared by attack, certify and evaluate."""

    observations: AtLeastTwo = 200
    """Test observations that are attacked and certified."""
    report_draws: AtLeastTwo = 1_000
    """Fresh draws of theta that report a divergence: never those that selected an iterate."""
    coverage_draws: PositiveInt = 500
    c2st_observations: PositiveInt = 3
    c2st_draws: Annotated[int, Field(strict=True, ge=50)] = 500
    """Draws of each of the two samples; the classifier's cross-validation needs at least 50."""
    reference_draws: Annotated[int, Field(strict=True, ge=50, le=10_000)] = 1_000
    """Draws of each of the two samples at every observation with a reference posterior."""
    ece_bins: PositiveInt = 15
