"""Which model of a task is its best: the rule behind the alias `best` of the model registry."""

from __future__ import annotations

from typing import Literal

from certibayes.config.base import OpenFraction, Spec

BEST = "best"
"""Alias of the best model of a task."""


class Selection(Spec):
    """A model stays in the running if it keeps a share of the best fit; robustness decides then.

    Models of one task are compared, over all budgets, models, defenses and seeds of the study.

    Attributes:
        likelihood_share: of posteriors. exp(-(NLL - least NLL) / theta_dim) must be at least this:
            per parameter, the density at the true theta of clean observations, geometric mean, in
            units of the best model's. It does not depend on the units of theta.
        accuracy_share: of classifiers: clean accuracy, in units of the best model's.
        by: what decides among those that stay: "certificate" (least certified median total
            variation, or highest certified accuracy), "attack" (the same under the worst attack) or
            "fit". Where a study has no certificate that speaks of it, the next one decides.
    """

    likelihood_share: OpenFraction = 0.5
    accuracy_share: OpenFraction = 0.95
    by: Literal["certificate", "attack", "fit"] = "certificate"
