"""Loss of the mean predictive of a classifier."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.attacks.log_density import LABELS, LogDensity


class ExpectedLoss(LogDensity):
    """-log p(y | x'), p the mean predictive (1/S) sum_s p(y | x', w_s) of the weight samples.

    The gradient is that of the mean prediction's loss, not the mean of the samples' losses: it
    attacks what the ensemble predicts (Wicker et al., 2021). The model averages; no draw is used.
    """

    NAME = "expected_loss"
    VALUES = LABELS
    SIGN = -1

    def aim(
        self,
        model: ConditionalModel,
        x: Tensor,
        truth: Tensor,
        prior: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the labels, shape (batch,); see `Objective.aim`."""
        return truth
