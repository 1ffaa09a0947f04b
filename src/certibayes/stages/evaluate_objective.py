"""An attack's own objective on fresh draws, clean and attacked."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes import registry
from certibayes.attacks.base import Objective, Target
from certibayes.metrics.standard_error import Estimate
from certibayes.seeding import generator
from certibayes.stages.attack_files import StoredAttack
from certibayes.stages.data import load_reference
from certibayes.stages.evaluate_subject import Drawn, Subject, source
from certibayes.stages.findings import Findings, Value, quantiles
from certibayes.stages.observations import Observations, load_observations

LEAST_DRAWS, MOST_DRAWS = 256, 512
BLOCK = 50


def objective_columns(
    findings: Findings,
    subject: Subject,
    attack: StoredAttack,
    drawn: Drawn,
    divergences: dict[str, Estimate],
) -> dict[str, Value]:
    """Return the objective at attacked and at clean x on draws that selected nothing.

    Args:
        findings: where the items go.
        subject: the model.
        attack: the attack, with what it maximizes.
        drawn: the posteriors at its points.
        divergences: objectives that were measured on fresh draws already, 0 at clean x.
    """
    known = divergences.get(attack.spec.objective)
    if known is not None:
        attacked, clean = known.mean, torch.zeros_like(known.mean)
    else:
        attacked, clean = _measured(subject, attack)
    findings.add_items(drawn.key, {"objective": attacked, "objective_clean": clean})
    return quantiles("objective", attacked) | {
        "objective_clean_median": quantiles("objective_clean", clean)["objective_clean_median"]
    }


def _measured(subject: Subject, attack: StoredAttack) -> tuple[Tensor, Tensor]:
    """Return the objective at x' and at x, each of shape (n,).

    Unless targets are posteriors, observations are looked at in blocks, since some objectives need
    memory quadratic in the draws.
    """
    job = subject.job
    observations = load_observations(subject.layout, job, subject.tests)
    objective: Objective = registry.load("objective", attack.spec.objective)()
    target = _target(subject, objective, observations)
    block = len(observations.x) if isinstance(target, Distribution) else BLOCK
    draws = max(LEAST_DRAWS, min(job.evaluation.report_draws, MOST_DRAWS))
    purpose = ("objective", attack.name, attack.epsilon)
    attacked, clean = [], []
    for first in range(0, len(observations.x), block):
        rows = slice(first, first + block)
        own = target[rows] if isinstance(target, Tensor) else target
        posterior = subject.model(observations.x[rows])
        value = objective.prepare(posterior, own, draws, source(job, *purpose, first))
        attacked.append(value(subject.model(attack.x[rows])))
        clean.append(value(posterior))
    tests = slice(subject.tests)
    return torch.cat(attacked)[tests], torch.cat(clean)[tests]


def _target(subject: Subject, objective: Objective, observations: Observations) -> Target:
    """Return what the attack aimed at: chosen in its float32, stated in float64.

    A target posterior is that of the float64 model at the same observation.
    """
    prior = load_reference(subject.layout, subject.job).target
    truth, x = observations.truth, observations.x
    single = copy.deepcopy(subject.model).float()
    target = objective.aim(single, x.float(), truth.float(), prior.float(), _chance(subject))
    if isinstance(target, Tensor):
        return target.double()
    return objective.aim(subject.model, x, truth, prior, _chance(subject))


def _chance(subject: Subject) -> torch.Generator:
    """Return the generator that chose the targets of every attack."""
    return generator(subject.job.study_seed, subject.job.task, "target")
