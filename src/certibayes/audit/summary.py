"""The findings of an audit as a few lines for a terminal."""

from __future__ import annotations

from typing import Any

from certibayes.report.rounding import bound_text


def summary_of(record: dict[str, Any]) -> str:
    """Return one line per attack and epsilon and per certified epsilon.

    Args:
        record: see `record.record_of`.
    """
    about, ball = record["posterior"], record["perturbation"]
    lines = [
        f"{about['kind']}: {about['theta_dim']} parameters, {about['x_dim']} features, "
        f"{record['observations']} observations; {ball['norm']}, unit {ball['unit']}"
    ]
    for one in record["attacks"]:
        parts = [f"{one['attack']:<14}epsilon {one['epsilon']:<8g}"]
        parts.append(f"total variation {_number(one['total_variation_quantiles'][1])}")
        parts.append(f"refuted {one['refuted_share']:.0%}")
        if one["coverage"] is not None:
            parts.append(
                f"coverage of 90 % regions {one['coverage']['stated']['0.9']['covered']:.2f}"
            )
        if one["detection"] is not None:
            parts.append(f"AUROC {one['detection']['auroc_nearest']:.2f}")
        lines.append("  ".join(parts))
    found = record["certificate"]
    if found is None:
        why = record["uncertified"]
        return "\n".join([*lines, f"no certificate: {why['reason']}"])
    for row in found["rows"]:
        bounds = sorted(row["upper"])
        lines.append(
            f"{'certified':<14}epsilon {row['epsilon']:<8g}  total variation at most "
            f"{bound_text(bounds[len(bounds) // 2], up=True)} (median), "
            f"{row['certified_share']:.0%} within {found['tau']:g}"
        )
    return "\n".join(lines)


def _number(value: Any) -> str:
    return "unknown" if value is None else f"{value:.3f}"
