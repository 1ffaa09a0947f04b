"""What objectives share that are the log density of fixed values, with either sign."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.distributions import Distribution

from certibayes.attacks.base import Objective, PreparedObjective, Target
from certibayes.attacks.targets import require_values

THETAS = "thetas, shape (batch, theta_dim)"
LABELS = "labels, shape (batch,)"


class LogDensity(Objective):
    """SIGN * log q(value | x') at the values that `aim` returned; nats. No draw is used.

    Attributes:
        NAME: of the objective in the registry.
        VALUES: what the values are, for the error.
        SIGN: 1 to make them likelier, -1 less likely.
    """

    NAME: ClassVar[str]
    VALUES: ClassVar[str]
    SIGN: ClassVar[int]

    def prepare(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Fix the values; see `Objective.prepare`.

        Raises:
            ValueError: if the target holds no values.
        """
        values = require_values(target, self.NAME, self.VALUES)
        return lambda attacked: self.SIGN * attacked.log_prob(values)
