"""Posteriors that the prior's support cuts: draws, mass inside, and how far they move."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.attacks.kl_terms import kl_terms
from certibayes.audit.subject import Subject
from certibayes.metrics.total_variation import total_variation_terms
from certibayes.seeding import generator


@dataclass(frozen=True)
class CutDraws:
    """theta ~ q(. | x); those inside the support are draws of the posterior that a user sees.

    Attributes:
        theta: shape (n, batch, theta_dim).
        log_prob: log q(theta | x) before the cut, shape (n, batch).
        inside: which lie in the support, bool, shape (n, batch).
        cut: False = all of q is inside, exactly.
    """

    theta: Tensor
    log_prob: Tensor
    inside: Tensor
    cut: bool

    @property
    def mass(self) -> Tensor:
        """Share of the draws inside the support, at least half a draw, shape (batch,)."""
        return self.inside.double().mean(0).clamp(min=0.5 / len(self.inside))


@dataclass(frozen=True)
class Moved:
    """Divergence from the posterior at x to the one at x', both cut; estimates, shape (batch,).

    Attributes:
        forward_kl: KL(p(. | x) || p(. | x')), nats; NaN where no draw lies in the support.
        total_variation: between both, in [0, 1]; NaN likewise.
    """

    forward_kl: Tensor
    total_variation: Tensor


@torch.no_grad()
def cut_draws(subject: Subject, x: Tensor, n: int, seed: int) -> CutDraws:
    """Draw n thetas at every x, shape (batch, x_dim)."""
    posterior = subject.model(x)
    theta: Tensor = posterior.draw(n, generator("audit cut", seed))  # type: ignore[attr-defined]
    inside = torch.ones(theta.shape[:-1], dtype=torch.bool)
    if subject.inside is not None:
        inside = subject.inside(theta)
    return CutDraws(theta, posterior.log_prob(theta), inside, subject.cut)


@torch.no_grad()
def moved(subject: Subject, clean: CutDraws, attacked: Tensor, mass: Tensor) -> Moved:
    """Measure how far the posterior moves from x to x'.

    With p = q / P(inside) on the support, both divergences are means under the clean posterior of
    functions of log p(theta | x) - log p(theta | x').

    Args:
        subject: what is audited.
        clean: draws at x.
        attacked: x', shape (batch, x_dim).
        mass: of q(. | x') inside the support, estimated, shape (batch,).
    """
    log_clean = clean.log_prob
    log_attacked = subject.model(attacked).log_prob(clean.theta)
    if clean.cut:
        log_clean, log_attacked = log_clean - clean.mass.log(), log_attacked - mass.log()
    ratio = kl_terms(torch.where(clean.inside, log_clean - log_attacked, 0.0))
    ratio = torch.where(clean.inside, ratio, torch.nan)
    terms = torch.where(clean.inside, total_variation_terms(log_clean, log_attacked), torch.nan)
    return Moved(ratio.nanmean(0), terms.nanmean(0))
