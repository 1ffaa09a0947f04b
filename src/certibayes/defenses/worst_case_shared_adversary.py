"""The worst case by what certificates bound: one x' for the whole posterior."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes import registry
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.linear import least_product, lower_form
from certibayes.config.defenses import RobustLikelihood
from certibayes.defenses.worst_case import Neighborhood
from certibayes.estimators.base import Estimator
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.estimators.posterior import Posterior
from certibayes.threat import Ball


def worst_case(
    spec: RobustLikelihood, at: Neighborhood, grown: float, generator: torch.Generator
) -> Tensor:
    """Return log q(target | x) - beta * bound of KL(q(. | x) || q(. | x')); see `WorstCase`.

    Draws of theta are fresh. Gradients pass through them, but for ensembles, whose draws cannot be
    reparametrized and whose members are trained one by one.

    Raises:
        TypeError: if the model is not an Estimator.
    """
    if not isinstance(at.model, Estimator):
        raise TypeError(f"model: got {type(at.model).__name__}; allowed: Estimator")
    posterior = at.q
    assert isinstance(posterior, Posterior)
    if posterior.has_rsample:
        theta = posterior.transport(posterior.noise((spec.draws,), generator))
    else:
        theta = posterior.draw(spec.draws, generator)
    bound = forward_kl_of_draws(at.model, theta, posterior.log_prob(theta), at.x, at.ball)
    return at.clean - spec.beta * bound


def forward_kl_of_draws(
    model: Estimator, theta: Tensor, log_prob: Tensor, x: Tensor, ball: Ball
) -> Tensor:
    """Estimate a bound of the largest KL(q(. | x) || q(. | x')) over the ball, nats, (batch,).

    With t the standardized x', c that of x and slope_k . (t - c) + value_k a lower bound of
    log q(theta_k | x') over the ball, KL is at most the mean of log q(theta_k | x) - value_k minus
    the least product of E slope and t - c: ||r E slope||, the dual norm, for a ball of radii r.
    The mean score, whose expectation is 0, is subtracted from the mean slope (a control variate, no
    gradient passes through it), as in the certificate's `kl_estimate`. A worst x' for every theta
    alone, by its plane or its interval, gives a second mean; the smaller counts. 0 at radius 0.

    Args:
        model: q(theta | x).
        theta: draws from q(. | x), shape (n, batch, theta_dim).
        log_prob: log q(theta | x), shape (n, batch).
        x: raw observations, shape (batch, x_dim).
        ball: admissible perturbations, raw units.
    """
    region, center = standardized_ball(model, x, ball), model.standardize(x)
    graph = registry.load("log_density_graph", model.kind)
    node: Node = graph(model, theta, Input(region, tightening=False))
    form = lower_form(node, torch.ones_like(log_prob))
    at_x = form.offset + (form.coefficients * center).sum(-1)
    slope = form.coefficients.mean(0) - mean_score(model, theta, x)
    least = least_product(slope, region) - (slope * center).sum(-1)
    alone = torch.maximum(form.minimum(), node.interval.lower)
    return torch.minimum((log_prob - at_x).mean(0) - least, (log_prob - alone).mean(0))


@torch.enable_grad()
def mean_score(model: Estimator, theta: Tensor, x: Tensor) -> Tensor:
    """Return the mean over draws of d log q(theta | x) / dt, t the standardized x; (batch, x_dim).

    Args:
        model: q(theta | x).
        theta: shape (n, batch, theta_dim).
        x: raw observations, shape (batch, x_dim).

    Returns:
        Without gradient.
    """
    given = x.detach().requires_grad_()
    mean = model(given).log_prob(theta.detach()).mean(0)
    (by_x,) = torch.autograd.grad(mean.sum(), given)
    (scale,) = torch.autograd.grad(model.standardize(given).sum(), given)
    return by_x / scale
