"""The posteriors that an evaluation looks at, with the draws that report on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from certibayes.config.jobs import EvaluateJob
from certibayes.estimators.base import Estimator, Posterior
from certibayes.estimators.unconstrained import unconstrained
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.attack_files import StoredAttack
from certibayes.stages.observations import load_observations
from certibayes.tasks.base import ThetaTask

CLEAN = "clean"


@dataclass(frozen=True)
class Drawn:
    """The posteriors at one version of the test observations.

    Attributes:
        key: prefix of its per-observation items: "clean" or that of the attack.
        method: "clean" or the attack's name.
        epsilon: 0 = clean.
        x: clean or attacked test observations, shape (n, x_dim).
        posterior: q(. | x), batch shape (n,).
        free: the posterior of u, theta before the bijection, where divergences are taken.
        u: fresh draws from it, shape (draws, n, theta_dim).
    """

    key: str
    method: str
    epsilon: float
    x: Tensor
    posterior: Posterior
    free: Posterior
    u: Tensor

    @cached_property
    def theta(self) -> Tensor:
        """The draws as theta, shape (draws, n, theta_dim)."""
        theta: Tensor = self.posterior.theta_map.bijection(self.u)(self.u)
        return theta

    @cached_property
    def log_prob(self) -> Tensor:
        """Their log q(theta | x), shape (draws, n)."""
        return self.posterior.log_prob(self.theta)

    @cached_property
    def free_log_prob(self) -> Tensor:
        """Their log density as u, shape (draws, n)."""
        return self.free.log_prob(self.u)

    def log_density_at(self, other: Drawn) -> Tensor:
        """Return the log density here of another's draws, as u, shape (draws, n)."""
        return self.free.log_prob(other.u)


@dataclass(frozen=True)
class Subject:
    """One model on the clean test observations.

    Attributes:
        target: true thetas, shape (n, theta_dim).
        clean: the posteriors at the clean observations.
    """

    job: EvaluateJob
    layout: Layout
    task: ThetaTask
    model: Estimator
    target: Tensor
    clean: Drawn

    @property
    def tests(self) -> int:
        """Number n of test observations."""
        return len(self.target)

    def attacked(self, attack: StoredAttack) -> Drawn:
        """Return the posteriors at the attacked test observations."""
        x = attack.x[: self.tests]
        posterior: Posterior = self.model(x)
        free = unconstrained(posterior)
        draws = source(self.job, "attacked", attack.name, attack.epsilon)
        u = free.draw(self.job.evaluation.report_draws, draws)
        return Drawn(attack.key, attack.name, attack.epsilon, x, posterior, free, u)


def load_subject(job: EvaluateJob, layout: Layout, task: ThetaTask, model: Estimator) -> Subject:
    """Return the model with its posteriors at the clean test observations."""
    observations = load_observations(layout, job, job.evaluation.observations)
    x = observations.x[: observations.tests]
    posterior: Posterior = model(x)
    free = unconstrained(posterior)
    u = free.draw(job.evaluation.report_draws, source(job, "clean"))
    clean = Drawn(CLEAN, CLEAN, 0.0, x, posterior, free, u)
    return Subject(job, layout, task, model, observations.target, clean)


def source(job: EvaluateJob, *purpose: object) -> torch.Generator:
    """Return the generator of one purpose of the evaluation."""
    return generator(job.study_seed, job.task, job.seed, "evaluate", *purpose)
