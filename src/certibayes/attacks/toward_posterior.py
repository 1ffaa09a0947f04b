"""Targeted: make the posterior that of another observation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import ConditionalModel, Objective, PreparedObjective, Target
from certibayes.attacks.forward_kl import ForwardKL
from certibayes.attacks.targets import require_distribution


class TowardPosterior(Objective):
    """-KL(q(. | x_t) || q(. | x')), x_t another of the attacked observations; nats.

    The expectation is under the target posterior ("perm_x" of Gloeckler et al., 2023), in closed
    form if both are Gaussian. At most 0, reached where x' means what x_t means.
    """

    def aim(
        self,
        model: ConditionalModel,
        x: Tensor,
        truth: Tensor,
        prior: Tensor,
        generator: torch.Generator,
    ) -> Distribution:
        """Return q(. | x_t), batch shape (batch,); see `Objective.aim`.

        x_t is the next observation on one random cycle through all of them, so none is its own
        target.

        Raises:
            ValueError: if there are fewer than two observations.
        """
        if len(x) < 2:
            raise ValueError(
                f"x: got {len(x)} observations; allowed for toward_posterior: at least 2"
            )
        order = torch.randperm(len(x), generator=generator)
        following = torch.empty_like(order)
        following[order] = order.roll(1)
        with torch.no_grad():
            return model(x[following])

    def prepare(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Draw theta from the target posteriors; see `Objective.prepare`.

        Raises:
            ValueError: if the target is no distribution.
            TypeError: if it is neither a Posterior nor Gaussian.
        """
        aimed = require_distribution(target, "toward_posterior")
        divergence = ForwardKL().prepare(aimed, None, draws, generator)
        return lambda attacked: -divergence(attacked)

    def prepare_gradient(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Leave log q(theta | x_t) out; see `Objective.prepare_gradient`.

        Raises:
            ValueError: if the target is no distribution.
            TypeError: if it is neither a Posterior nor Gaussian.
        """
        aimed = require_distribution(target, "toward_posterior")
        divergence = ForwardKL().prepare_gradient(aimed, None, draws, generator)
        return lambda attacked: -divergence(attacked)
