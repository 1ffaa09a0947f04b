"""Loss of the mean predictive of a classifier."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import ConditionalModel, Objective, PreparedObjective, Target
from certibayes.attacks.targets import require_values


class ExpectedLoss(Objective):
    """-log p(y | x'), p the mean predictive (1/S) sum_s p(y | x', w_s) of the weight samples.

    The gradient is that of the mean prediction's loss, not the mean of the samples' losses: it
    attacks what the ensemble predicts (Wicker et al., 2021). The model averages; no draw is used.
    """

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

    def prepare(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Fix the labels; see `Objective.prepare`.

        Raises:
            ValueError: if the target holds no values.
        """
        labels = require_values(target, "expected_loss", "labels, shape (batch,)")
        return lambda attacked: -attacked.log_prob(labels)
