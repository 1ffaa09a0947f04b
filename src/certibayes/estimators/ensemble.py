"""Ensembles: the equal-weight mixture of the posteriors of several estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from certibayes.config.models import Standardization
from certibayes.estimators.base import DEFAULT, Estimator
from certibayes.estimators.mixture_posterior import MixturePosterior
from certibayes.rows import Pairs

STANDARDIZATION = ("x_location", "x_scale", "v_location", "v_scale")


class EnsembleEstimator(Estimator):
    """q(theta | x) = (1/n) sum_m q_m(theta | x) over n estimators of one kind.

    All of them standardize x and theta in the same way. Members are trained one by one; as a whole
    an ensemble predicts, is attacked and certified.
    """

    kind: ClassVar[str] = "ensemble"

    def __init__(self, members: Sequence[Estimator]) -> None:
        """Hold the members; they are not copied.

        Args:
            members: at least one, all of one class, with equal locations and scales.

        Raises:
            ValueError: if there is none, or if two differ in class, location or scale.
        """
        if not members:
            raise ValueError("members: got 0; allowed: at least one")
        first = members[0]
        super().__init__(first.theta_dim, first.x_dim, first.support, first.squash)
        for position, member in enumerate(members):
            if type(member) is not type(first):
                raise ValueError(
                    f"members.{position}: got {type(member).__name__}; "
                    f"allowed: {type(first).__name__}, as the first"
                )
            for name in STANDARDIZATION:
                if not torch.equal(getattr(member, name), getattr(first, name)):
                    raise ValueError(f"members.{position}.{name}: differs from the first member's")
        for name in STANDARDIZATION:
            setattr(self, name, getattr(first, name).clone())
        self.members = nn.ModuleList(members)

    @property
    def estimators(self) -> tuple[Estimator, ...]:
        """The members."""
        return tuple(cast(Estimator, member) for member in self.members)

    def forward(self, x: Tensor) -> MixturePosterior:
        """Return q(theta | x) for raw x, shape (batch, x_dim)."""
        weights = x.new_zeros(1, len(self.members))
        return MixturePosterior([member(x) for member in self.estimators], weights)

    def fit_standardization(self, pairs: Pairs, spec: Standardization = DEFAULT) -> None:
        """Set locations and scales of the ensemble and of every member from training pairs."""
        super().fit_standardization(pairs, spec)
        for member in self.estimators:
            for name in STANDARDIZATION:
                getattr(member, name).copy_(getattr(self, name))
