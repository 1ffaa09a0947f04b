"""Normalizing flows of nflows as the sbi toolbox builds and pickles them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.transforms.base import CompositeTransform, Transform
from nflows.transforms.lu import LULinear
from torch import Tensor, nn

from certibayes.estimators.foreign import ForeignEstimator, ForeignNetworkError
from certibayes.estimators.posterior import BijectivePosterior
from certibayes.estimators.theta_map import ThetaMap


class SbiFlowPosterior(BijectivePosterior):
    """theta pushed to noise by the flow's own transforms."""

    def __init__(
        self, theta_map: ThetaMap, transforms: Sequence[Transform], conditions: Tensor
    ) -> None:
        """Fix the observations.

        Args:
            theta_map: the identity.
            transforms: from theta towards noise.
            conditions: what the transforms are conditioned on, shape (batch, features).
        """
        self.transforms = transforms
        self.conditions = conditions
        super().__init__(theta_map, len(conditions))

    def _normalize(self, v: Tensor) -> tuple[Tensor, Tensor]:
        shape = torch.broadcast_shapes(v.shape, (len(self.conditions), 1))
        flat, conditions = self._rows(v.expand(shape))
        log_det = flat.new_zeros(len(flat))
        for transform in self.transforms:
            flat, more = transform(flat, conditions)
            log_det = log_det + more
        return flat.reshape(shape), log_det.reshape(shape[:-1])

    def _generate(self, noise: Tensor) -> Tensor:
        flat, conditions = self._rows(noise)
        for transform in reversed(self.transforms):
            if isinstance(transform, LULinear):
                flat = torch.linalg.solve(transform.weight(), (flat - transform.bias).T).T
            else:
                flat = transform.inverse(flat, conditions)[0]
        return flat.reshape(noise.shape)

    def _rows(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, (*, batch, d), as rows, and the conditions of every row."""
        lead = values.shape[:-2]
        conditions = self.conditions.expand(*lead, *self.conditions.shape)
        return values.reshape(-1, values.shape[-1]), conditions.flatten(0, -2)


class SbiFlow(ForeignEstimator):
    """A flow with a standard normal base: `maf`, `maf_rqs` and `nsf` of sbi, on all of R^d.

    Attributes:
        transforms: from theta towards noise, in order, nested compositions flattened.
    """

    kind: ClassVar[str] = "sbi_flow"

    def __init__(self, flow: Flow, theta_dim: int, x_dim: int) -> None:
        """Copy the flow into float64 and eval mode.

        Args:
            flow: conditioned on x.
            theta_dim: parameters.
            x_dim: features of x.

        Raises:
            ForeignNetworkError: if the base is no standard normal.
        """
        if type(flow._distribution) is not StandardNormal:
            raise ForeignNetworkError(
                f"base distribution: got {type(flow._distribution).__name__}; "
                "allowed: StandardNormal"
            )
        flow = copy.deepcopy(flow)
        super().__init__(theta_dim, x_dim, flow._embedding_net)
        self.transforms = nn.ModuleList(flattened(flow._transform))
        self.double().eval().requires_grad_(False)

    def forward(self, x: Tensor) -> SbiFlowPosterior:
        """Return q(theta | x) before the cut at the support, for raw x, shape (batch, x_dim)."""
        return SbiFlowPosterior(self.theta_map, list(self.transforms), self.condition(x))


def flattened(transform: Transform) -> list[Transform]:
    """Return the transforms of nested compositions in the order in which they are applied."""
    if type(transform) is CompositeTransform:
        return [one for part in transform._transforms for one in flattened(part)]
    return [transform]


def is_flow(net: nn.Module) -> bool:
    """Tell whether a network is a flow of nflows."""
    return isinstance(net, Flow)
