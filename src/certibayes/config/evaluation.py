"""What is measured on how many observations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from certibayes.config.base import AtLeastTwo, Count, PositiveInt, Spec

Foreign = Literal["permuted", "digits", "mnist", "fashion_mnist", "cifar10", "svhn"]


class Evaluation(Spec):
    """Sizes of the evaluation, shared by attack, certify and evaluate."""

    observations: AtLeastTwo = 200
    """Test observations that are attacked and certified."""
    report_draws: Annotated[int, Field(strict=True, ge=256)] = 1_000
    """Fresh draws of theta that report a divergence: never those that selected an iterate."""
    coverage_draws: Annotated[int, Field(strict=True, ge=20)] = 500
    """Of the reporting draws: for expected coverage, ranks (SBC) and TARP."""
    mmd_draws: Annotated[int, Field(strict=True, ge=4)] = 100
    """Of the reporting draws, at most: for MMD, whose cost is quadratic in them."""
    predictive_draws: Count = 20
    """Draws of theta per observation that the simulator is run on, clean and attacked; 0 = off."""
    predictive_observations: Count = 10
    """Test observations whose posteriors are simulated from; 0 = off."""
    c2st_observations: PositiveInt = 3
    """Clean observations that are compared with the exact posterior by C2ST."""
    c2st_attacked_observations: Count = 0
    """Attacked observations, per attack and radius, that are compared by C2ST; 0 = off."""
    c2st_draws: Annotated[int, Field(strict=True, ge=50)] = 500
    """Draws of each of the two samples; the classifier's cross-validation needs at least 50."""
    reference_draws: Annotated[int, Field(strict=True, ge=50, le=10_000)] = 1_000
    """Draws of each of the two samples at every observation with a reference posterior."""
    ece_bins: PositiveInt = 15
    """Bins of the expected calibration error of a classifier."""
    outside: Foreign | None = None
    """Of classifiers: a data set of as many features, whose test inputs the uncertainty should tell
    from the task's; "permuted": the task's own, their features permuted. null = none."""
