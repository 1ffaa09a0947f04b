"""Linear Gaussian task with a fixed diagonal matrix, the convention of Gloeckler et al. (2023)."""

from __future__ import annotations

import torch

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.linear_gaussian import LinearGaussianTask

DIAGONAL = (
    -0.2633,
    -1.9402,
    1.6822,
    -0.29684,
    -0.031292,
    -1.0250,
    0.056811,
    0.29649,
    1.2073,
    -1.7704,
)


class GaussianLinear(LinearGaussianTask):
    """theta ~ N(0, I), x = A theta + 0.1 N(0, I), 10 to 10, A = diag(DIAGONAL)."""

    def __init__(self, spec: TaskSpec) -> None:
        slope = torch.tensor(DIAGONAL, dtype=torch.float64)
        super().__init__(spec, slope, prior_variance=1.0, noise_variance=0.1**2)
