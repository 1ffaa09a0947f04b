"""The Fisher information of q(. | x) with respect to x, as a product of thin factors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.distributions import Categorical, MultivariateNormal

from certibayes.attacks.base import ConditionalModel
from certibayes.attacks.closed_form import as_gaussian, require_posterior


def fisher_factors(
    model: ConditionalModel, x: Tensor, draws: int, generator: torch.Generator
) -> Tensor:
    """Return S, shape (batch, rows, x_dim), with Fisher information I(x) = S^T S.

    I(x) = E[s s^T], s = grad_x log q(y | x), y ~ q(. | x); half its quadratic form is the second
    order of both KL divergences. Exact for categorical q, with rows sqrt(p_y) grad_x log p_y, and
    for Gaussian q (up to a bijection of theta), with rows L^-1 d mean and L^-1 dSigma L^-T / sqrt 2
    where Sigma = L L^T; otherwise the mean over draws of theta. Rows that are not finite are 0.

    Args:
        model: q(y | x).
        x: observations, shape (batch, x_dim).
        draws: draws of theta where there is no closed form.
        generator: source of those draws.

    Raises:
        TypeError: if q is neither categorical, nor Gaussian, nor a Posterior.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        q = model(x)
        gaussian = as_gaussian(q)
        if isinstance(q, Categorical):
            factors = _rows(x, (q.probs.detach().sqrt() * q.logits).unbind(-1))
        elif gaussian is not None:
            factors = _rows(x, _gaussian_values(gaussian))
        else:
            theta = require_posterior(q).draw(draws, generator)
            factors = _scores(model, x, theta) / math.sqrt(draws)
    return torch.where(factors.isfinite(), factors, torch.zeros_like(factors))


def _rows(x: Tensor, values: Iterable[Tensor]) -> Tensor:
    """Return the gradients of values, each (batch,); those that do not depend on x left out."""
    rows = [
        torch.autograd.grad(value.sum(), x, retain_graph=True)[0]
        for value in values
        if value.requires_grad
    ]
    return torch.stack(rows, 1) if rows else torch.zeros_like(x).unsqueeze(1)


def _scores(model: ConditionalModel, x: Tensor, theta: Tensor) -> Tensor:
    """Return grad_x log q(theta | x), (batch, draws, x_dim), of theta (draws, batch, theta_dim).

    x is repeated for every draw: one pass backward gives all scores.
    """
    repeated = x.detach().repeat(len(theta), 1).requires_grad_()
    log_prob = model(repeated).log_prob(theta.flatten(0, 1))
    (scores,) = torch.autograd.grad(log_prob.sum(), repeated)
    return scores.unflatten(0, theta.shape[:2]).transpose(0, 1)


def _gaussian_values(q: MultivariateNormal) -> Iterator[Tensor]:
    """Yield L^-1 mean and the upper triangle of L^-1 Sigma L^-T / sqrt 2, L held fixed.

    An entry above the diagonal stands for two and carries the factor sqrt 2.
    """
    fixed = q.scale_tril.detach()
    yield from torch.linalg.solve_triangular(fixed, q.loc.unsqueeze(-1), upper=False)[..., 0].T
    root = torch.linalg.solve_triangular(fixed, q.scale_tril, upper=False)
    covariance = root @ root.mT
    for row in range(root.shape[-1]):
        yield covariance[:, row, row] / math.sqrt(2)
        yield from covariance[:, row, row + 1 :].T
