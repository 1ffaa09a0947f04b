"""How the outputs of a network make a Gaussian, and the last layer as one linear map per theta."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from certibayes.config.models import Covariance
from certibayes.estimators.scale import positive_scale


@dataclass(frozen=True)
class GaussianLayout:
    """Outputs (c, raw diagonal of T, rest of T) of noise = T v + c, T lower triangular.

    Attributes:
        theta_dim: d.
        covariance: "full", or "diagonal", where T has no rest.
    """

    theta_dim: int
    covariance: Covariance

    @property
    def size(self) -> int:
        """Number of outputs."""
        return 2 * self.theta_dim + self._below

    @property
    def _below(self) -> int:
        return self.theta_dim * (self.theta_dim - 1) // 2 if self.covariance == "full" else 0

    def split(self, outputs: Tensor, dim: int = -1) -> tuple[Tensor, Tensor, Tensor]:
        """Split network outputs, or rows of the last layer, into c, raw diagonal and rest of T."""
        d = self.theta_dim
        offset, diagonal, below = outputs.split((d, d, self._below), dim)
        return offset, diagonal, below

    def positions(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows and columns of the rest of T in T."""
        d = self.theta_dim if self.covariance == "full" else 0
        rows, columns = torch.tril_indices(d, d, -1, device=like.device)
        return rows, columns

    def precision_factor(self, diagonal: Tensor, below: Tensor) -> Tensor:
        """Return T, shape (*, d, d), of its raw diagonal, shape (*, d), and rest."""
        factor = torch.diag_embed(positive_scale(diagonal))
        if self.covariance == "diagonal":
            return factor
        flat = factor.flatten(0, -3)
        number = torch.arange(len(flat), device=flat.device)[:, None]
        flat = flat.index_put((number, *self.positions(below)), below.flatten(0, -2))
        return flat.view_as(factor)


@dataclass(frozen=True)
class GaussianHead:
    """The linear layer from the hidden values to the outputs of one Gaussian.

    Attributes:
        layout: of the outputs.
        weight: shape (outputs, hidden).
        bias: shape (outputs,).
    """

    layout: GaussianLayout
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layout: GaussianLayout, layer: nn.Linear) -> GaussianHead:
        """Return the head of a layer with no other outputs."""
        return cls(layout, layer.weight, layer.bias)

    def raw_scale(self) -> tuple[Tensor, Tensor]:
        """Return weight, (d, hidden), and bias, (d,), of the raw diagonal of T."""
        return self.layout.split(self.weight, 0)[1], self.layout.split(self.bias, 0)[1]

    def folded(self, homogeneous: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias of sum_(j<i) T_ij h_j + c_i h_(d+1) in the hidden values.

        Args:
            homogeneous: h, shape (*, batch, d + 1).

        Returns:
            Shapes (*, batch, d, hidden) and (*, batch, d).
        """
        weight = self._by_row(self.weight)
        bias = self._by_row(self.bias.unsqueeze(-1)).squeeze(-1)
        return torch.tensordot(homogeneous, weight, dims=([-1], [1])), homogeneous @ bias.T

    def _by_row(self, outputs: Tensor) -> Tensor:
        """Arrange the outputs' rows by (i, j), j = d for the offset; (d, d + 1, columns)."""
        d = self.layout.theta_dim
        offset, _, below = self.layout.split(outputs, 0)
        arranged = offset.new_zeros(d, d + 1, offset.shape[-1])
        arranged = arranged.index_put(self.layout.positions(below), below)
        return torch.cat((arranged[:, :d], offset.unsqueeze(1)), 1)
