"""What a certificate is and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from torch import Tensor, nn

from certibayes.threat import Ball


class Verdict(StrEnum):
    """certified: proved; refuted: an attack disproves it; unknown: neither."""

    CERTIFIED = "certified"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class CertificateResult:
    """One certificate at one radius, in batch order, float64.

    Attributes:
        upper: bound of the certified quantity over the ball (posterior_shift: total variation;
            decision: max over rivals of upper p_k minus lower p_y), shape (batch,).
        lower: value that an attack reached on the same draws, or -inf without one, shape (batch,).
        verdict: one per observation.
        confidence: probability, for every single observation, that its `upper` holds; 1.0 =
            deterministic. It is not the probability that all of them hold at once.
        seconds: time taken for the whole batch.
    """

    upper: Tensor
    lower: Tensor
    verdict: tuple[Verdict, ...]
    confidence: float
    seconds: float

    @property
    def deterministic(self) -> bool:
        """Whether `upper` holds with certainty: it rests on no draw."""
        return self.confidence == 1.0

    @property
    def certified(self) -> Tensor:
        """Which observations are certified, bool, shape (batch,)."""
        return self.upper.new_tensor([v is Verdict.CERTIFIED for v in self.verdict]).bool()

    @property
    def refuted(self) -> Tensor:
        """Which observations are refuted, bool, shape (batch,)."""
        return self.upper.new_tensor([v is Verdict.REFUTED for v in self.verdict]).bool()


class UnsoundBoundError(RuntimeError):
    """A bound contradicts a value that it must enclose: the bound rule is wrong."""


Prepared = TypeVar("Prepared")
Result = TypeVar("Result", bound=CertificateResult)


class Certificate(ABC, Generic[Prepared, Result]):
    """Frozen hyper-parameters (`spec`); everything that no ball changes is prepared once."""

    @abstractmethod
    def prepare(self, model: nn.Module, x: Tensor, target: Tensor | None, seed: int) -> Prepared:
        """Do once what serves every ball.

        Args:
            model: q(. | x), float64.
            x: observations, shape (batch, x_dim), float64, raw units.
            target: labels, shape (batch,), where the certificate speaks of labels.
            seed: seed of every draw.

        Raises:
            ValueError: if model or x are not float64, or x is not finite.
        """

    @abstractmethod
    def certify(self, prepared: Prepared, ball: Ball) -> Result:
        """Bound the quantity over the ball around every x; no verdict is `refuted`.

        Raises:
            ValueError: if an x lies outside the ball's clip range.
            UnsoundBoundError: if a bound contradicts the value at x itself.
        """

    @abstractmethod
    def refute(self, prepared: Prepared, result: Result, attacked: Tensor, ball: Ball) -> Result:
        """Confront a result with attacked observations, shape (batch, x_dim), of the same ball.

        Returns the result with `lower` raised to what the attack reached and with the verdict
        `refuted` where that disproves the claim. May be called once per attack.

        Raises:
            ValueError: if an attacked x is not float64 or lies outside the ball.
        """


def verdicts(certified: Tensor, refuted: Tensor) -> tuple[Verdict, ...]:
    """Return one verdict per observation; `refuted` outranks `certified`.

    Args:
        certified: bool, shape (batch,).
        refuted: bool, shape (batch,).
    """
    return tuple(
        Verdict.REFUTED if no else Verdict.CERTIFIED if yes else Verdict.UNKNOWN
        for yes, no in zip(certified.tolist(), refuted.tolist(), strict=True)
    )
