"""Planes below the log density of drawn thetas, as functions of the standardised x'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.graph import Input
from certibayes.bounds.linear import lower_form
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
    """

    rows: slice
    theta: Tensor
    slope: Tensor
    offset: Tensor


def planes_below(
    prepared: PosteriorDraws, region: Region, center: Tensor, tight: bool
) -> Iterator[Planes]:
    """Yield the planes of all draws, a block of draws at a time.

    Args:
        prepared: draws at every x.
        region: of the standardised x', shape (batch, x_dim).
        center: the standardised x, shape (batch, x_dim).
        tight: whether intermediate layers are bounded linearly too.

    Raises:
        ValueError: if the estimator has no graph.
        UnsoundBoundError: if a plane exceeds log q(theta | x) at x itself.
    """
    graph = bound_rule("log_density_graph", prepared.model)
    if graph is None:
        raise ValueError(f"log_density_graph: {estimator_name(prepared.model)!r} has no rule")
    for rows, theta in prepared.blocks():
        with torch.no_grad():
            node = graph(prepared.model, theta, Input(region, tight))
            form = lower_form(node, torch.ones_like(prepared.log_prob[rows]))
            parts = form.coefficients * center
            allowance = ROUNDING * (form.magnitude + parts.abs().sum(-1))
            at_center = form.offset + parts.sum(-1) - allowance
            offset = _require_below(at_center, prepared.log_prob[rows], rows.start)
        yield Planes(rows, theta, form.coefficients, offset)


def _require_below(bound: Tensor, log_prob: Tensor, start: int) -> Tensor:
    """Return the bound at x itself minus log q(theta | x), which must not be positive."""
    offset = bound - log_prob
    excess = offset - RELATIVE_ROUNDING * (1 + log_prob.abs())
    if bool((excess > 0).any()):
        draw, row = (int(i) for i in (excess > 0).nonzero()[0])
        raise UnsoundBoundError(
            f"linear bound exceeds log q(theta | x) by {float(offset[draw, row])} at x itself, "
            f"draw {start + draw} of observation {row}"
        )
    return offset.clamp(max=0.0)
