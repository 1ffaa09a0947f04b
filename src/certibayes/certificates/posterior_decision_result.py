"""What a certified decision of the true predictive states."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certibayes.certificates.base import CertificateResult


@dataclass(frozen=True)
class PosteriorDecisionResult(CertificateResult):
    """With `mean`: the bound of the largest margin on the drawn weights alone, shape (batch,)."""

    mean: Tensor
