"""Neural spline flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from nflows.transforms.autoregressive import AutoregressiveTransform
from torch import Tensor
from torch.distributions.constraints import Constraint
from torch.nn import functional

from certibayes.config.embeddings import conditioning_features
from certibayes.config.models import NSF
from certibayes.estimators.autoregressive import ConditionedTransform
from certibayes.estimators.flow import FlowEstimator
from certibayes.estimators.made import ConditionedMADE, MADEWeights
from certibayes.estimators.rational_quadratic import Splines, SplineShape
from certibayes.estimators.scale import positive_scale

SPLINES_PER_PASS = 1 << 17


@dataclass(frozen=True)
class SplineTransform(ConditionedTransform):
    """z_i = spline_i(s_i u_i + t_i), all of it given by u_1..u_(i-1) and x.

    Attributes:
        shape: what bounds the splines' parameters.
    """

    shape: SplineShape

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Map u, shape (*, batch, d), to z and log |det dz / du|, shape (*, batch).

        Draws are taken in parts, so that the splines' parameters never fill the memory.
        """
        draws = u.reshape(-1, *u.shape[-2:])
        part = max(SPLINES_PER_PASS // max(u[0].numel() if u.dim() > 2 else u.numel(), 1), 1)
        parts = [self._forward(one) for one in draws.split(part)]
        z, log_det = (torch.cat(values) for values in zip(*parts, strict=True))
        return z.reshape(u.shape), log_det.reshape(u.shape[:-1])

    def _forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = self.weights.outputs
        outputs = functional.linear(self.hidden(u), weight.flatten(0, 1), bias.flatten())
        z, log_slope = spline_of(u, outputs.unflatten(-1, bias.shape), self.shape)
        return z, log_slope.sum(-1)

    def solve(self, z: Tensor, outputs: Tensor) -> Tensor:
        """Return (spline_i^-1(z_i) - t_i) / s_i, shape (rows,)."""
        spline = Splines.of(outputs[2:].T, self.shape)
        return (spline.inverse(z) - outputs[1]) / positive_scale(outputs[0])


def spline_of(u: Tensor, outputs: Tensor, shape: SplineShape) -> tuple[Tensor, Tensor]:
    """Return spline(s u + t) and its log derivative, shape of u, from outputs (*u, 2 + splines)."""
    scale = positive_scale(outputs[..., 0])
    z, log_slope = Splines.of(outputs[..., 2:], shape).forward(scale * u + outputs[..., 1])
    return z, log_slope + scale.log()


class ConditionedSpline(AutoregressiveTransform):
    """nflows' autoregressive transform with an affine step and a spline per feature."""

    def __init__(
        self, features: int, hidden: int, context_features: int, blocks: int, shape: SplineShape
    ) -> None:
        made = ConditionedMADE(features, hidden, context_features, blocks, 2 + shape.parameters)
        super().__init__(made)
        self.shape = shape

    def _output_dim_multiplier(self) -> int:
        return 2 + self.shape.parameters

    def _elementwise_forward(self, inputs: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        outputs = parameters.view(*inputs.shape, -1)
        z, log_slope = spline_of(inputs, outputs, self.shape)
        return z, log_slope.sum(-1)

    def _elementwise_inverse(self, inputs: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        outputs = parameters.view(*inputs.shape, -1)
        u = Splines.of(outputs[..., 2:], self.shape).inverse(inputs) - outputs[..., 1]
        u = u / positive_scale(outputs[..., 0])
        return u, -spline_of(u, outputs, self.shape)[1].sum(-1)


class NSFEstimator(FlowEstimator):
    """Autoregressive neural spline flow (Durkan et al., 2019) on nflows' networks.

    Every transform applies an affine step before its spline, so that a posterior much narrower
    than the prior still fills the spline's range; with identity splines it is a MAF. Widths,
    heights and derivatives are bounded (`SplineShape`).
    """

    kind: ClassVar[str] = "nsf"

    def __init__(self, spec: NSF, theta_dim: int, x_dim: int, support: Constraint) -> None:
        """Build the transforms.

        Args:
            spec: hyper-parameters.
            theta_dim: parameters.
            x_dim: features of x.
            support: of the prior.
        """
        self.shape = SplineShape(spec.bins, spec.bound, spec.smallest_bin, spec.steepest)
        features = conditioning_features(spec.embedding, x_dim)
        transforms = (
            ConditionedSpline(theta_dim, spec.hidden, features, spec.blocks, self.shape)
            for _ in range(spec.transforms)
        )
        super().__init__(transforms, theta_dim, x_dim, support, spec.squash, spec.embedding)

    def conditioned(self, weights: MADEWeights, context: Tensor) -> SplineTransform:
        """Return one transform at observations whose context layer is given, (batch, hidden)."""
        return SplineTransform(weights, context, self.shape)
