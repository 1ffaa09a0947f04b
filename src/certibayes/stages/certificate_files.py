"""Certificate results as arrays, one file per radius while a job runs, one per job in the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from certibayes.certificates.base import CertificateResult, Verdict
from certibayes.certificates.density_results import CoverageResult, LogDensityResult
from certibayes.certificates.posterior_decision_result import PosteriorDecisionResult
from certibayes.certificates.posterior_shift import PosteriorShiftResult
from certibayes.config.certificates import Certificate
from certibayes.config.jobs import EvaluateJob
from certibayes.io import load_arrays
from certibayes.layout import Layout
from certibayes.metrics.standard_error import Estimate

COMPARISON_THETA = "comparison_theta"
COMPARISON_LOG_PROB = "comparison_log_prob"
ANSWER = "answer/"
"""Prefix of the ends of answers in certificate.npz."""


@dataclass(frozen=True)
class StoredCertificate:
    """One certificate at one epsilon.

    Attributes:
        radius: largest certified epsilon of the grid, shape (n,); None where it is not stated.
        answers: low and high ends of every answer, shape (n,) each.
    """

    name: str
    spec: Certificate
    epsilon: float
    result: CertificateResult
    radius: Tensor | None
    answers: dict[str, Tensor]

    @property
    def key(self) -> str:
        """Prefix of this certificate's per-observation items."""
        return f"certify/{self.name}/{self.epsilon!r}"


def to_arrays(result: CertificateResult) -> dict[str, np.ndarray]:
    """Return the fields of a result as arrays of shape (n,) or ()."""
    arrays = {
        "upper": result.upper.numpy(),
        "lower": result.lower.numpy(),
        "verdict": np.array([str(verdict) for verdict in result.verdict]),
        "confidence": np.array(result.confidence),
        "seconds": np.array(result.seconds),
    }
    if isinstance(result, PosteriorShiftResult):
        arrays |= {
            "mean": result.mean.numpy(),
            "comparison": result.comparison.numpy(),
            "comparison_kl": result.comparison_kl.numpy(),
            "kl_estimate": result.kl_estimate.mean.numpy(),
            "kl_standard_error": result.kl_estimate.standard_error.numpy(),
        }
        if result.kl_bound is not None:
            arrays["kl_bound"] = result.kl_bound.numpy()
    if isinstance(result, PosteriorDecisionResult):
        arrays["mean"] = result.mean.numpy()
    if isinstance(result, LogDensityResult):
        arrays |= {"least": result.least.numpy(), "most": result.most.numpy()}
    if isinstance(result, CoverageResult):
        arrays |= {
            "shift": result.shift.numpy(),
            "denser": result.denser.numpy(),
            "comparison": result.comparison.numpy(),
        }
    return arrays


def from_arrays(arrays: dict[str, np.ndarray]) -> CertificateResult:
    """Return the result that `to_arrays` took apart."""
    tensors = {
        name: torch.from_numpy(np.asarray(value))
        for name, value in arrays.items()
        if name not in ("verdict", "confidence", "seconds")
    }
    result = CertificateResult(
        upper=tensors["upper"],
        lower=tensors["lower"],
        verdict=tuple(Verdict(str(verdict)) for verdict in arrays["verdict"]),
        confidence=float(arrays["confidence"]),
        seconds=float(arrays["seconds"]),
    )
    common = vars(result)
    if "least" in tensors:
        return LogDensityResult(**common, least=tensors["least"], most=tensors["most"])
    if "shift" in tensors:
        return CoverageResult(
            **common,
            shift=tensors["shift"],
            denser=tensors["denser"],
            comparison=tensors["comparison"],
        )
    if "comparison" not in tensors:
        mean = tensors.get("mean")
        return result if mean is None else PosteriorDecisionResult(**common, mean=mean)
    return PosteriorShiftResult(
        **common,
        mean=tensors["mean"],
        comparison=tensors["comparison"],
        comparison_kl=tensors["comparison_kl"],
        kl_estimate=Estimate(tensors["kl_estimate"], tensors["kl_standard_error"]),
        kl_bound=tensors.get("kl_bound"),
    )


def stored_certificates(job: EvaluateJob, layout: Layout, name: str) -> Iterator[StoredCertificate]:
    """Yield one certificate of a model at every epsilon."""
    arrays = load_arrays(layout.certify(job, name) / "certificate.npz")
    epsilons = arrays.pop("epsilons")
    radius = arrays.pop("radius", None)
    for key in (COMPARISON_THETA, COMPARISON_LOG_PROB):
        arrays.pop(key, None)
    for row, epsilon in enumerate(epsilons.tolist()):
        values = {key: value[row] for key, value in arrays.items()}
        answers = {key: values.pop(key) for key in list(values) if key.startswith(ANSWER)}
        yield StoredCertificate(
            name,
            job.certificates[name],
            epsilon,
            from_arrays(values),
            None if radius is None else torch.from_numpy(radius),
            {key.removeprefix(ANSWER): torch.from_numpy(end) for key, end in answers.items()},
        )


def comparison_draws(job: EvaluateJob, layout: Layout, name: str) -> tuple[Tensor, Tensor]:
    """Return theta (c, n, theta_dim) and log q(theta | x) (c, n) of the comparison draws."""
    arrays = load_arrays(layout.certify(job, name) / "certificate.npz")
    theta, log_prob = arrays[COMPARISON_THETA], arrays[COMPARISON_LOG_PROB]
    return torch.from_numpy(theta), torch.from_numpy(log_prob)
