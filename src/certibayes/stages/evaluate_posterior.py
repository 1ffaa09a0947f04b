"""Evaluation of an amortized posterior: fit, coverage, divergences under attack, certificates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certibayes.config.jobs import EvaluateJob
from certibayes.estimators.base import Estimator, Posterior
from certibayes.layout import Layout
from certibayes.metrics.c2st import c2st
from certibayes.metrics.coverage import Coverage, expected_coverage
from certibayes.metrics.kl import monte_carlo_kl
from certibayes.metrics.nll import negative_log_likelihood
from certibayes.metrics.total_variation import total_variation_estimate
from certibayes.seeding import derive_seed, generator
from certibayes.stages.attack_files import StoredAttack, stored_attacks
from certibayes.stages.data import load_reference
from certibayes.stages.evaluate_observed import add_observed
from certibayes.stages.evaluate_reference import reference_columns
from certibayes.stages.evaluate_shift import add_certificates, exact_shift
from certibayes.stages.findings import (
    Findings,
    attack_columns,
    quantiles,
)
from certibayes.stages.observations import load_observations
from certibayes.tasks.base import Task, ThetaTask

LEVELS = torch.linspace(0, 1, 101, dtype=torch.float64)
LEVEL_90 = 90
PAIRS_PER_BLOCK = 5_000


@torch.no_grad()
def evaluate_posterior(job: EvaluateJob, layout: Layout, task: Task, model: nn.Module) -> Findings:
    """Return likelihood, coverage, distance to the exact posterior, divergences and verdicts.

    Divergences are reported on fresh draws, never on those that selected an attack's point.
    """
    assert isinstance(model, Estimator)
    assert isinstance(task, ThetaTask)
    findings = Findings()
    clean = _Clean(job, layout, model)
    _add_clean(findings, job, layout, task, model, clean)
    attacks = list(stored_attacks(job, layout))
    for attack in attacks:
        _add_attack(findings, job, layout, task, model, clean, attack)
    add_certificates(findings, job, layout, task, model, attacks)
    add_observed(findings, job, layout, task, model, attacks)
    return findings


class _Clean:
    """The posterior at the clean test observations with its reporting draws."""

    def __init__(self, job: EvaluateJob, layout: Layout, model: Estimator) -> None:
        observations = load_observations(layout, job, job.evaluation.observations)
        self.tests = observations.tests
        self.x = observations.x[: self.tests]
        self.target = observations.target
        self.posterior: Posterior = model(self.x)
        self.theta = self.posterior.draw(job.evaluation.report_draws, _source(job, "clean"))
        self.log_prob = self.posterior.log_prob(self.theta)


def _source(job: EvaluateJob, *purpose: object) -> torch.Generator:
    return generator(job.study_seed, job.task, job.seed, "evaluate", *purpose)


def _add_clean(
    findings: Findings,
    job: EvaluateJob,
    layout: Layout,
    task: ThetaTask,
    model: Estimator,
    clean: _Clean,
) -> None:
    reference = load_reference(layout, job)
    blocks = zip(
        reference.target.split(PAIRS_PER_BLOCK), reference.x.split(PAIRS_PER_BLOCK), strict=True
    )
    log_prob = torch.cat([model(x).log_prob(theta) for theta, x in blocks])
    exact = task.exact_posterior(reference.x)
    coverage = _coverage(job, clean.posterior, clean.target, clean.log_prob)
    _add_coverage(findings, "clean", 0.0, coverage)
    findings.add_row(
        job,
        "evaluate",
        "clean",
        "clean",
        observations=clean.tests,
        nll=float(negative_log_likelihood(log_prob).mean),
        nll_pairs=len(log_prob),
        nll_exact=None if exact is None else -float(exact.log_prob(reference.target).mean()),
        coverage_area=coverage.area,
        coverage_90=float(coverage.coverage[LEVEL_90]),
        c2st=_c2st(job, task, clean),
        **reference_columns(findings, job, model),
    )


def _coverage(
    job: EvaluateJob, posterior: Posterior, target: Tensor, log_prob_of_draws: Tensor
) -> Coverage:
    draws = log_prob_of_draws[: job.evaluation.coverage_draws]
    return expected_coverage(posterior.log_prob(target), draws, LEVELS)


def _add_coverage(findings: Findings, method: str, epsilon: float, coverage: Coverage) -> None:
    findings.coverage += [
        (method, epsilon, level, value)
        for level, value in zip(LEVELS.tolist(), coverage.coverage.tolist(), strict=True)
    ]


def _c2st(job: EvaluateJob, task: ThetaTask, clean: _Clean) -> float | None:
    """Return the mean over observations of the accuracy against exact posterior draws."""
    exact = task.exact_posterior(clean.x)
    if exact is None:
        return None
    draws = min(job.evaluation.c2st_draws, len(clean.theta))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(job.study_seed, job.task, job.seed, "exact draws"))
        reference = exact.sample((draws,))
    scores = [
        c2st(reference[:, i], clean.theta[:draws, i], seed=derive_seed(job.study_seed, i) % 2**32)
        for i in range(min(job.evaluation.c2st_observations, clean.tests))
    ]
    return sum(scores) / len(scores)


def _add_attack(
    findings: Findings,
    job: EvaluateJob,
    layout: Layout,
    task: ThetaTask,
    model: Estimator,
    clean: _Clean,
    attack: StoredAttack,
) -> None:
    attacked: Posterior = model(attack.x[: clean.tests])
    theta = attacked.draw(
        job.evaluation.report_draws, _source(job, "attacked", attack.name, attack.epsilon)
    )
    attacked_log_prob = attacked.log_prob(theta)
    common = attacked.log_prob(clean.theta)
    forward = monte_carlo_kl(clean.log_prob, common)
    reverse = monte_carlo_kl(attacked_log_prob, clean.posterior.log_prob(theta))
    variation = total_variation_estimate(clean.log_prob, common)
    at_truth = attacked.log_prob(clean.target)
    coverage = _coverage(job, attacked, clean.target, attacked_log_prob)
    _add_coverage(findings, attack.name, attack.epsilon, coverage)
    findings.add_items(
        attack.key,
        {
            "selected": attack.selected[: clean.tests],
            "nll": -at_truth,
            "total_variation": variation.mean,
            "forward_kl": forward.mean,
            "forward_kl_se": forward.standard_error,
            "reverse_kl": reverse.mean,
            "reverse_kl_se": reverse.standard_error,
        },
    )
    findings.add_row(
        job,
        "attack",
        attack.name,
        attack.spec.kind,
        **attack_columns(attack.spec, attack.epsilon),
        observations=clean.tests,
        nll=float(negative_log_likelihood(at_truth).mean),
        nll_pairs=clean.tests,
        nll_clean=float(negative_log_likelihood(clean.posterior.log_prob(clean.target)).mean),
        coverage_area=coverage.area,
        coverage_90=float(coverage.coverage[LEVEL_90]),
        **quantiles("forward_kl", forward.mean),
        **quantiles("reverse_kl", reverse.mean),
        **quantiles("total_variation", variation.mean),
        exact_total_variation=exact_shift(
            job, layout, task, attack.spec.perturbation.at(attack.epsilon)
        ),
        draws=job.evaluation.report_draws,
    )
