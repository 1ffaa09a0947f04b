"""Estimators of q(theta | x): a network that returns a distribution over theta."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import biject_to
from torch.distributions.constraints import Constraint

from certibayes import registry
from certibayes.config.embeddings import AnyEmbedding, conditioning_features
from certibayes.config.models import Standardization
from certibayes.estimators.posterior import Posterior
from certibayes.estimators.sbi_surface import SbiSurface
from certibayes.estimators.standardization import floored, moments, quartiles
from certibayes.estimators.theta_map import ThetaMap
from certibayes.rows import Pairs

__all__ = ["Estimator", "Posterior", "ThetaMap"]

NORMAL_QUARTILES = 1.349
DEFAULT = Standardization()


class Estimator(SbiSurface):
    """q(theta | x) with inputs standardised inside and theta behind a bijection to its support.

    theta = bijection(v_location + v_scale * v); subclasses model v given `condition(x)`.
    `fit_standardization` sets the buffers from training pairs before training.

    Attributes:
        kind: name in the registry, also of its bound rule.
        squash: whether standardised x passes through asinh, which tames heavy tails.
        embedding: maps standardised x, shape (batch, x_dim), to (batch, features).
        features: numbers that v is conditioned on.
    """

    kind: ClassVar[str]
    x_location: Tensor
    x_scale: Tensor
    v_location: Tensor
    v_scale: Tensor

    def __init__(
        self,
        theta_dim: int,
        x_dim: int,
        support: Constraint,
        squash: bool = False,
        embedding: AnyEmbedding | None = None,
    ) -> None:
        """Start with location 0 and scale 1 everywhere.

        Args:
            theta_dim: parameters.
            x_dim: features of x.
            support: of the prior.
            squash: pass standardised x through asinh.
            embedding: of standardised x; None = x itself.

        Raises:
            ValueError: if the embedding does not fit the features of x.
        """
        super().__init__()
        self.theta_dim = theta_dim
        self.x_dim = x_dim
        self.features = conditioning_features(embedding, x_dim)
        self.embedding: nn.Module = nn.Identity()
        if embedding is not None:
            self.embedding = registry.load("embedding", embedding.kind)(embedding, x_dim)
        self.squash = squash
        self.support = support
        self.bijection = biject_to(support)
        self.register_buffer("x_location", torch.zeros(x_dim))
        self.register_buffer("x_scale", torch.ones(x_dim))
        self.register_buffer("v_location", torch.zeros(theta_dim))
        self.register_buffer("v_scale", torch.ones(theta_dim))

    @abstractmethod
    def forward(self, x: Tensor) -> Posterior:
        """Return q(theta | x) for raw x, shape (batch, x_dim)."""

    @property
    def theta_map(self) -> ThetaMap:
        """The map between theta and v."""
        return ThetaMap(self.support, self.v_location, self.v_scale)

    def standardize(self, x: Tensor) -> Tensor:
        """Return (x - x_location) / x_scale, then asinh of it if `squash`; shape of x."""
        standard = (x - self.x_location) / self.x_scale
        return standard.asinh() if self.squash else standard

    def condition(self, x: Tensor) -> Tensor:
        """Return what v is conditioned on: the embedding of standardised x, (batch, features)."""
        conditions: Tensor = self.embedding(self.standardize(x))
        return conditions

    @torch.no_grad()
    def fit_standardization(self, pairs: Pairs, spec: Standardization = DEFAULT) -> None:
        """Set locations and scales from training pairs.

        x: as the specification says; a feature with interquartile range 0 gets its std, a feature
        whose std is below 1e-6 of the largest gets 1, and none gets less than the floor. v: mean
        and std of the unconstrained theta.

        Pairs are read a block at a time, so they need not fit in memory; moments are float64.

        Args:
            pairs: theta inside the support, shape (n, theta_dim), and finite x, shape (n, x_dim).
            spec: how x is standardised.

        Raises:
            ValueError: if a value is not finite or a theta lies on the border of the support.
        """
        v, x = moments(pairs, self.bijection.inv)
        location, spread = x.mean, x.std
        if spec.by == "quartiles":
            low, location, high = quartiles(pairs)
            between = (high - low) / NORMAL_QUARTILES
            spread = torch.where(between > 0, between, x.std)
        self.x_location.copy_(location)
        self.x_scale.copy_(floored(spread, x.std).clamp(min=spec.floor))
        self.v_location.copy_(v.mean)
        self.v_scale.copy_(floored(v.std, v.std))
