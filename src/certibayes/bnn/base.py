"""How weights are inferred: one interface around one per-example objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

PerExample = Callable[[nn.Module], Tensor]
"""Maps a conditional model at one weight vector to the batch's objectives, shape (batch,)."""

WeightSamples = dict[str, Tensor]
"""Parameter name -> stacked values, shape (samples, *parameter shape)."""

ModelBuilder = Callable[[nn.Module, WeightSamples], nn.Module]
"""Makes a conditional model from a network and weight samples, e.g. `Predictive`."""


class WeightInference(nn.Module, ABC):
    """Owns variational parameters, prior, KL and reduction; a `state_dict` is a checkpoint.

    Trained are the parameters that require a gradient.
    """

    @abstractmethod
    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return the scalar to minimise: minus mean objective, plus the prior's share per example.

        Args:
            per_example: the batch's objectives as a function of the model.
            examples: N, the size of the training set (the prior term is divided by it).
            generator: source of weight noise.
        """

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Draw n weight vectors, without gradient."""

    @abstractmethod
    def model(self, samples: WeightSamples) -> nn.Module:
        """Return the conditional model of given weight samples, independent of later training."""

    @property
    @abstractmethod
    def stored_samples(self) -> int:
        """Size of the fixed, finite ensemble that predicts after training."""

    @abstractmethod
    def reset(self) -> None:
        """Start again at the current weights of the wrapped module."""
