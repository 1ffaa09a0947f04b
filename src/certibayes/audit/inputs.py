"""Observations, true thetas and units of an audit, from npy files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from certibayes.audit.errors import AuditError
from certibayes.audit.settings import AuditSettings
from certibayes.threat import Ball, Scale, ThreatModel


@dataclass(frozen=True)
class AuditInputs:
    """What the posterior is audited on.

    Attributes:
        x: observations, shape (batch, x_dim), float64.
        theta: true thetas, shape (batch, theta_dim), or None.
        reference: further clean observations, shape (n, x_dim), or None.
    """

    x: Tensor
    theta: Tensor | None
    reference: Tensor | None

    def scale(self, unit: str) -> Scale:
        """Measure the unit of epsilon on the reference, or else on the observations.

        Raises:
            AuditError: if the unit needs more observations.
        """
        measured = self.x if self.reference is None else self.reference
        if len(measured) < 2:
            if unit != "raw":
                raise AuditError(
                    f"unit: got {unit!r} with {len(measured)} observation; allowed: --unit raw, or "
                    "--scale FILE with clean observations that state the unit"
                )
            return Scale(torch.ones(self.x.shape[1], dtype=torch.float64), 1.0)
        return Scale.of(measured)

    def balls(self, settings: AuditSettings) -> list[Ball]:
        """Return one ball per epsilon.

        Raises:
            AuditError: if the unit cannot be measured or an x lies outside the clip range.
        """
        grid = settings.perturbation
        clip = grid.clip
        if isinstance(clip, str):
            clip = (float(self.x.min()), float(self.x.max()))
        scale = self.scale(grid.unit)
        try:
            balls = [
                ThreatModel(grid.norm, epsilon, grid.unit, clip).ball(scale)
                for epsilon in grid.epsilons
            ]
            balls[0].require_inside_clip(self.x)
        except ValueError as error:
            raise AuditError(str(error)) from error
        return balls


def read_inputs(observations: Path, theta: Path | None, scale: Path | None) -> AuditInputs:
    """Read the files of an audit.

    Raises:
        AuditError: if one is missing, no array of finite numbers or of another shape.
    """
    x = _rows(observations, "observations")
    known = None if theta is None else _rows(theta, "theta")
    reference = None if scale is None else _rows(scale, "scale")
    if known is not None and len(known) != len(x):
        raise AuditError(f"theta: got {len(known)} rows; allowed: {len(x)}, one per observation")
    if reference is not None and reference.shape[1] != x.shape[1]:
        raise AuditError(f"scale: got {reference.shape[1]} features; allowed: {x.shape[1]}")
    return AuditInputs(x, known, reference)


def _rows(path: Path, role: str) -> Tensor:
    try:
        values = torch.from_numpy(np.atleast_2d(np.load(path, allow_pickle=False)))
    except (OSError, TypeError, ValueError) as error:
        raise AuditError(f"{role}: {path}: {error}; allowed: a .npy file of numbers") from error
    if values.ndim != 2 or not len(values):
        raise AuditError(
            f"{role}: {path}: got shape {tuple(values.shape)}; allowed: (batch, features)"
        )
    values = values.double()
    if not bool(values.isfinite().all()):
        raise AuditError(f"{role}: {path}: got NaN or infinite values; allowed: finite numbers")
    return values
