"""The cumulative distribution of mixtures of one-dimensional Gaussians, and its inverse."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.special import log_ndtr

STEPS = 100
NEWTON_STEPS = 6
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def normal_score(noise: Tensor, log_weights: Tensor) -> Tensor:
    """Return Phi^-1(sum_k w_k Phi(noise_k)): a standard normal if the argument is of the mixture.

    Computed from the logarithm of the smaller tail; differentiable once.

    Args:
        noise: standardized by every component, shape (*, K).
        log_weights: log w_k, normalized, same shape.

    Returns:
        Shape (*).
    """
    below = (log_weights + log_ndtr(noise)).logsumexp(-1)
    above = (log_weights + log_ndtr(-noise)).logsumexp(-1)
    score = _inverse_log_ndtr(torch.minimum(below, above))
    return torch.where(below <= above, score, -score)


def mixture_quantile(target: Tensor, log_weights: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
    """Return the v with sum_k w_k Phi(slope_k v + shift_k) = Phi(target).

    The components' own solutions (target - shift_k) / slope_k enclose it; Newton's method on the
    logarithm of the smaller tail, bisection where that leaves the bracket or is slow. Gradients by
    the implicit function theorem, first order only.

    Args:
        target: shape (*).
        log_weights: log w_k, normalized, shape (*, K).
        slope: positive, shape (*, K) or broadcastable.
        shift: shape (*, K).

    Returns:
        Shape (*).
    """
    sign = torch.where(target > 0, -1.0, 1.0).to(target)
    slope = slope.expand_as(log_weights)
    with torch.no_grad():
        v = _solve(target, sign, log_weights, slope, shift)
        derivative = _excess(v, target, sign, log_weights, slope, shift)[1]
        derivative = derivative.clamp(min=torch.finfo(v.dtype).tiny ** 0.5)
    excess = _excess(v, target, sign, log_weights, slope, shift)[0]
    return v - (excess - excess.detach()) / derivative


def _excess(
    v: Tensor, target: Tensor, sign: Tensor, log_weights: Tensor, slope: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a function that grows in v and is 0 at the solution, and its derivative."""
    noise = slope * v.unsqueeze(-1) + shift
    tail = (log_weights + log_ndtr(sign.unsqueeze(-1) * noise)).logsumexp(-1)
    density = log_weights + slope.log() - 0.5 * noise.square() - HALF_LOG_TWO_PI
    return sign * (tail - log_ndtr(sign * target)), (density.logsumexp(-1) - tail).exp()


def _solve(
    target: Tensor, sign: Tensor, log_weights: Tensor, slope: Tensor, shift: Tensor
) -> Tensor:
    own = (target.unsqueeze(-1) - shift) / slope
    low, high = own.amin(-1), own.amax(-1)
    found = ((low + high) / 2).flatten()
    open_ = torch.arange(found.numel(), device=found.device)
    low, high, v, moved = low.flatten(), high.flatten(), found.clone(), (high - low).flatten()
    problem = [target.flatten(), sign.flatten()]
    problem += [part.flatten(0, -2) for part in (log_weights, slope, shift)]
    tolerance = 4 * torch.finfo(v.dtype).eps
    for _ in range(STEPS):
        excess, derivative = _excess(v, problem[0], problem[1], *problem[2:])
        low, high = torch.where(excess < 0, v, low), torch.where(excess > 0, v, high)
        newton = v - excess / derivative
        good = (newton >= low) & (newton <= high) & ((newton - v).abs() <= 0.5 * moved)
        following = torch.where(good, newton, (low + high) / 2)
        moved, v = (following - v).abs(), following
        found[open_] = v
        left = moved > tolerance * (1 + v.abs())
        if not bool(left.any()):
            break
        open_, low, high, v, moved = open_[left], low[left], high[left], v[left], moved[left]
        problem = [part[left] for part in problem]
    return found.view_as(target)


def _inverse_log_ndtr(log_probability: Tensor) -> Tensor:
    """Return t with log Phi(t) = log_probability, for probabilities of at most about 1/2.

    log Phi is concave and increasing: from the left of the solution Newton's method stays there.
    """
    with torch.no_grad():
        # log Phi(t) >= -t^2 / 2 - log(2 pi) / 2 - log(1 - t) - log 2 for t <= 0, hence:
        t = -(-2 * log_probability).clamp(min=0).sqrt()
        for _ in range(NEWTON_STEPS):
            t = t - (log_ndtr(t) - log_probability) / _hazard(t)
    return t - (log_ndtr(t.detach()) - log_probability) / _hazard(t)


def _hazard(t: Tensor) -> Tensor:
    """Return d log Phi / dt."""
    return (-0.5 * t.square() - HALF_LOG_TWO_PI - log_ndtr(t)).exp()
