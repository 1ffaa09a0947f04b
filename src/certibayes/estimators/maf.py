"""Masked autoregressive flows."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.distributions.constraints import Constraint

from certibayes.config.embeddings import conditioning_features
from certibayes.config.models import MAF
from certibayes.estimators.autoregressive import AffineTransform
from certibayes.estimators.flow import FlowEstimator
from certibayes.estimators.made import ConditionedAffine, MADEWeights


class MAFEstimator(FlowEstimator):
    """Masked autoregressive flow (Papamakarios et al., 2017) on nflows' transforms."""

    kind: ClassVar[str] = "maf"

    def __init__(self, spec: MAF, theta_dim: int, x_dim: int, support: Constraint) -> None:
        """Build the transforms.

        Args:
            spec: hyper-parameters.
            theta_dim: parameters.
            x_dim: features of x.
            support: of the prior.
        """
        features = conditioning_features(spec.embedding, x_dim)
        transforms = (
            ConditionedAffine(theta_dim, spec.hidden, features, spec.blocks)
            for _ in range(spec.transforms)
        )
        super().__init__(transforms, theta_dim, x_dim, support, spec.squash, spec.embedding)

    def conditioned(self, weights: MADEWeights, context: Tensor) -> AffineTransform:
        """Return one transform at observations whose context layer is given, (batch, hidden)."""
        return AffineTransform(weights, context)
