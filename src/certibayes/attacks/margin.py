"""How far the best rival of the label lies above it, in the mean predictive of a classifier."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import ConditionalModel, Objective, PreparedObjective, Target
from certibayes.attacks.log_density import LABELS
from certibayes.attacks.targets import require_categorical, require_values


class Margin(Objective):
    """max over k != y of log p(k | x') - log p(y | x'), p the mean predictive; no draw is used.

    Positive exactly where the label is not the most probable class. The loss of the label saturates
    where one rival has all the mass; the margin of logits goes on (Carlini and Wagner, 2017). Its
    gradient is that of the mean prediction: it attacks what `decision` certifies.
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
            ValueError: if the target holds no labels.
        """
        labels = require_values(target, "margin", LABELS).unsqueeze(-1)

        def margin(attacked: Distribution) -> Tensor:
            logits = require_categorical(attacked).logits
            rival = logits.scatter(-1, labels, -torch.inf).amax(-1)
            return rival - logits.gather(-1, labels).squeeze(-1)

        return margin
