"""Stage `certify`: one model and one certificate, all epsilons and observations, in float64."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from certibayes import registry
from certibayes.attempt import Attempt, attempt
from certibayes.certificates.answers import answers
from certibayes.certificates.base import Certificate
from certibayes.certificates.coverage_draws import CoverageDraws
from certibayes.certificates.monotone import require_monotone
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.radius import (
    certified_at_any_larger,
    certified_radius,
    least_over_larger,
)
from certibayes.config.certificates import Coverage, Decision, PosteriorDecision, PosteriorShift
from certibayes.config.jobs import CertifyJob
from certibayes.io import load_arrays, save_arrays
from certibayes.layout import Layout
from certibayes.stages.building import build_task
from certibayes.stages.certificate_files import (
    ANSWER,
    COMPARISON_LOG_PROB,
    COMPARISON_THETA,
    to_arrays,
)
from certibayes.stages.certified_rows import model_of, rows_of, seed_of, targets_of
from certibayes.stages.observations import ball_of, load_observations
from certibayes.tasks.base import ThetaTask

log = logging.getLogger(__name__)


def run(job: CertifyJob, layout: Layout, code: str) -> None:
    """Write certificate.npz: epsilons (e,), every field of the results (e, n), comparison draws.

    Where the radius is asked for, bounds and verdicts are those of the best larger radius.
    Finished epsilons are kept in the state folder, so adding one computes one.
    """
    folder = layout.certify(job, job.certificate)
    inputs = [layout.weights(job) / "weights.safetensors", layout.reference(job) / "test.npz"]
    with attempt(
        "certify",
        job,
        code,
        layout,
        inputs=inputs,
        outputs=folder,
        state_key=_without_epsilons(job),
    ) as run:
        epsilons = job.certificate_spec.perturbation.epsilons
        certificate = registry.load("certificate", job.certificate_spec.kind)(job.certificate_spec)
        prepared = cache(lambda: _prepare(job, layout, certificate))
        found = [
            _finished(job, layout, run, certificate, prepared, epsilon) for epsilon in epsilons
        ]
        arrays = {name: np.stack([result[name] for result in found]) for name in found[0]}
        if job.certificate_spec.bounds_grow:
            _require_monotone(arrays)
        if _states_radius(job):
            arrays |= _radius(arrays, epsilons)
        arrays |= _answers(job, arrays, prepared)
        comparison = _comparison(job, run, prepared)
        save_arrays(
            folder / "certificate.npz", {"epsilons": np.array(epsilons)} | arrays | comparison
        )
        run.finished(_metrics(job, found[-1]))


def _finished(
    job: CertifyJob,
    layout: Layout,
    run: Attempt,
    certificate: Certificate[Any, Any],
    prepared: Callable[[], Any],
    epsilon: float,
) -> dict[str, np.ndarray]:
    path = run.state / f"epsilon-{epsilon!r}.npz"
    grid = job.certificate_spec.perturbation
    if not path.exists():
        ball = ball_of(layout, job, build_task(job), grid.at(epsilon))
        save_arrays(path, to_arrays(certificate.certify(prepared(), ball)))
    arrays = load_arrays(path)
    log.info(
        "%s at %g: median upper bound %.4g, certified %.3f",
        job.certificate,
        epsilon,
        np.median(arrays["upper"]),
        np.mean(arrays["verdict"] == "certified"),
    )
    step = grid.epsilons.index(epsilon)
    run.metrics(_metrics(job, arrays) | {"certify/epsilon": epsilon}, step=step)
    run.stop_if_asked()
    return arrays


def _states_radius(job: CertifyJob) -> bool:
    spec = job.certificate_spec
    return isinstance(spec, PosteriorShift | Decision | PosteriorDecision) and spec.radius


def _radius(arrays: dict[str, np.ndarray], epsilons: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Return bounds and verdicts at every radius from those at larger ones, and the radius (n,)."""
    certified = torch.from_numpy(arrays["verdict"] == "certified")
    at_any = certified_at_any_larger(certified)
    return {
        "upper": least_over_larger(torch.from_numpy(arrays["upper"])).numpy(),
        "verdict": np.where(at_any.numpy(), "certified", "unknown"),
        "radius": certified_radius(torch.tensor(epsilons, dtype=torch.float64), at_any).numpy(),
    }


def _answers(
    job: CertifyJob, arrays: dict[str, np.ndarray], prepared: Callable[[], Any]
) -> dict[str, np.ndarray]:
    """Return low and high ends of every answer, each of shape (e, n)."""
    spec = job.certificate_spec
    if not isinstance(spec, PosteriorShift) or spec.answers is None:
        return {}
    task = build_task(job)
    assert isinstance(task, ThetaTask)
    found = [
        answers(spec, prepared(), shift, task.theta_names)
        for shift in torch.from_numpy(arrays["upper"])
    ]
    return {
        f"{ANSWER}{label}_{end}": np.stack([getattr(one[label], end).numpy() for one in found])
        for label in found[0]
        for end in ("low", "high")
    }


def _require_monotone(arrays: dict[str, np.ndarray]) -> None:
    """Check that bounds do not shrink with the radius: means on common draws, or margins."""
    quantity = "mean" if "mean" in arrays else "upper"
    require_monotone(quantity, list(torch.from_numpy(arrays[quantity])))


def _metrics(job: CertifyJob, arrays: dict[str, np.ndarray]) -> dict[str, float]:
    bounded = "tv" if isinstance(job.certificate_spec, PosteriorShift) else "upper"
    return {
        f"certify/{bounded}_median": float(np.median(arrays["upper"])),
        "certify/certified_share": float(np.mean(arrays["verdict"] == "certified")),
    }


def _prepare(job: CertifyJob, layout: Layout, certificate: Certificate[Any, Any]) -> Any:
    task = build_task(job)
    observations = load_observations(layout, job, job.observations)
    return certificate.prepare(
        model_of(job.certificate_spec, job, layout, task),
        rows_of(job.certificate_spec, observations.x, observations.tests),
        targets_of(job.certificate_spec, observations),
        seed=seed_of(job),
    )


def _comparison(
    job: CertifyJob, run: Attempt, prepared: Callable[[], Any]
) -> dict[str, np.ndarray]:
    """Return the draws on which attacks are compared with the bound; none without draws."""
    spec = job.certificate_spec
    if not isinstance(spec, PosteriorShift | Coverage):
        return {}
    path = run.state / "comparison.npz"
    if not path.exists():
        whole: PosteriorDraws | CoverageDraws = prepared()
        draws = whole.draws if isinstance(whole, CoverageDraws) else whole
        first = slice(spec.comparison_draws)
        save_arrays(
            path,
            {
                COMPARISON_THETA: draws.theta[first].numpy(),
                COMPARISON_LOG_PROB: draws.log_prob[first].numpy(),
            },
        )
    return load_arrays(path)


def _without_epsilons(job: CertifyJob) -> CertifyJob:
    """Return what decides the result at one radius: the whole grid where it shares a confidence."""
    if _states_radius(job):
        return job
    grid = job.certificate_spec.perturbation.without_epsilons()
    spec = job.certificate_spec.model_copy(update={"perturbation": grid})
    return job.model_copy(update={"certificate_spec": spec})
