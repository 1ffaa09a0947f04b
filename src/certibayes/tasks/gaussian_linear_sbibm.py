"""Linear Gaussian task in the convention of sbibm, Lueckmann et al. (2021)."""

from __future__ import annotations

import torch

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.linear_gaussian import LinearGaussianTask


class GaussianLinearSbibm(LinearGaussianTask):
    """theta ~ N(0, 0.1 I), x given theta ~ N(theta, 0.1 I), 10 to 10; 0.1 is the variance."""

    def __init__(self, spec: TaskSpec) -> None:
        slope = torch.ones(10, dtype=torch.float64)
        super().__init__(spec, slope, prior_variance=0.1, noise_variance=0.1)
