"""Inequalities that hold for every sound study, checked on stored per-observation arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from certibayes.report.accuracy_invariants import accuracy_findings
from certibayes.report.divergence_invariants import divergence_findings
from certibayes.report.finding import Finding
from certibayes.report.items import Items
from certibayes.report.summary import read_metrics
from certibayes.writing import atomic


@dataclass(frozen=True)
class Invariant:
    """A finding about one model, with what has to be read beside it.

    Attributes:
        name: the inequality, e.g. "accuracy: certified <= attacked".
        scope: the model, `<task>/n<budget>/<model>/<defense>/seed<k>`.
        holds: whether it holds for every observation (or in aggregate, where the name says so).
        detail: what was compared and what broke.
        norm: norm of the ball.
        unit: unit of epsilon.
        epsilon: radius, in `unit`.
        coverage_clean: expected coverage of the 90 % region without attack, or None.
        coverage_attacked: the same under the attack, or None.
        unknown_share: share of observations whose verdict is unknown, or None.
    """

    name: str
    scope: str
    holds: bool
    detail: str
    norm: str
    unit: str
    epsilon: float
    coverage_clean: float | None
    coverage_attacked: float | None
    unknown_share: float | None


def check(folders: Sequence[Path]) -> list[Invariant]:
    """Check every invariant of every evaluated model.

    Args:
        folders: `evaluate` folders, each with metrics.csv and items.npz.
    """
    return [invariant for folder in folders for invariant in _check_model(folder)]


def write(invariants: Sequence[Invariant], path: Path) -> None:
    """Write invariants.json, a list of objects, and rename it into place."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps([asdict(one) for one in invariants], indent=2) + "\n")


def broken(path: Path) -> list[str]:
    """Return one line per broken invariant of an invariants.json; empty if all hold."""
    return [
        f"{one['scope']}: {one['name']} does not hold at {one['norm']} epsilon "
        f"{one['epsilon']} ({one['unit']}): {one['detail']}"
        for one in json.loads(path.read_text())
        if not one["holds"]
    ]


def _check_model(folder: Path) -> Iterator[Invariant]:
    items = Items.read(folder)
    rows = read_metrics(folder)
    clean = rows[rows["kind"] == "clean"]["coverage_90"].tolist()
    by_method = {
        (row.stage, row.method, row.epsilon): (row.coverage_90, row.unknown_share)
        for row in rows.itertuples()
    }

    def beside(finding: Finding) -> Invariant:
        method, attack = finding.method, finding.attack
        coverage, unknown = None, None
        if attack is not None:
            coverage = by_method["attack", attack.name, finding.attack_epsilon][0]
        if method.stage == "certify":
            unknown = by_method["certify", method.name, finding.epsilon][1]
        return Invariant(
            name=finding.name,
            scope=items.scope,
            holds=finding.holds,
            detail=finding.detail,
            norm=method.norm,
            unit=method.unit,
            epsilon=finding.epsilon,
            coverage_clean=_known(clean[0]),
            coverage_attacked=_known(coverage),
            unknown_share=_known(unknown),
        )

    for finding in (*accuracy_findings(items), *divergence_findings(items)):
        yield beside(finding)


def _known(value: Any) -> float | None:
    """Return None for a quantity that does not apply: JSON knows no NaN."""
    return None if pd.isna(value) else float(value)
