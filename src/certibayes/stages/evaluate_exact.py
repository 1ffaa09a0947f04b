"""Distance to the exact posterior of the same x, and how far that one moves itself.

Under attack both are needed: a network fails if q(. | x') is far from the exact posterior of x',
not if that one has moved.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.metrics.c2st import c2st
from certibayes.metrics.kl import exact_or_monte_carlo_kl, monte_carlo_kl
from certibayes.metrics.mmd import squared_mmd
from certibayes.seeding import derive_seed
from certibayes.stages.evaluate_subject import CLEAN, Drawn, Subject
from certibayes.stages.findings import Findings, Value, quantiles

KL_DRAWS = 256


def exact_columns(findings: Findings, subject: Subject, drawn: Drawn) -> dict[str, Value]:
    """Return KL(exact || q), MMD^2 and C2ST at the x of `drawn`; under attack, the exact shift.

    No column is filled for a task without an exact posterior. KL is estimated from at most 256
    draws; it is infinite where one of them has density 0 under q.
    """
    exact = subject.task.exact_posterior(drawn.x)
    if exact is None:
        return {}
    evaluation = subject.job.evaluation
    draws = _exact_draws(subject, exact, evaluation.report_draws)
    chosen = draws[:KL_DRAWS]
    divergence = monte_carlo_kl(exact.log_prob(chosen), drawn.posterior.log_prob(chosen))
    few = min(evaluation.mmd_draws, len(draws))
    distance = squared_mmd(draws[:few], drawn.theta[:few])
    items = {
        "exact_kl": divergence.mean,
        "exact_kl_se": divergence.standard_error,
        "exact_mmd": distance.mean,
        "exact_mmd_se": distance.standard_error,
    }
    if drawn.method != CLEAN:
        items["exact_shift_kl"] = _exact_shift(subject, exact)
    findings.add_items(drawn.key, items)
    columns: dict[str, Value] = {"c2st": _c2st(subject, drawn, draws)}
    for name, values in items.items():
        if not name.endswith("_se"):
            columns |= quantiles(name, values)
    return columns


def _exact_draws(subject: Subject, exact: Distribution, draws: int) -> Tensor:
    """Draw from an exact posterior, shape (draws, n, theta_dim)."""
    job = subject.job
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(job.study_seed, job.task, job.seed, "exact draws"))
        return exact.sample((draws,))


def _exact_shift(subject: Subject, moved: Distribution) -> Tensor:
    """Return KL(exact(x) || exact(x')), shape (n,)."""
    clean = subject.task.exact_posterior(subject.clean.x)
    assert clean is not None
    draws = _exact_draws(subject, clean, subject.job.evaluation.report_draws)
    return exact_or_monte_carlo_kl(clean, moved, draws).mean


def _c2st(subject: Subject, drawn: Drawn, reference: Tensor) -> float | None:
    """Return the mean over the first observations of the accuracy against exact draws."""
    evaluation = subject.job.evaluation
    attacked = drawn.method != CLEAN
    wanted = evaluation.c2st_attacked_observations if attacked else evaluation.c2st_observations
    count = min(wanted, subject.tests)
    if count == 0:
        return None
    draws = min(evaluation.c2st_draws, len(drawn.theta))
    scores = [
        c2st(
            reference[:draws, i],
            drawn.theta[:draws, i],
            seed=derive_seed(subject.job.study_seed, i) % 2**32,
        )
        for i in range(count)
    ]
    return sum(scores) / count
