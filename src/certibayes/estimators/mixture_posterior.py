"""Mixtures of posteriors of one theta, e.g. the posteriors of the members of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from certibayes.estimators.posterior import Posterior


class MixturePosterior(Posterior):
    """q(theta | x) = sum_k w_k(x) q_k(theta | x).

    The first coordinate of the noise chooses the component, the others make the draw of it. Where
    the weights depend on x, gradients through draws miss the change of the choice: `has_rsample`
    is True for constant weights only.

    Attributes:
        components: posteriors of one batch.
        log_weights: log w_k, normalized, shape (batch, K).
    """

    def __init__(self, components: Sequence[Posterior], log_weights: Tensor) -> None:
        """Store the components.

        Args:
            components: at least one.
            log_weights: shape (batch, K) or (1, K), finite; normalized here.

        Raises:
            ValueError: if the last dimension of the weights is not the number of components.
        """
        if log_weights.shape[-1] != len(components):
            raise ValueError(
                f"log_weights: got {log_weights.shape[-1]} columns; "
                f"allowed: {len(components)}, the number of components"
            )
        self.components = tuple(components)
        (batch,) = components[0].batch_shape
        self.log_weights = log_weights.log_softmax(-1).expand(batch, -1)
        self.has_rsample = not log_weights.requires_grad and all(
            component.has_rsample for component in components
        )
        super().__init__(components[0].theta_map, batch)

    @property
    def noise_dim(self) -> int:
        """One coordinate for the choice and those of the component that needs most."""
        return 1 + max(component.noise_dim for component in self.components)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(theta | x), shape (*, batch), of theta with shape (*, batch, theta_dim)."""
        parts = torch.stack([component.log_prob(value) for component in self.components], -1)
        total: Tensor = log_sum_exp(parts + self.log_weights)
        return total

    def transport(self, noise: Tensor) -> Tensor:
        """Map noise, shape (*, batch, noise_dim), to theta of the component that it chooses."""
        chosen = self.choose(noise[..., 0])
        draws = [
            component.transport(noise[..., 1 : 1 + component.noise_dim])
            for component in self.components
        ]
        stacked = torch.stack(draws, -2)
        index = chosen[..., None, None].expand(*chosen.shape, 1, stacked.shape[-1])
        return stacked.gather(-2, index).squeeze(-2)

    def choose(self, noise: Tensor) -> Tensor:
        """Map standard normal noise, shape (*, batch), to the number of a component."""
        below = self.log_weights.exp().cumsum(-1)[..., :-1]
        return (torch.special.ndtr(noise).unsqueeze(-1) > below).sum(-1)


def log_sum_exp(values: Tensor) -> Tensor:
    """Return log sum_k exp(values_k), last dimension; -inf, with zero gradient, of -infs."""
    largest = values.detach().amax(-1, keepdim=True)
    largest = torch.where(largest.isfinite(), largest, torch.zeros_like(largest))
    nothing = values.isneginf().all(-1)
    total = (values - largest).exp().sum(-1)
    total = torch.where(nothing, torch.ones_like(total), total)
    return torch.where(nothing, -torch.inf, total.log() + largest.squeeze(-1))
