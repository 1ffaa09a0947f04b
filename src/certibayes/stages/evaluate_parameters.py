"""Which parameters an attack moves, and which are not calibrated."""

from __future__ import annotations

from certibayes.metrics.marginal_shift import marginal_shift
from certibayes.metrics.sbc import RankUniformity
from certibayes.stages.evaluate_subject import CLEAN, Drawn, Subject
from certibayes.stages.findings import Findings, Value, quantiles


def add_parameters(
    findings: Findings, subject: Subject, drawn: Drawn, uniformity: RankUniformity
) -> None:
    """Add a line per parameter: its ranks' uniformity and, under attack, its marginal's shift."""
    shifts = {}
    if drawn.method != CLEAN:
        shifts = marginal_shift(subject.clean.theta, drawn.theta)._asdict()
    findings.add_items(drawn.key, {f"parameter_{name}": all_ for name, all_ in shifts.items()})
    for i, parameter in enumerate(subject.task.theta_names):
        columns: dict[str, Value] = {}
        for name, values in shifts.items():
            columns |= quantiles(name, values[:, i])
        findings.add_parameter(
            drawn.method,
            drawn.epsilon,
            parameter,
            **columns,
            sbc_ks=float(uniformity.statistic[i]),
            sbc_p=float(uniformity.p[i]),
        )
