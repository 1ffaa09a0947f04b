"""What a certified shift says about probabilities, means and quantiles of the posterior at x'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import binom
from torch import Tensor

from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.config.certificates import PosteriorShift
from certibayes.metrics.intervals.clopper_pearson import (
    clopper_pearson_lower,
    clopper_pearson_upper,
)
from certibayes.metrics.intervals.select import mean_lower, mean_upper

RANGE_SLACK = 1e-12
"""Share of its range by which the support of a parameter is widened, for rounding."""


@dataclass(frozen=True)
class Answer:
    """Bounds of one number of q(. | x'), for every x' in the ball; both of shape (batch,)."""

    low: Tensor
    high: Tensor


def answers(
    spec: PosteriorShift, prepared: PosteriorDraws, shift: Tensor, names: Sequence[str]
) -> dict[str, Answer]:
    """Return bounds of everything that the specification asks, by label.

    Labels: probability_<region>, mean_<parameter>, quantile_<level>_<parameter>. `shift` holds
    with half of 1 - confidence and each interval at x with the other half, so that each answer by
    itself has the confidence that is stated; simultaneous over observations (and radii, for the
    shift) where the specification says so.

    Args:
        spec: with its questions.
        prepared: draws from q(. | x).
        shift: certified bound of the total variation at one radius, shape (batch,).
        names: of the parameters, in order.

    Raises:
        ValueError: if a parameter is unknown, or its mean is asked for and it is not bounded.
    """
    return {label: bound(shift) for label, bound in _questions(spec, prepared, names)}


def _questions(
    spec: PosteriorShift, prepared: PosteriorDraws, names: Sequence[str]
) -> Iterator[tuple[str, Callable[[Tensor], Answer]]]:
    asked = spec.answers
    if asked is None:
        return
    batch = len(prepared.x)
    each = split_confidence(spec.confidence, 2 * (batch if spec.simultaneous else 1))
    alpha = (1 - each) / 2
    low, high = support_ends(prepared)
    theta = prepared.theta
    for name, box in asked.regions.items():
        inside = torch.ones(theta.shape[:-1], dtype=torch.bool)
        for parameter, (start, end) in box.items():
            column = theta[..., _index(parameter, names)]
            inside &= (column >= start) & (column <= end)
        yield f"probability_{name}", _probability(inside, alpha)
    for parameter in asked.means:
        i = _index(parameter, names)
        if not bool((low[i] > -torch.inf) & (high[i] < torch.inf)):
            raise ValueError(
                f"answers.means: got {parameter!r} with support {float(low[i])} to "
                f"{float(high[i])}; allowed: parameters that the prior bounds on both sides"
            )
        yield f"mean_{parameter}", _mean(spec, theta[..., i], low[i], high[i], alpha)
    for parameter, levels in asked.quantiles.items():
        i = _index(parameter, names)
        ordered = theta[..., i].sort(0).values
        for level in levels:
            label = f"quantile_{level:g}_{parameter}"
            yield label, _quantile(ordered, level, low[i], high[i], alpha)


def support_ends(prepared: PosteriorDraws) -> tuple[Tensor, Tensor]:
    """Return the least and largest value of every parameter, each of shape (theta_dim,).

    They are the images of -inf and inf under the bijection to the support, widened by 1e-12 of
    their distance, which covers its rounding; NaN counts as unbounded.
    """
    v = torch.full_like(prepared.model.v_location, torch.inf)
    low, high = prepared.model.bijection(-v), prepared.model.bijection(v)
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    slack = torch.where((high - low).isfinite(), RANGE_SLACK * (high - low), 0.0)
    return (low - slack).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf), (
        high + slack
    ).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def _probability(inside: Tensor, alpha: float) -> Callable[[Tensor], Answer]:
    """|Q'(A) - Q(A)| <= tau; Clopper-Pearson for Q(A), alpha on each side."""
    n, counts = len(inside), inside.sum(0).tolist()
    low = torch.tensor([clopper_pearson_lower(k, n, alpha) for k in counts], dtype=torch.float64)
    high = torch.tensor([clopper_pearson_upper(k, n, alpha) for k in counts], dtype=torch.float64)
    return lambda tau: Answer((low - tau).clamp(min=0.0), (high + tau).clamp(max=1.0))


def _mean(
    spec: PosteriorShift, values: Tensor, low: Tensor, high: Tensor, alpha: float
) -> Callable[[Tensor], Answer]:
    """|E'f - E f| <= tau (high - low) for low <= f <= high."""
    width = high - low
    terms = ((values - low) / width).clamp(0.0, 1.0)
    least = mean_lower(spec.interval, terms, alpha)
    most = mean_upper(spec.interval, terms, alpha)
    return lambda tau: Answer(
        low + width * (least - tau).clamp(min=0.0), low + width * (most + tau).clamp(max=1.0)
    )


def _quantile(
    ordered: Tensor, level: float, low: Tensor, high: Tensor, alpha: float
) -> Callable[[Tensor], Answer]:
    """Q(p - tau) <= Q'(p) <= Q(p + tau), by order statistics, alpha on each side.

    X_(r) <= Q(u) fails with probability P(Bin(n, u) <= r - 1) at most, X_(s) >= Q(u) with
    P(Bin(n, u) >= s). The ranks grow with u, so a tau that is random but not below the true shift
    only widens the bounds.
    """
    n, batch = ordered.shape
    ends = torch.cat([low.expand(1, batch), ordered, high.expand(1, batch)])

    def bound(tau: Tensor) -> Answer:
        down, up = (level - tau).numpy(), (level + tau).numpy()
        ranks, far = [], []
        for lower_level, upper_level in zip(down, up, strict=True):
            ranks.append(_rank_below(n, float(lower_level), alpha))
            far.append(_rank_above(n, float(upper_level), alpha))
        columns = torch.arange(batch)
        return Answer(ends[torch.tensor(ranks), columns], ends[torch.tensor(far), columns])

    return bound


def _rank_below(n: int, level: float, alpha: float) -> int:
    """Return the largest r with P(Bin(n, level) <= r - 1) <= alpha; 0 = none."""
    if level <= 0:
        return 0
    rank = int(binom.ppf(alpha, n, level)) + 1
    while rank > 0 and binom.cdf(rank - 1, n, level) > alpha:
        rank -= 1
    return rank


def _rank_above(n: int, level: float, alpha: float) -> int:
    """Return the smallest s with P(Bin(n, level) >= s) <= alpha; n + 1 = none."""
    if level >= 1:
        return n + 1
    rank = max(1, int(binom.isf(alpha, n, level)))
    while rank <= n and binom.sf(rank - 1, n, level) > alpha:
        rank += 1
    return rank


def _index(parameter: str, names: Sequence[str]) -> int:
    if parameter not in names:
        raise ValueError(f"answers: got parameter {parameter!r}; allowed: {', '.join(names)}")
    return list(names).index(parameter)
