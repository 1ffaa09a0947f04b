"""What certificates of the density at given thetas return; no bound is computed here."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certibayes.certificates.base import CertificateResult


@dataclass(frozen=True)
class LogDensityResult(CertificateResult):
    """`upper` bounds the drop log q(theta | x) - log q(theta | x'), nats; all shape (batch,).

    Attributes:
        least: lower bound of log q(theta | x') over the ball; -inf = none.
        most: upper bound of it; inf = none.
    """

    least: Tensor
    most: Tensor


@dataclass(frozen=True)
class CoverageResult(CertificateResult):
    """`upper` bounds the mass of q(. | x') that is denser than theta*; all of shape (batch,).

    Attributes:
        shift: bound of the total variation, with its share of the confidence.
        denser: bound of P(U(theta) >= L(theta*)) over theta ~ q(. | x), with its share.
        comparison: the share of the comparison draws with U(theta) >= L(theta*): of these draws no
            attack can make more denser than theta*.
    """

    shift: Tensor
    denser: Tensor
    comparison: Tensor
