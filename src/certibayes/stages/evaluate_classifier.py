"""Evaluation of a classifier: accuracy clean, attacked and certified, and calibration."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.certificates.base import CertificateResult
from certibayes.config.certificates import Decision, PosteriorDecision, ProbabilisticSafety
from certibayes.config.jobs import EvaluateJob
from certibayes.layout import Layout
from certibayes.metrics.accuracy import correct
from certibayes.metrics.nll import negative_log_likelihood
from certibayes.stages.attack_files import StoredAttack, stored_attacks
from certibayes.stages.certificate_files import StoredCertificate, stored_certificates
from certibayes.stages.certified_rows import model_of, seed_of
from certibayes.stages.classifier_quality import quality_columns, share_columns
from certibayes.stages.evaluate_outside import outside_columns, outside_probabilities
from certibayes.stages.evaluate_outside_attack import attacked_outside_columns
from certibayes.stages.evaluate_weights import (
    log_probabilities,
    sample_probabilities,
    weight_columns,
)
from certibayes.stages.findings import Findings, Value, attack_columns, perturbation_columns
from certibayes.stages.observations import Observations, ball_of, load_observations
from certibayes.tasks.base import Task


def evaluate_classifier(job: EvaluateJob, layout: Layout, task: Task, model: nn.Module) -> Findings:
    """Return accuracy, calibration error and likelihood, clean and attacked, and the verdicts.

    An observation counts as correct under attack if neither x itself nor the attack's point is
    misclassified: both lie in the ball.
    """
    assert isinstance(model, Predictive)
    observations = load_observations(layout, job, job.evaluation.observations)
    findings = Findings(posterior={"names": torch.zeros(0).numpy()})
    clean = log_probabilities(model, observations.x)
    right = correct(clean, observations.target)
    quality = quality_columns(job, clean, observations.target, right)
    outside = outside_probabilities(job, model, observations.x)
    each = sample_probabilities(model, observations.x)
    spread, items = weight_columns(job, model, each, observations.x, observations.target)
    findings.add_items("clean", {"correct": right, **items})
    findings.add_row(
        job,
        "evaluate",
        "clean",
        "clean",
        observations=observations.tests,
        **quality,
        **spread,
        **outside_columns(each, outside),
    )
    attacks = list(stored_attacks(job, layout))
    for attack in attacks:
        detection: dict[str, Value] = {}
        if outside is not None:
            detection |= outside_columns(sample_probabilities(model, attack.x), outside)
        detection |= attacked_outside_columns(job, layout, task, model, attack, observations.x)
        _add_attack(findings, job, model, observations, attack, clean, detection)
    for name in job.certificates:
        for certificate, result in _confronted(job, layout, task, observations, name, attacks):
            _add_certificate(findings, job, certificate, result)
    return findings


def _add_attack(
    findings: Findings,
    job: EvaluateJob,
    model: Predictive,
    observations: Observations,
    attack: StoredAttack,
    clean: Tensor,
    detection: dict[str, Value],
) -> None:
    attacked = log_probabilities(model, attack.x)
    labels, clean = observations.target[: len(attack.x)], clean[: len(attack.x)]
    right = correct(attacked, labels) & correct(clean, labels)
    log_prob = clean.gather(1, labels.unsqueeze(1)).squeeze(1)
    findings.add_items(attack.key, {"selected": attack.selected, "correct": right})
    findings.add_row(
        job,
        "attack",
        attack.name,
        attack.spec.kind,
        **attack_columns(attack.spec, attack.epsilon),
        observations=len(labels),
        nll_clean=float(negative_log_likelihood(log_prob).mean),
        **quality_columns(job, attacked, labels, right),
        **detection,
    )


def _confronted(
    job: EvaluateJob,
    layout: Layout,
    task: Task,
    observations: Observations,
    name: str,
    attacks: list[StoredAttack],
) -> Iterator[tuple[StoredCertificate, CertificateResult]]:
    """Yield a certificate at every epsilon, with its result after every attack in its ball.

    Observations that an attack leaves out stand for themselves: they lie in every ball. So do all
    where no attack lies in it.
    """
    spec = job.certificates[name]
    rule = registry.load("certificate", spec.kind)(spec)
    model = model_of(spec, job, layout, task)
    prepared = rule.prepare(model, observations.x, observations.target, seed_of(job))
    for certificate in stored_certificates(job, layout, name):
        ball = ball_of(layout, job, task, spec.perturbation.at(certificate.epsilon))
        result: CertificateResult = certificate.result
        inside = [a.x for a in attacks if a.inside(spec.perturbation, certificate.epsilon)]
        for x in inside or [observations.x]:
            attacked = torch.cat([x, observations.x[len(x) :]])
            result = rule.refute(prepared, result, attacked, ball)
        yield certificate, result


def _add_certificate(
    findings: Findings, job: EvaluateJob, certificate: StoredCertificate, result: CertificateResult
) -> None:
    unknown = ~(result.certified | result.refuted)
    findings.add_items(
        certificate.key,
        {
            "upper": result.upper,
            "certified": result.certified,
            "refuted": result.refuted,
            "unknown": unknown,
            **({} if certificate.radius is None else {"radius": certificate.radius}),
        },
    )
    certified = float(result.certified.double().mean())
    spec = certificate.spec
    drawn = spec if isinstance(spec, PosteriorDecision) else None
    findings.add_row(
        job,
        "certify",
        certificate.name,
        certificate.spec.kind,
        **perturbation_columns(certificate.spec.perturbation, certificate.epsilon),
        observations=len(result.upper),
        accuracy=certified,
        **share_columns("accuracy", result.certified),
        certified_share=certified,
        refuted_share=float(result.refuted.double().mean()),
        unknown_share=float(unknown.double().mean()),
        radius_median=None if certificate.radius is None else float(certificate.radius.median()),
        confidence=result.confidence,
        simultaneous=None if drawn is None else drawn.statements(len(result.upper)),
        draws=None if drawn is None else drawn.draws,
        interval="deterministic" if drawn is None else drawn.interval,
        tau=spec.tau if isinstance(spec, ProbabilisticSafety) else None,
        bounds=spec.bounds if isinstance(spec, Decision | PosteriorDecision) else None,
        seconds=result.seconds,
    )
