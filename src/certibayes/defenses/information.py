"""What the estimators of the Fisher information share: outcomes, scores, expectations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import DrawGradient
from certibayes.estimators.posterior import Posterior
from certibayes.threat import Scale, ThreatModel, Unit

SHARE_OF_STD = 1e-2
"""Length of a finite difference as a share of the std of x."""


@dataclass(frozen=True)
class Place:
    """Where the information is measured.

    Attributes:
        model: q(. | x).
        x: raw observations, shape (batch, x_dim), without gradient.
        q: q(. | x) at these observations, batch shape (batch,).
        std: unit of every feature, shape (x_dim,); 0 leaves a feature out.
        step: length of a finite difference, in these units.
    """

    model: ConditionalModel
    x: Tensor
    q: Distribution
    std: Tensor
    step: float = SHARE_OF_STD


def unit_of_features(scale: Scale, unit: Unit = "feature_std") -> Tensor:
    """Return the length of one unit along every feature, 0 where it hardly varies, (x_dim,).

    Raises:
        ValueError: if the unit is "within_std" and the task has none (a single feature).
    """
    return ThreatModel("linf", 1.0, unit).ball(scale).radius


def difference_step(scale: Scale, unit: Tensor) -> float:
    """Return h such that moves of h units are a hundredth of a std of x, root mean square.

    The mean is over features that vary and count: h = 0.01 / rms(unit / feature_std). A fixed h
    would step out of the data, or drown in rounding, where the unit is not the std of a feature.

    Args:
        scale: of the task.
        unit: length of one unit along every feature, shape (x_dim,).
    """
    std = scale.feature_std.to(unit)
    counted = (std > 0) & (unit > 0)
    if not counted.any():
        return SHARE_OF_STD
    return SHARE_OF_STD / float((unit[counted] / std[counted]).square().mean().sqrt())


def outcomes(
    q: Distribution, draws: int, draw_gradient: DrawGradient, generator: torch.Generator
) -> Tensor:
    """Return draws of theta, shape (draws, batch, theta_dim), or every label, (classes, batch).

    Raises:
        TypeError: if q is neither a Categorical nor a Posterior, or if its draws shall be
            reparametrized but cannot be.
    """
    if isinstance(q, Categorical):
        classes, batch = q.logits.shape[-1], q.logits.shape[0]
        return torch.arange(classes, device=q.logits.device).unsqueeze(1).expand(-1, batch)
    if not isinstance(q, Posterior):
        raise TypeError(f"model: got {type(q).__name__}; allowed: Categorical, Posterior")
    if draw_gradient == "reparametrized":
        if torch.is_grad_enabled() and not q.has_rsample:
            raise TypeError(
                f"draw_gradient: got 'reparametrized' with {type(q).__name__}; "
                "allowed: 'none', 'score_function'"
            )
        return q.transport(q.noise((draws,), generator))
    return q.draw(draws, generator)


def scores(place: Place, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return log q(y | x) and its gradient to x in units of std, at given outcomes y.

    One pass over the observations, repeated for every outcome. Differentiable where gradients are
    on; they do not reach x.

    Args:
        place: where.
        value: outcomes, shape (n, batch) for labels, (n, batch, theta_dim) for theta.

    Returns:
        Shapes (n, batch) and (n, batch, x_dim).
    """
    differentiable = torch.is_grad_enabled()
    n = len(value)
    with torch.enable_grad():
        x = place.x.detach().repeat(n, 1).requires_grad_()
        log = place.model(x).log_prob(value.flatten(0, 1))
        (score,) = torch.autograd.grad(log.sum(), x, create_graph=differentiable)
    log = log if differentiable else log.detach()
    return log.unflatten(0, (n, -1)), place.std * score.unflatten(0, (n, -1))


def expectation(value: Tensor, log: Tensor, q: Distribution, draw_gradient: DrawGradient) -> Tensor:
    """Return the mean of a value over outcomes y ~ q(. | x), shape (batch,).

    Labels: sum over y of q(y | x) value(y). Draws: their average f; with "score_function" the
    gradient to the weights gains the mean of (f_k - b_k) times that of log q(y_k | x), where the
    baseline b_k is the average of the other draws (0 if there is none), so that it is unbiased.

    Args:
        value: at every outcome, shape (n, batch).
        log: log q(y | x) at every outcome, shape (n, batch).
        q: the distribution of the outcomes.
        draw_gradient: how gradients know of the draws.
    """
    if isinstance(q, Categorical):
        return (log.exp() * value).sum(0)
    average = value.mean(0)
    if draw_gradient != "score_function":
        return average
    n = len(value)
    # (n f_k - sum of all) / (n - 1) = f_k minus the average of the others.
    advantage = (n * value - value.sum(0)) / (n - 1) if n > 1 else value
    return average + (advantage.detach() * (log - log.detach())).mean(0)
