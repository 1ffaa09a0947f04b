"""Targeted: make one implausible theta plausible."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.attacks.log_density import THETAS, LogDensity

CANDIDATES = 100


class TowardTheta(LogDensity):
    """log q(theta_t | x'), theta_t the least plausible of 100 thetas of the prior; nats.

    theta_t minimises log q(theta | x) over the candidates ("theta_bad" of Gloeckler et al., 2023);
    it stays the same at every step and radius. No draw is used.
    """

    NAME = "toward_theta"
    VALUES = THETAS
    SIGN = 1

    def aim(
        self,
        model: ConditionalModel,
        x: Tensor,
        truth: Tensor,
        prior: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Return theta_t, shape (batch, theta_dim); see `Objective.aim`.

        Candidates are 100 different rows of `prior` (all, if there are fewer), the same for every
        item. One whose log density is not finite is never chosen: no gradient leads to it.

        Raises:
            ValueError: if no candidate of an item has a finite log density.
        """
        chosen = prior[torch.randperm(len(prior), generator=generator)[:CANDIDATES]]
        with torch.no_grad():
            q = model(x)
            log_prob = torch.stack([q.log_prob(theta.expand(len(x), -1)) for theta in chosen])
        usable = log_prob.isfinite()
        lost = ~usable.any(0)
        if bool(lost.any()):
            raise ValueError(
                f"prior: got {len(chosen)} thetas, none of finite density at observation "
                f"{int(lost.nonzero()[0])}; allowed: at least one"
            )
        return chosen[torch.where(usable, log_prob, torch.inf).argmin(0)]
