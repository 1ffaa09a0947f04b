"""What an audit is asked for."""

from __future__ import annotations

from typing import Literal

from certibayes.config.attacks import PGD, AnyAttack, Noise, RandomSearch
from certibayes.config.base import AtLeastTwo, Count, Fraction, OpenFraction, PositiveInt, Spec
from certibayes.config.certificates import PosteriorShift
from certibayes.config.threat import BoundedPerturbationGrid, PerturbationGrid
from certibayes.seeding import derive_seed

COMPARISON_DRAWS = 500
SPLIT = 2
"""Statements that share 1 - confidence where the prior cuts the posterior: shift and mass."""


class AuditSettings(Spec):
    """Size of the perturbation, effort of the attacks, and what is to be certified.

    Attributes:
        perturbation: norm, unit, epsilons and clip range.
        bounds: of the network, see `PosteriorShift`; "none" = no certificate.
        tau: total variation that is tolerated.
        confidence: of every certified bound and of what every attack surely reaches, for one
            observation and epsilon alone.
        draws: of theta per observation behind a certificate.
        report_draws: fresh draws of theta on which attacks are measured.
        steps: of an attack, per restart.
        restarts: of an attack by gradients.
        seed: of every draw.
    """

    perturbation: PerturbationGrid
    bounds: Literal["interval", "crown_ibp", "crown", "none"] = "crown"
    tau: Fraction = 0.2
    confidence: OpenFraction = 0.99
    draws: AtLeastTwo = 2_000
    report_draws: AtLeastTwo = 1_000
    steps: PositiveInt = 50
    restarts: PositiveInt = 2
    seed: Count = 0

    def seed_of(self, purpose: str) -> int:
        """Return the seed of one purpose; no two purposes share draws."""
        return derive_seed("audit", purpose, self.seed)

    def attacks(self, gradients: bool) -> dict[str, AnyAttack]:
        """Return the attacks by name: noise, and a search along gradients or without them."""
        noise = Noise(objective="forward_kl", perturbation=self.perturbation)
        if not gradients:
            search = RandomSearch(
                objective="forward_kl", perturbation=self.perturbation, steps=self.steps
            )
            return {"noise": noise, "random_search": search}
        pgd = PGD(
            objective="forward_kl",
            perturbation=self.perturbation,
            steps=self.steps,
            restarts=self.restarts,
        )
        return {"noise": noise, "pgd": pgd}

    def certificate(self, cut: bool) -> PosteriorShift:
        """Return the certificate of the network's density.

        Args:
            cut: whether the prior cuts the posterior, so that the mass inside shares 1 -
                confidence.
        """
        grid = self.perturbation.model_dump()
        return PosteriorShift.model_validate(
            {
                "perturbation": BoundedPerturbationGrid(**grid),
                "tau": self.tau,
                "draws": self.draws,
                "confidence": 1 - (1 - self.confidence) / (SPLIT if cut else 1),
                "bounds": self.bounds,
                "comparison_draws": min(COMPARISON_DRAWS, self.draws),
            }
        )
