"""Fisher information penalty (Gloeckler et al., 2023)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import Fisher as FisherSpec
from certibayes.config.defenses import TraceName
from certibayes.defenses.base import Defense
from certibayes.defenses.frozen import frozen_statistics
from certibayes.defenses.information import Place, difference_step, unit_of_features
from certibayes.defenses.top_eigenvalue import top_eigenvalue
from certibayes.defenses.trace_directional import directional_trace
from certibayes.defenses.trace_exact import exact_trace
from certibayes.defenses.trace_score import score_trace
from certibayes.estimators.flow import weights_once
from certibayes.threat import Scale

TRACES: dict[TraceName, Callable[[Place, FisherSpec, torch.Generator], Tensor]] = {
    "exact": exact_trace,
    "score": score_trace,
    "directional": directional_trace,
    "top_eigenvalue": top_eigenvalue,
}


class Fisher(Defense):
    """objective = log q(target | x) - beta * tr I(x), the information about x in units of it.

    I(x) = E_{y ~ q(. | x)}[s s^T] with the score s = unit * d log q(y | x) / dx; features that
    hardly vary count nothing. Half the trace is the second-order growth of
    KL(q(. | x) || q(. | x + unit * delta)), summed over directions.
    `every` and `share` leave the expected gradient as it is; where no gradient is taken
    (validation), every example is penalized.
    """

    def __init__(self, spec: FisherSpec, scale: Scale, clip: tuple[float, float] | None) -> None:
        self.spec = spec
        self._std = unit_of_features(scale, spec.unit)
        self._step = difference_step(scale, self._std)

    def objective(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the penalized log-likelihood, shape (batch,).

        Raises:
            TypeError: if the model's distribution has no such estimator of the information.
        """
        with weights_once(model):
            return self._penalized(model, target, x.detach(), generator)

    def _penalized(
        self, model: ConditionalModel, target: Tensor, x: Tensor, generator: torch.Generator
    ) -> Tensor:
        q = model(x)
        clean = q.log_prob(target)
        if self.spec.beta == 0:
            return clean
        every, penalized = 1, len(x)
        if torch.is_grad_enabled():
            every = self.spec.every
            penalized = max(1, round(self.spec.share * len(x)))
        if every > 1 and int(torch.randint(every, (), generator=generator)) > 0:
            return clean
        weight = self.spec.beta * every * len(x) / penalized
        trace = TRACES[self.spec.trace]
        with frozen_statistics(model):
            if penalized == len(x):
                place = Place(model, x, q, self._std.to(x), self._step)
                return clean - weight * trace(place, self.spec, generator)
            rows = torch.randperm(len(x), generator=generator)[:penalized].to(x.device)
            place = Place(model, x[rows], model(x[rows]), self._std.to(x), self._step)
            return clean.index_add(0, rows, trace(place, self.spec, generator), alpha=-weight)
