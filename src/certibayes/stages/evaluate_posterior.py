"""Evaluation of an amortized posterior: fit, calibration, divergences under attack, verdicts."""

from __future__ import annotations

import torch
from torch import nn

from certibayes.config.jobs import EvaluateJob
from certibayes.estimators.base import Estimator
from certibayes.layout import Layout
from certibayes.metrics.information import nats_over_prior, prior_log_prob
from certibayes.metrics.kl import monte_carlo_kl
from certibayes.metrics.mmd import squared_mmd
from certibayes.metrics.nll import negative_log_likelihood
from certibayes.metrics.standard_error import Estimate
from certibayes.metrics.total_variation import total_variation_estimate
from certibayes.stages.attack_files import StoredAttack, stored_attacks
from certibayes.stages.data import load_reference
from certibayes.stages.evaluate_calibration import add_calibration
from certibayes.stages.evaluate_density import add_density_certificates
from certibayes.stages.evaluate_exact import exact_columns
from certibayes.stages.evaluate_objective import objective_columns
from certibayes.stages.evaluate_observed import add_observed
from certibayes.stages.evaluate_parameters import add_parameters
from certibayes.stages.evaluate_predictive import PredictiveCheck
from certibayes.stages.evaluate_reference import reference_columns
from certibayes.stages.evaluate_shift import add_certificates, exact_columns_of_shift
from certibayes.stages.evaluate_subject import Drawn, Subject, load_subject
from certibayes.stages.findings import (
    Findings,
    Value,
    attack_columns,
    means,
    quantiles,
)
from certibayes.tasks.base import PosteriorTask, Task, ThetaTask

PAIRS_PER_BLOCK = 5_000


@torch.no_grad()
def evaluate_posterior(job: EvaluateJob, layout: Layout, task: Task, model: nn.Module) -> Findings:
    """Return likelihood, calibration, distances to other posteriors and to data, and verdicts.

    All is reported on fresh draws, never on those that selected an attack's point.
    """
    assert isinstance(model, Estimator)
    assert isinstance(task, ThetaTask)
    findings = Findings()
    subject = load_subject(job, layout, task, model)
    predictive = PredictiveCheck(subject)
    common = _common_columns(findings, subject, predictive, subject.clean)
    findings.add_row(
        job,
        "evaluate",
        "clean",
        "clean",
        **common,
        **_fit_columns(subject),
        **reference_columns(findings, job, model),
    )
    attacks = list(stored_attacks(job, layout))
    for attack in attacks:
        _add_attack(findings, subject, predictive, attack)
    add_certificates(findings, job, layout, task, model, attacks)
    add_density_certificates(findings, subject, attacks)
    add_observed(findings, job, layout, task, model, attacks)
    return findings


def _common_columns(
    findings: Findings, subject: Subject, predictive: PredictiveCheck, drawn: Drawn
) -> dict[str, Value]:
    """Return what is measured on clean and on attacked posteriors alike."""
    calibration, uniformity = add_calibration(findings, subject, drawn)
    add_parameters(findings, subject, drawn, uniformity)
    return {
        "observations": subject.tests,
        **calibration,
        **exact_columns(findings, subject, drawn),
        **predictive.columns(findings, drawn),
    }


def _fit_columns(subject: Subject) -> dict[str, Value]:
    """Return the likelihood of all test pairs, the nats over the prior, the exact posterior's."""
    reference = load_reference(subject.layout, subject.job)
    blocks = zip(
        reference.target.split(PAIRS_PER_BLOCK), reference.x.split(PAIRS_PER_BLOCK), strict=True
    )
    log_prob = torch.cat([subject.model(x).log_prob(theta) for theta, x in blocks])
    task = subject.task
    exact = task.exact_posterior(reference.x)
    log_prior = None
    if isinstance(task, PosteriorTask):
        log_prior = prior_log_prob(task.prior, reference.target)
    return {
        "nats": None if log_prior is None else nats_over_prior(log_prob, log_prior),
        "nll": float(negative_log_likelihood(log_prob).mean),
        "nll_pairs": len(log_prob),
        "nll_exact": None if exact is None else -float(exact.log_prob(reference.target).mean()),
    }


def _add_attack(
    findings: Findings, subject: Subject, predictive: PredictiveCheck, attack: StoredAttack
) -> None:
    job, clean = subject.job, subject.clean
    drawn = subject.attacked(attack)
    common = drawn.log_density_at(clean)
    divergences = {
        "forward_kl": monte_carlo_kl(clean.free_log_prob, common),
        "reverse_kl": monte_carlo_kl(drawn.free_log_prob, clean.log_density_at(drawn)),
    }
    variation = total_variation_estimate(clean.free_log_prob, common)
    few = job.evaluation.mmd_draws
    discrepancy = squared_mmd(clean.theta[:few], drawn.theta[:few])
    at_truth = drawn.posterior.log_prob(subject.target)
    findings.add_items(
        attack.key,
        {
            "selected": attack.selected[: subject.tests],
            "nll": -at_truth,
            "total_variation": variation.mean,
            **_with_errors("mmd", discrepancy),
            **_with_errors("forward_kl", divergences["forward_kl"]),
            **_with_errors("reverse_kl", divergences["reverse_kl"]),
        },
    )
    findings.add_row(
        job,
        "attack",
        attack.name,
        attack.spec.kind,
        **attack_columns(attack.spec, attack.epsilon),
        **_common_columns(findings, subject, predictive, drawn),
        **objective_columns(findings, subject, attack, drawn, divergences),
        nll=float(negative_log_likelihood(at_truth).mean),
        nll_pairs=subject.tests,
        nll_clean=float(negative_log_likelihood(clean.posterior.log_prob(subject.target)).mean),
        **quantiles("forward_kl", divergences["forward_kl"].mean),
        **quantiles("reverse_kl", divergences["reverse_kl"].mean),
        **quantiles("total_variation", variation.mean),
        **quantiles("mmd", discrepancy.mean),
        **means("forward_kl", divergences["forward_kl"]),
        **means("reverse_kl", divergences["reverse_kl"]),
        mmd_se=float(discrepancy.standard_error.median()),
        **exact_columns_of_shift(
            job,
            subject.layout,
            subject.task,
            attack.spec.perturbation.at(attack.epsilon),
            attack.spec.mask,
        ),
        draws=job.evaluation.report_draws,
    )


def _with_errors(name: str, found: Estimate) -> dict[str, torch.Tensor]:
    return {name: found.mean, f"{name}_se": found.standard_error}
