"""What an attack surely does to the posterior that a user sees."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.audit.cut import CutDraws
from certibayes.audit.subject import Subject
from certibayes.metrics.intervals.clopper_pearson import (
    clopper_pearson_lower,
    clopper_pearson_upper,
)

ONE_IN = 5
"""One draw in so many chooses the event; the others count it."""


@torch.no_grad()
def surely_moved(
    subject: Subject,
    x: Tensor,
    clean: CutDraws,
    attacked: Tensor,
    draws: CutDraws,
    confidence: float,
) -> Tensor:
    """Bound the total variation between the posteriors at x and at a given x' from below, (batch,).

    TV(P_A, Q_A) >= P_A(E) - Q_A(E) for every event E and support A. Taken is the one where both
    differ most, E = {p / P(A) > q / Q(A)}; P(A) and Q(A) are estimated on draws that are not
    counted afterwards. Of the others inside A those in E are two binomial counts, which Clopper
    and Pearson (1934) bound, each with half of 1 - confidence. Densities that are wrong make the
    bound weak, not false. It is 0 where no draw that counts lies inside.

    Args:
        subject: what is audited.
        x: observations, shape (batch, x_dim).
        clean: draws at x.
        attacked: x', shape (batch, x_dim), not chosen on any of these draws.
        draws: independent of the others, at x'.
        confidence: that the bound holds, for each observation alone.
    """
    alpha = (1 - confidence) / 2
    level = (_mass(clean).log() - _mass(draws).log()) if clean.cut else x.new_zeros(len(x))
    moved_clean = clean.log_prob - subject.model(attacked).log_prob(clean.theta) > level
    moved_draws = subject.model(x).log_prob(draws.theta) - draws.log_prob > level
    rows = zip(_counts(moved_clean, clean), _counts(moved_draws, draws), strict=True)
    return x.new_tensor(
        [
            max(0.0, clopper_pearson_lower(*here, alpha) - clopper_pearson_upper(*there, alpha))
            if here[1] and there[1]
            else 0.0
            for here, there in rows
        ]
    )


def _mass(draws: CutDraws) -> Tensor:
    choosing = draws.inside[::ONE_IN]
    return choosing.double().mean(0).clamp(min=0.5 / len(choosing))


def _counts(event: Tensor, draws: CutDraws) -> list[tuple[int, int]]:
    """Return, per observation, draws inside the support that lie in the event, and all of them."""
    counted = torch.arange(len(event)) % ONE_IN != 0
    inside = draws.inside[counted]
    hits = (event[counted] & inside).sum(0)
    return list(zip(hits.tolist(), inside.sum(0).tolist(), strict=True))
