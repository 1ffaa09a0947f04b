"""Accuracy, likelihood and calibration of predicted labels, with 95 % intervals."""

from __future__ import annotations

from torch import Tensor

from certibayes.config.jobs import EvaluateJob
from certibayes.metrics.calibration import expected_calibration_error
from certibayes.metrics.calibration_error import calibration_standard_error
from certibayes.metrics.intervals.clopper_pearson import (
    clopper_pearson_lower,
    clopper_pearson_upper,
)
from certibayes.metrics.nll import negative_log_likelihood
from certibayes.seeding import generator
from certibayes.stages.findings import Value

ALPHA = 0.05
NORMAL = 1.959964
"""97.5 % quantile of the standard normal distribution."""


def quality_columns(
    job: EvaluateJob, log_probabilities: Tensor, labels: Tensor, right: Tensor
) -> dict[str, Value]:
    """Return NLL, accuracy and calibration error, each with its interval over test pairs.

    Args:
        job: states the bins.
        log_probabilities: of the mean predictive, shape (batch, classes); logarithms of
            probabilities would be infinite where a float has no room for these.
        labels: true labels, shape (batch,).
        right: observations that count as correct, bool, shape (batch,).
    """
    nll = negative_log_likelihood(log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1))
    probabilities = log_probabilities.exp()
    bins = job.evaluation.ece_bins
    ece = expected_calibration_error(probabilities, labels, bins)
    resampling = generator(job.study_seed, job.task, "bootstrap")
    error = calibration_standard_error(probabilities, labels, bins, resampling)
    return {
        "nll": float(nll.mean),
        "nll_pairs": len(labels),
        **around("nll", float(nll.mean), float(nll.standard_error)),
        "ece": ece,
        **around("ece", ece, error),
        "accuracy": float(right.double().mean()),
        **share_columns("accuracy", right),
    }


def around(name: str, value: float, standard_error: float) -> dict[str, Value]:
    """Return the ends of the 95 % interval of a number >= 0 by its standard error."""
    half = NORMAL * standard_error
    return {f"{name}_low": max(0.0, value - half), f"{name}_high": value + half}


def share_columns(name: str, flags: Tensor) -> dict[str, Value]:
    """Return the ends of the two-sided 95 % interval of a share (Clopper and Pearson, 1934).

    Args:
        name: of the share's column.
        flags: one per observation, bool, shape (n,).
    """
    successes, n = int(flags.sum()), len(flags)
    return {
        f"{name}_low": clopper_pearson_lower(successes, n, ALPHA / 2),
        f"{name}_high": clopper_pearson_upper(successes, n, ALPHA / 2),
    }
