"""Fisher information penalty (Gloeckler et al., 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import Fisher as FisherSpec
from certibayes.defenses.base import Defense
from certibayes.estimators.base import Posterior
from certibayes.threat import Scale


class Fisher(Defense):
    """objective = log q(target | x) - beta * tr I(x), the information about standardised x.

    I(x) = E_{y ~ q(. | x)}[s s^T] with the score s = std * d log q(y | x) / dx, the std per
    feature that of the task's units; features that hardly vary count nothing. Half the trace is
    the second-order growth of KL(q(. | x) || q(. | x + std * delta)), summed over directions.
    """

    def __init__(self, spec: FisherSpec, scale: Scale, clip: tuple[float, float] | None) -> None:
        self.spec = spec
        std = scale.feature_std
        self._std = torch.where(scale.active, std, torch.zeros_like(std))

    def objective(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the penalised log-likelihood, shape (batch,)."""
        if self.spec.beta == 0:
            return model(x).log_prob(target)
        training = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            q = model(x)
            trace = fisher_trace(q, x, self._std.to(x), self.spec.draws, generator, training)
            objective = q.log_prob(target) - self.spec.beta * trace
        return objective if training else objective.detach()


def fisher_trace(
    q: Distribution,
    x: Tensor,
    std: Tensor,
    draws: int,
    generator: torch.Generator,
    differentiable: bool = True,
) -> Tensor:
    """Return tr I(x) with respect to x / std, shape (batch,).

    Categorical: exact, sum over k of p_k ||std * d log p_k / dx||^2. Posterior: the mean of the
    squared score over fresh draws; unbiased, but gradients do not pass through the draws, so the
    gradient to the weights leaves out how q weighs them (as in Gloeckler et al., 2023).

    Args:
        q: distribution at x, batch shape (batch,).
        x: raw observations that q depends on, shape (batch, x_dim); must require a gradient.
        std: unit of every feature, shape (x_dim,); 0 leaves a feature out.
        draws: draws of theta; not used by a Categorical.
        generator: source of the draws.
        differentiable: keep the graph, so that the trace can be trained on.

    Raises:
        TypeError: if q is neither a Categorical nor a Posterior.
    """
    if isinstance(q, Categorical):
        log_probability = q.logits.log_softmax(-1).unbind(-1)
        weights = [log.exp() for log in log_probability]
    elif isinstance(q, Posterior):
        log_probability = q.log_prob(q.draw(draws, generator)).unbind(0)
        weights = [torch.full_like(log, 1 / draws) for log in log_probability]
    else:
        raise TypeError(f"model: got {type(q).__name__}; allowed: Categorical, Posterior")
    trace = torch.zeros_like(weights[0])
    for weight, log in zip(weights, log_probability, strict=True):
        (score,) = torch.autograd.grad(log.sum(), x, create_graph=differentiable, retain_graph=True)
        trace = trace + weight * (std * score).square().sum(-1)
    return trace
