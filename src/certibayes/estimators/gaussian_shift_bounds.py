"""Closed-form bounds of the total variation and divergence between Gaussian posteriors."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from certibayes.bounds.graph import Input, Node
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.interval import Interval
from certibayes.bounds.joint_norm import largest_norm
from certibayes.bounds.linear import LinearForm, lower_form
from certibayes.bounds.nodes import Shifted
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.estimators.density_nodes import affine_node, embedded
from certibayes.estimators.gaussian import GaussianEstimator, GaussianPosterior
from certibayes.estimators.gaussian_bounds import head_forward_kl_upper
from certibayes.estimators.gaussian_graph import noise_node
from certibayes.estimators.gaussian_head import GaussianHead
from certibayes.estimators.head_shift import (
    HeadShift,
    total_variation_from_kl,
    total_variation_of_shift,
)
from certibayes.threat import Ball

NEAR = 1e-3
LEAST = -1 + 1e-15
"""E_ii is positive."""


@torch.no_grad()
def head_shift(estimator: GaussianEstimator, x: Tensor, ball: Ball) -> HeadShift:
    """Bound the shift over all x' in the ball around each x; deterministic.

    Args:
        estimator: the Gaussian estimator.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.
    """
    perturbed = Input(standardized_ball(estimator, x, ball), tightening=True)
    hidden = apply(estimator.trunk, embedded(estimator, perturbed))
    return gaussian_shift(estimator.gaussian_head(), hidden, estimator(x))


def gaussian_shift(head: GaussianHead, hidden: Node, posterior: GaussianPosterior) -> HeadShift:
    """Bound the shift of one Gaussian.

    At x, v = m + L e with e standard normal and m = -T^-1 c, L = T^-1; at x' the noise of this v is
    r + E e with r = T' m + c' and E = T' L lower triangular. Hence
    2 KL = ||r||^2 + sum_(k<i) E_ik^2 + 2 sum_i phi(E_ii), phi(t) = (t^2 - 1) / 2 - log t, and by
    the triangle inequality through N(m, (T'^T T')^-1),
    TV <= 2 Phi(||r|| / 2) - 1 + sqrt((KL - ||r||^2 / 2) / 2). With phi(t) <= k_i (t - 1)^2 over the
    interval of E_ii, all of it are norms of one vector of functions with linear bounds in x'.

    Args:
        head: last layer of the Gaussian.
        hidden: the layer before.
        posterior: the Gaussian at x.
    """
    lower, upper, box, weights = _entries(head, hidden, posterior)
    of_mean, of_factor = weights.clone(), weights.clone()
    of_mean[:, 1:], of_factor[:, :1] = 0, 0
    mean, factor, both = (
        largest_norm(lower, upper, box, part.flatten(0, 1))
        for part in (of_mean, of_factor, weights)
    )
    kl = torch.minimum(both.square(), mean.square() + factor.square()) / 2
    kl = torch.minimum(kl, head_forward_kl_upper(head, hidden.region, posterior).clamp(min=0.0))
    total_variation = torch.minimum(
        total_variation_of_shift(mean) + factor / 2, total_variation_from_kl(kl)
    )
    return HeadShift(_number(total_variation).clamp(max=1.0), _number(kl))


def _entries(
    head: GaussianHead, hidden: Node, posterior: GaussianPosterior
) -> tuple[LinearForm, LinearForm, Interval, Tensor]:
    """Return linear bounds, boxes and weights of r and E - 1.

    Bounds are of shape (m, batch), the weights of shape (d, d + 1, batch), m = d (d + 1): row i
    holds r_i and the row E_i. - 1_i. whose part above the diagonal is 0 and has weight 0.
    """
    latent = posterior.latent
    columns = latent.scale_tril.movedim(-1, 0)
    d = len(columns)
    directions = torch.cat((latent.loc.unsqueeze(0), columns))
    last = torch.zeros_like(directions[..., :1])
    last[0] = 1
    raw = affine_node(hidden, *head.raw_scale())
    noise = noise_node(head, hidden, raw, torch.cat((directions, last), -1))
    identity = torch.eye(d, dtype=directions.dtype, device=directions.device)
    target = torch.cat((torch.zeros_like(identity[:1]), identity)).unsqueeze(1)
    node = Shifted(noise, -target.expand_as(directions))
    one_each = identity[:, None, None, :].expand(-1, *directions.shape)
    lower, negative = (_flat(lower_form(node, sign * one_each)) for sign in (1.0, -1.0))
    upper = replace(negative, coefficients=-negative.coefficients, offset=-negative.offset)
    box = node.interval.reshape(lambda ends: ends.movedim(-1, 0).flatten(0, 1))
    least = torch.maximum(box.lower, lower.minimum()).unflatten(0, (d, d + 1))
    ones = torch.ones_like(least)
    own = (2 * _curvature(least[:, 1:].diagonal().T)).sqrt()
    below = ones[:, 1:].movedim(-1, 0).tril(-1) + torch.diag_embed(own.T)
    return lower, upper, box, torch.cat((ones[:, :1], below.movedim(0, -1)), 1)


def _flat(form: LinearForm) -> LinearForm:
    """Merge the first two dimensions of a form's bounds."""
    return replace(
        form,
        coefficients=form.coefficients.flatten(0, 1),
        offset=form.offset.flatten(0, 1),
        magnitude=form.magnitude.flatten(0, 1),
    )


def _curvature(least: Tensor) -> Tensor:
    """Return the largest phi(1 + s) / s^2 = 1/2 + (s - log(1 + s)) / s^2 over s >= least.

    It falls with s. Near 0, where the quotient has no digits, the series 1/2 - s/3 + s^2/4 - ... is
    at most 1/2 - s/3 + s^2.
    """
    least = least.clamp(min=LEAST)
    near = least.abs() < NEAR
    safe = torch.where(near, torch.ones_like(least), least)
    quotient = (safe - safe.log1p()) / safe.square()
    return 0.5 + torch.where(near, 0.5 - least / 3 + least.square(), quotient)


def _number(values: Tensor) -> Tensor:
    return torch.where(values.isnan(), torch.inf, values)
