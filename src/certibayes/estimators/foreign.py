"""What estimators of networks trained elsewhere share: the standardization before their embedding.

The networks are those of the sbi toolbox, version 0.27 (Tejero-Cantero et al., 2020), recognized by
their attributes: sbi itself is never imported.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from certibayes.estimators.base import Estimator

REAL = constraints.independent(constraints.real, 1)


class ForeignNetworkError(TypeError):
    """A network whose parts are not those that are known; the message names the part."""


class ForeignEstimator(Estimator):
    """An estimator around a network that was trained elsewhere, in float64, eval mode.

    `standardize` is the standardization that the toolbox puts before the embedding, `embedding` is
    what follows it. theta is unconstrained: the prior's support cuts the posterior, outside of it.
    """

    def __init__(self, theta_dim: int, x_dim: int, embedding_net: nn.Module) -> None:
        """Split the embedding.

        Args:
            theta_dim: parameters.
            x_dim: features of x.
            embedding_net: maps raw x, shape (batch, x_dim), to what theta is conditioned on.
        """
        super().__init__(theta_dim, x_dim, REAL)
        location, scale, rest = standardization_first(embedding_net)
        self.x_location.copy_(location)
        self.x_scale.copy_(scale)
        self.embedding = rest


def standardization_first(net: nn.Module) -> tuple[Tensor, Tensor, nn.Module]:
    """Return location and scale of a leading `Standardize` (0 and 1 without one) and the rest."""
    layers = list(net) if isinstance(net, nn.Sequential) else [net]
    location, scale = torch.zeros(()), torch.ones(())
    if type(layers[0]).__name__ == "Standardize":
        first: Any = layers.pop(0)
        location, scale = first._mean, first._std
    return location, scale, nn.Sequential(*(_unwrapped(layer) for layer in layers))


def _unwrapped(layer: nn.Module) -> nn.Module:
    """Return the layers of sbi's `FCEmbedding`, which does nothing but apply its `net`."""
    inner = getattr(layer, "net", None)
    if type(layer).__name__ == "FCEmbedding" and isinstance(inner, nn.Sequential):
        return inner
    return layer
