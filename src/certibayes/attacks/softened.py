"""Ensembles whose gradients do not vanish where every weight sample is sure of its label."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Categorical

from certibayes.attacks.base import ConditionalModel
from certibayes.bnn.predictive import Predictive


class Softened:
    """p_T(y | x') = mean over s of softmax(f(x'; w_s) / T)_y.

    Weight samples that are sure of different labels give a mean predictive without slope: each of
    their probabilities is 0 or 1 to rounding. T, one per observation, is the mean over samples of
    the gap between the two largest logits at the clean x, at least 1: then none is sure there.
    """

    def __init__(self, model: Predictive, x: Tensor) -> None:
        """Measure T at x, shape (batch, x_dim)."""
        self.model = model
        with torch.no_grad():
            first, second = model.sample_logits(x).topk(2, -1).values.unbind(-1)
        gap = (first - second).mean(0)
        self.temperature = torch.where(gap.isfinite(), gap, 1.0).clamp(min=1.0).unsqueeze(-1)

    def __call__(self, x: Tensor) -> Categorical:
        """Return the softened predictive at x', of the observations that T was measured at."""
        log_probability = (self.model.sample_logits(x) / self.temperature).log_softmax(-1)
        mean = torch.logsumexp(log_probability, 0) - math.log(self.model.samples)
        return Categorical(logits=mean, validate_args=False)


def softened(model: ConditionalModel, x: Tensor) -> ConditionalModel:
    """Return an ensemble of several weight samples softened at x, any other model as it is."""
    return Softened(model, x) if isinstance(model, Predictive) and model.samples > 1 else model
