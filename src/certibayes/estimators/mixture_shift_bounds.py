"""Closed-form bounds of the total variation and divergence between mixtures of Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.graph import Input, Node
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.interval import Interval
from certibayes.bounds.linear import linear_interval
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.estimators.density_nodes import affine_node, embedded
from certibayes.estimators.gaussian_shift_bounds import gaussian_shift
from certibayes.estimators.head_shift import HeadShift, total_variation_from_kl
from certibayes.estimators.mixture import MixtureEstimator
from certibayes.threat import Ball


@torch.no_grad()
def head_shift(estimator: MixtureEstimator, x: Tensor, ball: Ball) -> HeadShift:
    """Bound the shift over all x' in the ball around each x; deterministic.

    TV <= |w - w'|_1 / 2 + sum_k w_k TV_k, by the triangle inequality through the mixture with the
    weights at x and the components at x'; KL <= KL(w || w') + sum_k w_k KL_k, by the chain rule for
    (component, theta). Each term has an x' of its own.

    Args:
        estimator: the mixture.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.
    """
    posterior = estimator(x)
    perturbed = Input(standardized_ball(estimator, x, ball), tightening=True)
    hidden = apply(estimator.trunk, embedded(estimator, perturbed))
    own = weights_shift(_log_odds(estimator, hidden), posterior.log_weights)
    parts = [
        gaussian_shift(head, hidden, component)
        for head, component in zip(estimator.gaussian_heads(), posterior.components, strict=True)
    ]
    weights = posterior.log_weights.exp().T
    kl = own.forward_kl + (weights * torch.stack([part.forward_kl for part in parts])).sum(0)
    shifts = torch.stack([part.total_variation for part in parts])
    total_variation = own.total_variation + (weights * shifts).sum(0)
    total_variation = torch.minimum(total_variation, total_variation_from_kl(kl))
    return HeadShift(total_variation.clamp(max=1.0), kl)


def weights_shift(log_odds: Interval, log_weights: Tensor) -> HeadShift:
    """Bound |w - w'|_1 / 2 and KL(w || w') over the log odds log (w'_j / w'_k).

    The odds bound every weight, w'_k = 1 / sum_j (w'_j / w'_k), and TV is the sum of all gains, or
    of all losses, of weight. With D the largest range of log (w'_k / w_k) over k, TV <= tanh(D / 4)
    and KL <= D^2 / 8 (Hoeffding's lemma).

    Args:
        log_odds: shape (batch, K, K), entry (j, k); 0 on the diagonal.
        log_weights: log w, shape (batch, K).
    """
    weights = log_weights.exp()
    log_largest = -log_odds.lower.logsumexp(1)
    log_least = -log_odds.upper.logsumexp(1)
    gains = (log_largest.exp() - weights).clamp(min=0).sum(-1)
    losses = (weights - log_least.exp()).clamp(min=0).sum(-1)
    clean = log_weights.unsqueeze(2) - log_weights.unsqueeze(1)
    spread = (log_odds.upper - clean).amax((1, 2)).clamp(min=0)
    total_variation = torch.minimum(torch.minimum(gains, losses), (spread / 4).tanh())
    by_weight = (weights * (log_weights - log_least)).sum(-1).clamp(min=0)
    return HeadShift(total_variation, torch.minimum(by_weight, spread.square() / 8))


def _log_odds(estimator: MixtureEstimator, hidden: Node) -> Interval:
    weight, bias = estimator.logit_layer()
    count = estimator.count
    weight = (weight.unsqueeze(1) - weight).flatten(0, 1)
    bounds = linear_interval(affine_node(hidden, weight, (bias.unsqueeze(1) - bias).flatten()))
    return bounds.reshape(lambda ends: ends.unflatten(-1, (count, count)))
