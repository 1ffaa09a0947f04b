"""Loss of the mean predictive of a classifier."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import Objective, PreparedObjective


class ExpectedLoss(Objective):
    """-log p(y | x'), p the mean predictive (1/S) sum_s p(y | x', w_s) of the weight samples.

    The gradient is that of the mean prediction's loss, not the mean of the samples' losses: it
    attacks what the ensemble predicts (Wicker et al., 2021). The model averages; no draw is used.
    """

    def prepare(
        self,
        clean: Distribution,
        target: Tensor | None,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Fix the labels; see `Objective.prepare`.

        Raises:
            ValueError: if there is no target.
        """
        if target is None:
            raise ValueError("target: got None; allowed for expected_loss: labels, shape (batch,)")
        return lambda attacked: -attacked.log_prob(target)
