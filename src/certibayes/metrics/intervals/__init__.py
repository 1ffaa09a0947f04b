"""One-sided confidence bounds of means of iid terms in [0, 1], valid at every sample size."""

from certibayes.metrics.intervals.betting import betting_lower, betting_upper
from certibayes.metrics.intervals.clopper_pearson import (
    clopper_pearson_lower,
    clopper_pearson_upper,
)
from certibayes.metrics.intervals.empirical_bernstein import (
    empirical_bernstein_lower,
    empirical_bernstein_upper,
)
from certibayes.metrics.intervals.hoeffding import hoeffding_lower, hoeffding_upper
from certibayes.metrics.intervals.select import mean_lower, mean_upper

__all__ = [
    "betting_lower",
    "betting_upper",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "empirical_bernstein_lower",
    "empirical_bernstein_upper",
    "hoeffding_lower",
    "hoeffding_upper",
    "mean_lower",
    "mean_upper",
]
