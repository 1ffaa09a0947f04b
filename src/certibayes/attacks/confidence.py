"""How sure the mean predictive of a classifier is, whatever the label."""

from __future__ import annotations

import torch
from torch.distributions import Distribution

from certibayes.attacks.base import Objective, PreparedObjective, Target
from certibayes.attacks.targets import require_categorical


class Confidence(Objective):
    """-H(p(. | x')), p the mean predictive: minus its entropy, nats; no draw is used.

    Maximized at foreign inputs it hides them from a detector that goes by the entropy.
    """

    def prepare(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Return the objective, which needs nothing of the clean distribution."""

        def confidence(attacked: Distribution) -> torch.Tensor:
            log = require_categorical(attacked).logits.log_softmax(-1)
            return (log.exp() * log).sum(-1)

        return confidence
