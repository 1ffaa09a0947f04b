"""Certificates of posterior shift, confronted with attacks on the certificate's own draws."""

from __future__ import annotations

import numpy as np
import torch

from certibayes.attacks.masks import masked
from certibayes.certificates.posterior_shift import PosteriorShift, PosteriorShiftResult
from certibayes.config.certificates import Certificate as CertificateSpec
from certibayes.config.certificates import PosteriorShift as PosteriorShiftSpec
from certibayes.config.jobs import EvaluateJob
from certibayes.config.threat import PerturbationAt
from certibayes.estimators.base import Estimator
from certibayes.layout import Layout
from certibayes.metrics.kl import monte_carlo_kl
from certibayes.metrics.total_variation import total_variation_estimate
from certibayes.stages.attack_files import StoredAttack
from certibayes.stages.certificate_files import (
    StoredCertificate,
    comparison_draws,
    stored_certificates,
)
from certibayes.stages.evaluate_gap import gap_columns, gaps
from certibayes.stages.findings import Findings, Value, perturbation_columns, quantiles
from certibayes.stages.observations import ball_of
from certibayes.tasks.base import ThetaTask


def exact_columns_of_shift(
    job: EvaluateJob,
    layout: Layout,
    task: ThetaTask,
    at: PerturbationAt,
    mask: tuple[int, ...] | None = None,
) -> dict[str, Value]:
    """Return the exact posterior's own worst shift over the ball, where it is known."""
    ball = masked(ball_of(layout, job, task, at), mask, "mask")
    shift = None if ball.clip is not None else task.worst_case_shift(ball)
    if shift is None:
        return {}
    return {"exact_total_variation": shift[0], "exact_forward_kl": shift[1]}


def add_certificates(
    findings: Findings,
    job: EvaluateJob,
    layout: Layout,
    task: ThetaTask,
    model: Estimator,
    attacks: list[StoredAttack],
) -> None:
    """Add every certified shift of the model after every attack whose points lie in its ball."""
    for name, stated in job.certificates.items():
        if not isinstance(stated, PosteriorShiftSpec):
            continue
        theta, log_prob = comparison_draws(job, layout, name)
        attacked = {
            attack.key: model(attack.x).log_prob(theta)
            for attack in attacks
            if _same_ball(attack, stated)
        }
        for attack in attacks:
            if attack.key in attacked:
                _add_common(findings, attack, log_prob, attacked[attack.key])
        for stored in stored_certificates(job, layout, name):
            spec, result = stored.spec, stored.result
            assert isinstance(spec, PosteriorShiftSpec)
            assert isinstance(result, PosteriorShiftResult)
            certificate = PosteriorShift(spec)
            divergence: torch.Tensor | None = None
            for attack in attacks:
                if attack.inside(spec.perturbation, stored.epsilon):
                    reached = attacked[attack.key]
                    result = certificate.refute_on_draws(result, log_prob, reached)
                    mean = monte_carlo_kl(log_prob, reached).mean
                    divergence = mean if divergence is None else torch.maximum(divergence, mean)
            exact = exact_columns_of_shift(job, layout, task, spec.perturbation.at(stored.epsilon))
            found = gaps(result, divergence)
            _add_certificate(findings, job, stored, spec, result, found, exact)


def _same_ball(attack: StoredAttack, spec: CertificateSpec) -> bool:
    return attack.inside(spec.perturbation, float("inf"))


def _add_common(
    findings: Findings, attack: StoredAttack, log_prob: torch.Tensor, reached: torch.Tensor
) -> None:
    """Add the attack's values on the certificate's comparison draws; test observations only."""
    tests = len(findings.items[f"{attack.key}/selected"])
    findings.add_items(
        attack.key,
        {
            "common_total_variation": total_variation_estimate(log_prob, reached).mean[:tests],
            "common_forward_kl": monte_carlo_kl(log_prob, reached).mean[:tests],
        },
    )


def _add_certificate(
    findings: Findings,
    job: EvaluateJob,
    stored: StoredCertificate,
    spec: PosteriorShiftSpec,
    result: PosteriorShiftResult,
    found: dict[str, torch.Tensor],
    exact: dict[str, Value],
) -> None:
    tests = slice(job.evaluation.observations)
    certified, refuted = result.certified[tests], result.refuted[tests]
    unknown = ~(certified | refuted)
    upper = result.upper[tests]
    findings.add_items(
        stored.key,
        {
            "upper": upper,
            "certified": certified,
            "refuted": refuted,
            "unknown": unknown,
            **_bounds_on_common_draws(result, tests),
            **{label: end[tests] for label, end in stored.answers.items()},
            **({} if stored.radius is None else {"radius": stored.radius[tests]}),
            **{name: values[tests] for name, values in found.items()},
        },
    )
    if len(result.upper) > len(upper):
        real = len(upper)
        findings.posterior[f"{stored.key}/upper"] = result.upper[real:].numpy()
        findings.posterior[f"{stored.key}/verdict"] = np.array(
            [str(verdict) for verdict in result.verdict[real:]]
        )
        for label, end in (stored.answers | found).items():
            findings.posterior[f"{stored.key}/{label}"] = end[real:].numpy()
        if stored.radius is not None:
            findings.posterior[f"{stored.key}/radius"] = stored.radius[real:].numpy()
    kl_bound = result.kl_bound
    findings.add_row(
        job,
        "certify",
        stored.name,
        spec.kind,
        **perturbation_columns(spec.perturbation, stored.epsilon),
        observations=len(upper),
        **quantiles("total_variation", upper),
        **exact,
        **gap_columns(found, tests),
        kl_estimate_median=_median(result.kl_estimate.mean[tests]),
        kl_certified_median=None if kl_bound is None else _median(kl_bound[tests]),
        certified_share=float(certified.double().mean()),
        refuted_share=float(refuted.double().mean()),
        unknown_share=float(unknown.double().mean()),
        tau=spec.tau,
        bounds=spec.bounds,
        route=spec.route,
        pilot_draws=spec.stated_pilot_draws,
        radius_median=None if stored.radius is None else _median(stored.radius[tests]),
        simultaneous=spec.statements(len(result.upper)) if spec.stated_draws else None,
        confidence=result.confidence,
        draws=spec.stated_draws,
        interval=spec.stated_interval,
        seconds=result.seconds,
    )


def _bounds_on_common_draws(result: PosteriorShiftResult, tests: slice) -> dict[str, torch.Tensor]:
    """Return what no attack exceeds on common draws; a closed form says nothing of single draws."""
    if result.deterministic:
        return {}
    return {
        "common_total_variation": result.comparison[tests],
        "common_forward_kl": result.comparison_kl[tests],
    }


def _median(values: torch.Tensor) -> float:
    return float(np.median(values.numpy()))
