"""Minus the log posterior over all training pairs, with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from certibayes.bnn.base import PerExample
from certibayes.bnn.prior import GaussianPrior


class Potential:
    """U(w) = -power * sum over all examples of the objective at w - log p(w), up to a constant."""

    def __init__(
        self,
        model_at: Callable[[Sequence[Tensor]], nn.Module],
        prior: GaussianPrior,
        batches: Sequence[PerExample],
        power: float,
    ) -> None:
        """Fix what U depends on.

        Args:
            model_at: makes the conditional model at one weight vector.
            prior: p.
            batches: blocks of all training pairs, the same function at every call.
            power: of the likelihood.
        """
        self._model_at = model_at
        self._batches = batches
        self._power = power
        self.prior = prior

    def __call__(self, weights: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """Return U, both its parts summed in float64, and its gradient; one block at a time."""
        leaves = [w.detach().requires_grad_() for w in weights]
        energy = self.prior.energy([w.double() for w in leaves])
        total = energy.item()
        gradients = list(torch.autograd.grad(energy, leaves))
        for batch in self._batches:
            objective = -self._power * batch(self._model_at(leaves)).double().sum()
            total += objective.item()
            parts = torch.autograd.grad(objective, leaves)
            gradients = [g + part for g, part in zip(gradients, parts, strict=True)]
        return total, gradients
