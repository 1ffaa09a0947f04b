"""The normal distribution cut at zero, which torch.distributions does not have."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.constraints import Constraint


class PositiveNormal(Distribution):
    """normal(loc, scale) conditioned on being positive; drawn from by `quantile_above`.

    log p(z) = log normal(z; loc, scale) - log Phi(loc / scale) for z > 0, with Phi the standard
    normal cumulative distribution function.

    Args:
        loc: location of the normal before the cut, shape (*batch,).
        scale: its scale, same shape, positive.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.positive

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self.loc = loc
        self.scale = scale
        super().__init__(loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Loc + scale phi(r) / Phi(r) with r = loc / scale; shape (*batch,)."""
        return self.loc + self.scale * self._hazard()

    @property
    def variance(self) -> Tensor:
        """scale^2 (1 - r h - h^2) with r = loc / scale, h = phi(r) / Phi(r); shape (*batch,)."""
        hazard = self._hazard()
        return self.scale**2 * (1 - self.loc / self.scale * hazard - hazard**2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the normalized log density, shape (*, *batch).

        Raises:
            ValueError: if arguments are validated and a value is not positive.
        """
        if self._validate_args:
            self._validate_sample(value)
        standard = (value - self.loc) / self.scale
        normalizer = self.scale.log() + 0.5 * math.log(2 * math.pi)
        mass = torch.special.log_ndtr(self.loc / self.scale)
        return -0.5 * standard**2 - normalizer - mass

    def quantile_above(self, uniform: Tensor) -> Tensor:
        """Return z with P(Z > z) = uniform, in [0, 1); shape of `uniform`.

        Draws are clamped to the open interval that floating point can represent.
        """
        tail = uniform.clamp(min=torch.finfo(uniform.dtype).eps) * torch.special.ndtr(
            self.loc / self.scale
        )
        value = self.loc - self.scale * torch.special.ndtri(tail)
        return value.clamp(min=torch.finfo(uniform.dtype).tiny)

    def _hazard(self) -> Tensor:
        ratio = self.loc / self.scale
        density = torch.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
        return density / torch.special.ndtr(ratio)
