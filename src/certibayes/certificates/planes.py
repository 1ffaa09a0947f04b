"""Planes below the log density of drawn thetas, as functions of the standardised x'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.graph import Input
from certibayes.bounds.linear import least_product, lower_form
from certibayes.certificates.base import UnsoundBoundError
from certibayes.certificates.bound_rules import bound_rule, estimator_name
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.shift_bounds import RELATIVE_ROUNDING

ROUNDING = 1e-13
"""Rounding of a linear bound, as a share of the sizes of all that is added up in it."""


@dataclass(frozen=True)
class Planes:
    """slope . (t - center) + offset <= log q(theta | x') - log q(theta | x) over the region of t.

    Attributes:
        rows: which draws.
        theta: these, shape (n, batch, theta_dim).
        slope: shape (n, batch, x_dim).
        offset: the plane at x itself, at most 0, shape (n, batch).
        deepest: the least value of the plane over the region, at most 0, shape (n, batch).
        least: a lower bound of the log ratio over the region, by the plane or by the interval of
            the log density, whichever is larger; at most 0, -inf = none, shape (n, batch).
    """

    rows: slice
    theta: Tensor
    slope: Tensor
    offset: Tensor
    deepest: Tensor
    least: Tensor

    def first(self, n: int) -> Planes:
        """Return those of the first n draws."""
        return Planes(
            slice(self.rows.start, min(self.rows.stop, self.rows.start + n)),
            *(t[:n] for t in (self.theta, self.slope, self.offset, self.deepest, self.least)),
        )


def planes_below(prepared: PosteriorDraws, perturbed: Input, center: Tensor) -> Iterator[Planes]:
    """Yield the planes of all draws, a block of draws at a time.

    Args:
        prepared: draws at every x.
        perturbed: the standardised x', shape (batch, x_dim); one that remembers builds what no
            theta changes once for all blocks.
        center: the standardised x, shape (batch, x_dim).

    Raises:
        ValueError: if the estimator has no graph.
        UnsoundBoundError: if a bound exceeds log q(theta | x) at x itself.
    """
    graph = bound_rule("log_density_graph", prepared.model)
    if graph is None:
        raise ValueError(f"log_density_graph: {estimator_name(prepared.model)!r} has no rule")
    for rows, theta in prepared.blocks():
        log_prob = prepared.log_prob[rows]
        place = rows.start, prepared.first_row
        with torch.no_grad():
            node = graph(prepared.model, theta, perturbed)
            form = lower_form(node, torch.ones_like(log_prob))
            parts = form.coefficients * center
            allowance = ROUNDING * (form.magnitude + parts.abs().sum(-1))
            at_center = form.offset + parts.sum(-1) - allowance
            offset = _require_below(at_center, log_prob, place)
            constant = _require_below(node.interval.lower.expand_as(log_prob), log_prob, place)
            down = least_product(form.coefficients, perturbed.region) - parts.sum(-1)
            deepest = (offset + down).clamp(max=0.0)
            least = torch.maximum(_known(constant), _known(deepest))
        yield Planes(rows, theta, form.coefficients, offset, deepest, least)


def _require_below(bound: Tensor, log_prob: Tensor, place: tuple[int, int]) -> Tensor:
    """Return the bound at x itself minus log q(theta | x), which must not be positive."""
    offset = bound - log_prob
    excess = offset - RELATIVE_ROUNDING * (1 + log_prob.abs())
    if bool((excess > 0).any()):
        draw, row = (int(i) for i in (excess > 0).nonzero()[0])
        raise UnsoundBoundError(
            f"a bound exceeds log q(theta | x) by {float(offset[draw, row])} at x itself, "
            f"draw {place[0] + draw} of observation {place[1] + row}"
        )
    return offset.clamp(max=0.0)


def _known(bound: Tensor) -> Tensor:
    return torch.where(bound.isnan(), -torch.inf, bound)
