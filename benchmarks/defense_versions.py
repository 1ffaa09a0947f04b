"""The versions of every defense that benchmarks/defenses.py compares."""

from __future__ import annotations

from dataclasses import dataclass

from certibayes.config.defenses import (
    Adversarial,
    AnyDefense,
    Empirical,
    Fisher,
    NoDefense,
    NoiseAugmentation,
    RobustLikelihood,
    Trades,
)
from certibayes.config.threat import BoundedPerturbationAt, PerturbationAt

BALL = PerturbationAt(norm="l2", unit="within_std", epsilon=1.0)
HALF = BALL.model_copy(update={"epsilon": 0.5})
BOX = BoundedPerturbationAt(norm="linf", unit="feature_std", epsilon=0.02)
BETA = 0.01
"""As published for lotka_volterra, for the information about raw x."""
TRADES_BETA = 10.0
"""Published: 0.1, with which `trades` hardly defends here: every version would do as well."""
ALLOWED_COST = {"fisher": 2.0, "adversarial": 6.0, "trades": 12.0}
"""Training time that the cheap version of a defense may take, as a multiple of undefended."""
ALLOWED_LOSS = 1.2
"""Attacked KL of a cheap version as a multiple of the expensive one's."""


@dataclass(frozen=True)
class Version:
    """One way of training.

    Attributes:
        spec: the defense and its settings.
        title: for the page.
        of: defense whose cost it lowers; "" for those that are only timed.
        published: ratio of training times in Gloeckler et al. (2023), where it is theirs.
    """

    spec: NoDefense | AnyDefense
    title: str
    of: str = ""
    published: float | None = None

    @property
    def expensive(self) -> bool:
        """Whether cheap versions are measured against it."""
        return self.published is not None


VERSIONS = {
    "none": Version(NoDefense(), "none"),
    "fisher_published": Version(
        Fisher(unit="raw", beta=BETA, draws=5, draw_gradient="reparametrized"),
        "fisher, as published: reparametrized, 5 draws",
        "fisher",
        3.7,
    ),
    "fisher_score_every4": Version(
        Fisher(unit="raw", beta=BETA, every=4), "fisher, score, every 4", "fisher"
    ),
    "fisher_reparametrized_every4": Version(
        Fisher(unit="raw", beta=BETA, every=4, draw_gradient="reparametrized"),
        "fisher, score, reparametrized, every 4",
        "fisher",
    ),
    "fisher_score_every2": Version(
        Fisher(unit="raw", beta=BETA, every=2), "fisher, score, every 2", "fisher"
    ),
    "fisher_reparametrized_every3": Version(
        Fisher(unit="raw", beta=BETA, every=3, draw_gradient="reparametrized"),
        "fisher, score, reparametrized, every 3",
        "fisher",
    ),
    "fisher_score_share": Version(
        Fisher(unit="raw", beta=BETA, share=0.25), "fisher, score, share 0.25", "fisher"
    ),
    "fisher_directional_share": Version(
        Fisher(unit="raw", beta=BETA, trace="directional", share=0.25),
        "fisher, directional, share 0.25",
        "fisher",
    ),
    "adversarial_published": Version(
        Adversarial(perturbation=BALL), "adversarial, as published: 20 steps", "adversarial", 11.8
    ),
    "adversarial_7": Version(
        Adversarial(perturbation=BALL, steps=7, step_size=0.3),
        "adversarial, 7 steps of 0.3",
        "adversarial",
    ),
    "trades_published": Version(
        Trades(perturbation=HALF, beta=TRADES_BETA, search_direction="reverse", step_size=0.2),
        "trades, beta 10, else as published: 20 steps, search reverse",
        "trades",
        34.0,
    ),
    "trades_forward_7": Version(
        Trades(perturbation=HALF, beta=TRADES_BETA, steps=7, step_size=0.3),
        "trades, beta 10, forward, 7 steps of 0.3",
        "trades",
    ),
    "trades_forward_10": Version(
        Trades(perturbation=HALF, beta=TRADES_BETA, steps=10, step_size=0.3),
        "trades, beta 10, forward, 10 steps of 0.3",
        "trades",
    ),
    "noise": Version(NoiseAugmentation(perturbation=BALL), "noise"),
    "fisher_score": Version(Fisher(unit="raw", beta=BETA), "fisher, score"),
    "fisher_score_function": Version(
        Fisher(unit="raw", beta=BETA, draws=2, draw_gradient="score_function"),
        "fisher, score, draw_gradient score_function, 2 draws",
    ),
    "fisher_reparametrized": Version(
        Fisher(unit="raw", beta=BETA, draw_gradient="reparametrized"),
        "fisher, score, reparametrized",
    ),
    "fisher_directional": Version(
        Fisher(unit="raw", beta=BETA, trace="directional"), "fisher, directional"
    ),
    "fisher_top_eigenvalue": Version(
        Fisher(unit="raw", beta=BETA, trace="top_eigenvalue", draws=4),
        "fisher, top_eigenvalue, 4 draws",
    ),
    "empirical": Version(Empirical(beta=BETA), "empirical"),
    "trades_forward_20": Version(
        Trades(perturbation=HALF, beta=TRADES_BETA, step_size=0.2),
        "trades, beta 10, forward, 20 steps",
    ),
    "trades_reverse_20": Version(
        Trades(perturbation=HALF, beta=TRADES_BETA, direction="reverse", step_size=0.2),
        "trades, beta 10, reverse, 20 steps",
    ),
    "robust_likelihood": Version(RobustLikelihood(perturbation=BOX), "robust_likelihood"),
}
TRAINED = tuple(name for name, version in VERSIONS.items() if version.of or name == "none")
"""Versions whose robustness is measured."""
