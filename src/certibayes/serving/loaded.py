"""What `certibayes.load` returns of every model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from certibayes.config.jobs import ModelJob
from certibayes.serving.certify import CertificateAt, Configured
from certibayes.serving.observations import Numbers


@dataclass(eq=False)
class Loaded(ABC):
    """A trained model in float64, the precision of its certificates.

    Attributes:
        name: what it is registered as, `<study>.<task>.<model>.<defense>`.
        job: how it was made, field by field.
        sha256: of its weights, checked on loading.
        x_dim: numbers in an observation.
        configured: certificates of its study with their balls; None = the study has no report.
    """

    name: str
    job: ModelJob
    sha256: str
    x_dim: int
    configured: tuple[Configured, ...] | None

    def certificate(self, x: Numbers, *, seed: int | None = None) -> tuple[CertificateAt, ...]:
        """Return the study's certificates at x, computed afresh, one per name and epsilon.

        Those of kind `log_density`, `coverage`, `posterior_decision` and `probabilistic_safety`
        are left out: they need a theta, or other weights than the stored ones. What is
        not certified is unknown: nothing is attacked here. Empty for a model without certificates.

        Args:
            x: shape (x_dim,) or (batch, x_dim), raw units.
            seed: of the draws; None = fresh ones. Whoever chooses x must not know it.

        Raises:
            LookupError: if the study has no report yet.
            ValueError: if an x is malformed or lies outside the range of a ball.
        """
        if self.configured is None:
            raise LookupError(
                f"{self.name}: certificates: got no models.json in the study's folder; "
                "allowed: a study that was run to its report"
            )
        return self._certify(x, self.configured, seed)

    @abstractmethod
    def _certify(
        self, x: Numbers, certificates: tuple[Configured, ...], seed: int | None
    ) -> tuple[CertificateAt, ...]: ...
