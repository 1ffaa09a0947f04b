"""Certificates of the density at true thetas, `log_density` and `coverage`, after all attacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from certibayes import registry
from certibayes.certificates.base import Certificate, CertificateResult
from certibayes.certificates.coverage_draws import at_true_thetas
from certibayes.certificates.density_results import CoverageResult, LogDensityResult
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.config.certificates import Coverage as CoverageSpec
from certibayes.config.certificates import LogDensity as LogDensitySpec
from certibayes.metrics.intervals.clopper_pearson import (
    clopper_pearson_lower,
    clopper_pearson_upper,
)
from certibayes.seeding import derive_seed
from certibayes.stages.attack_files import StoredAttack
from certibayes.stages.certificate_files import (
    StoredCertificate,
    comparison_draws,
    stored_certificates,
)
from certibayes.stages.certified_rows import rows_of, targets_of
from certibayes.stages.evaluate_subject import Subject
from certibayes.stages.findings import Findings, Value, perturbation_columns, quantiles
from certibayes.stages.observations import Observations, ball_of, load_observations
from certibayes.threat import Ball

Refute = Callable[[CertificateResult, Tensor, Ball], CertificateResult]


def add_density_certificates(
    findings: Findings, subject: Subject, attacks: list[StoredAttack]
) -> None:
    """Add every such certificate after every attack whose points lie in its ball."""
    job, layout = subject.job, subject.layout
    observations = load_observations(layout, job, job.evaluation.observations)
    for name, spec in job.certificates.items():
        if isinstance(spec, CoverageSpec):
            refute = _coverage(subject, spec, name, observations)
        elif isinstance(spec, LogDensitySpec):
            refute = _log_density(subject, spec, observations)
        else:
            continue
        for stored in stored_certificates(job, layout, name):
            ball = ball_of(layout, job, subject.task, spec.perturbation.at(stored.epsilon))
            result: CertificateResult = stored.result
            for attack in attacks:
                if attack.inside(spec.perturbation, stored.epsilon):
                    result = refute(result, rows_of(spec, attack.x, observations.tests), ball)
            if isinstance(result, CoverageResult):
                assert isinstance(spec, CoverageSpec)
                columns = _coverage_columns(spec, result)
            else:
                assert isinstance(spec, LogDensitySpec)
                assert isinstance(result, LogDensityResult)
                columns = _log_density_columns(findings, stored, spec, result, observations)
            _add(findings, subject, stored, result, columns)


def _log_density(subject: Subject, spec: LogDensitySpec, observations: Observations) -> Refute:
    certificate = _certificate(spec)
    x = rows_of(spec, observations.x, observations.tests)
    prepared = certificate.prepare(subject.model, x, targets_of(spec, observations), seed=0)
    return lambda result, attacked, ball: certificate.refute(prepared, result, attacked, ball)


def _coverage(
    subject: Subject, spec: CoverageSpec, name: str, observations: Observations
) -> Refute:
    job, certificate = subject.job, _certificate(spec)
    theta, log_prob = comparison_draws(job, subject.layout, name)
    x = rows_of(spec, observations.x, observations.tests)
    draws = PosteriorDraws(subject.model, x, theta, log_prob)
    seed = derive_seed(job.study_seed, job.task, job.seed, "evaluate", "coverage")
    prepared = at_true_thetas(draws, observations.target, seed)
    return lambda result, attacked, ball: certificate.refute(prepared, result, attacked, ball)


def _certificate(spec: CoverageSpec | LogDensitySpec) -> Certificate[Any, Any]:
    certificate: Certificate[Any, Any] = registry.load("certificate", spec.kind)(spec)
    return certificate


def _coverage_columns(spec: CoverageSpec, result: CoverageResult) -> dict[str, Value]:
    """Return the bound, and what it says of the population that the test pairs were drawn from.

    `coverage_certified` subtracts from the lower end the probability that a verdict is wrong.
    """
    n, alpha = len(result.upper), (1 - spec.population_confidence) / 2
    count = result.verdict.count("certified")
    low = clopper_pearson_lower(count, n, alpha)
    return {
        **quantiles("credibility", result.upper),
        "certified_share_low": low,
        "certified_share_high": clopper_pearson_upper(count, n, alpha),
        "coverage_certified": max(0.0, low - (1 - spec.confidence)),
        "level": spec.level,
        "simultaneous": spec.statements(n),
        "draws": spec.draws,
        "interval": spec.interval,
    }


def _log_density_columns(
    findings: Findings,
    stored: StoredCertificate,
    spec: LogDensitySpec,
    result: LogDensityResult,
    observations: Observations,
) -> dict[str, Value]:
    """Return the bound of the test pairs; those of the real observations go to posterior.npz."""
    tests = observations.tests
    real = len(observations.x) - tests
    if real and spec.thetas:
        found = {
            "log_density_least": result.least,
            "log_density_most": result.most,
            "log_density_drop": result.upper,
        }
        for label, values in found.items():
            key = f"{stored.key}/{label}"
            findings.posterior[key] = values[tests:].view(real, len(spec.thetas)).numpy()
        findings.posterior[f"certify/{stored.name}/thetas"] = np.array(spec.thetas)
    findings.add_items(
        stored.key,
        {"log_density_least": result.least[:tests], "log_density_most": result.most[:tests]},
    )
    return {
        **quantiles("log_density_drop", result.upper[:tests]),
        "drop": spec.drop,
        "interval": "deterministic",
    }


def _add(
    findings: Findings,
    subject: Subject,
    stored: StoredCertificate,
    result: CertificateResult,
    columns: dict[str, Value],
) -> None:
    tests = slice(subject.tests)
    certified, refuted = result.certified[tests], result.refuted[tests]
    unknown = ~(certified | refuted)
    findings.add_items(
        stored.key,
        {
            "upper": result.upper[tests],
            "reached": result.lower[tests],
            "certified": certified,
            "refuted": refuted,
            "unknown": unknown,
        },
    )
    findings.add_row(
        subject.job,
        "certify",
        stored.name,
        stored.spec.kind,
        **perturbation_columns(stored.spec.perturbation, stored.epsilon),
        observations=subject.tests,
        certified_share=float(certified.double().mean()),
        refuted_share=float(refuted.double().mean()),
        unknown_share=float(unknown.double().mean()),
        confidence=result.confidence,
        seconds=result.seconds,
        **columns,
    )
