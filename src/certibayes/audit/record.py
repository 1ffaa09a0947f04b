"""The JSON record of an audit: plain numbers, with everything that they depend on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from certibayes import __version__
from certibayes.audit.auditing import AttackFindings, Findings
from certibayes.audit.boundable import module_named
from certibayes.audit.certifying import Certified
from certibayes.audit.covering import LEVELS, CoverageAt
from certibayes.audit.inputs import AuditInputs
from certibayes.audit.settings import AuditSettings
from certibayes.audit.subject import Subject
from certibayes.certificates.base import Verdict
from certibayes.io import sha256_of

FORMAT = 2
PURPOSES = (
    *("attack", "clean draws", "attacked draws"),
    *("certificate", "simulations"),
)
PACKAGES = ("torch", "nflows", "numpy", "sbi")


def record_of(
    sources: Mapping[str, str],
    subject: Subject,
    inputs: AuditInputs,
    settings: AuditSettings,
    findings: Findings,
) -> dict[str, Any]:
    """Return the record of an audit, fit for JSON: lists are in the order of the observations.

    Args:
        sources: what the command was given, by role: paths or module:object.
        subject: what was audited.
        inputs: what on.
        settings: how.
        findings: what was found.
    """
    grid = settings.perturbation
    clean = findings.clean
    return {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "sources": {role: _source(name) for role, name in sources.items()},
        "posterior": {
            "kind": subject.kind,
            "classes": list(subject.names),
            "theta_dim": subject.theta_dim,
            "x_dim": subject.x_dim,
            "cut_by_prior": subject.cut,
            "gradients": subject.gradients,
        },
        "observations": len(inputs.x),
        "perturbation": {
            "norm": grid.norm,
            "unit": grid.unit,
            "epsilons": list(grid.epsilons),
            "clip": grid.clip,
            "unit_from": "observations" if inputs.reference is None else "scale",
            "radius_at_largest_epsilon": plain(inputs.balls(settings)[-1].radius),
        },
        "settings": settings.model_dump(mode="json", exclude={"perturbation", "seed"}),
        "seeds": {
            "seed": settings.seed,
            **{purpose: settings.seed_of(purpose) for purpose in PURPOSES},
        },
        "clean": {
            "mass_inside": plain(clean.mass) if clean.cut else None,
            "coverage": _coverage(findings.coverage),
            "predictive_distance": plain(findings.predicted),
        },
        "attacks": [_attack(one, settings.tau) for one in findings.attacks],
        "certificate": _certificate(findings.certificate, settings),
        "uncertified": _uncertified(findings.uncertified),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of what computed; None = not installed."""
    found: dict[str, str | None] = {"certibayes": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def plain(values: Tensor | None) -> Any:
    """Return nested lists; None for NaN, "inf" and "-inf" for infinite numbers."""
    return None if values is None else _plain(values.tolist())


def quantiles(values: Tensor) -> list[Any]:
    """Return 15 % quantile, median and 85 % quantile over observations; NaN left out."""
    known = values[~values.isnan()].numpy()
    if not len(known):
        return [None, None, None]
    found = np.quantile(known, (0.15, 0.5, 0.85), method="nearest")
    return [_plain(float(one)) for one in found]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value


def _source(name: str) -> dict[str, str]:
    path = Path(name)
    if path.is_file():
        return {"file": name, "sha256": sha256_of(path)}
    return {"object": name}


def _attack(one: AttackFindings, tau: float) -> dict[str, Any]:
    reached = one.reached
    return {
        "attack": reached.attack,
        "epsilon": reached.epsilon,
        "forward_kl": plain(reached.moved.forward_kl),
        "forward_kl_quantiles": quantiles(reached.moved.forward_kl),
        "total_variation": plain(reached.moved.total_variation),
        "total_variation_quantiles": quantiles(reached.moved.total_variation),
        "total_variation_at_least": plain(reached.surely),
        "refuted_share": float((reached.surely > tau).double().mean()),
        "mass_inside": plain(reached.draws.mass) if reached.draws.cut else None,
        "coverage": _coverage(one.coverage),
        "detection": None
        if one.detection is None
        else {
            "auroc_nearest": one.detection.nearest,
            "auroc_ellipsoid": one.detection.ellipsoid,
        },
        "predictive_distance": plain(one.predicted),
    }


def _coverage(one: CoverageAt | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "levels": plain(LEVELS),
        "coverage": plain(one.curve.coverage),
        "area": one.curve.area,
        "stated": {
            str(level): {"covered": share, "interval_95": [low, high]}
            for level, (share, low, high) in one.stated.items()
        },
    }


def _certificate(found: Certified | None, settings: AuditSettings) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "kind": "posterior_shift",
        "tau": settings.tau,
        "confidence": settings.confidence,
        "mass_inside_lower": plain(found.mass),
        "rows": [
            {
                "epsilon": row.epsilon,
                "upper": plain(row.upper),
                "upper_before_cut": plain(row.uncut),
                "reached_before_cut": plain(row.reached),
                "verdict": [str(one) for one in row.verdict],
                **{
                    f"{name}_share": sum(one == name for one in row.verdict) / len(row.verdict)
                    for name in Verdict
                },
                "seconds": row.seconds,
            }
            for row in found.rows
        ],
    }


def _uncertified(reason: str | None) -> dict[str, str] | None:
    return None if reason is None else {"module": module_named(reason), "reason": reason}
