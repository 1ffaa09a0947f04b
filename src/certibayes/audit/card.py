"""The card of an audit: one self-contained HTML page."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from typing import Any

from certibayes.audit.figure import embedded, figure_of
from certibayes.certificates.base import Verdict
from certibayes.report.rounding import bound_text

STYLE = """
main { max-width: 62rem; }
img { max-width: 100%; }
td { white-space: nowrap; }
.scroll { overflow-x: auto; }
pre { font-size: 0.75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def card_of(record: dict[str, Any]) -> str:
    """Return the page of a record; it refers to no other file.

    Args:
        record: see `record.record_of`.
    """
    style = files("certibayes.report").joinpath("table.css").read_text() + STYLE
    name = record["sources"]["posterior"]
    title = f"Audit of {name.get('file') or name['object']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in _what(record)),
        f"<h2>Findings</h2><p>{escape(_certificate_line(record))}</p>",
        f"<p>{escape(_refuted_line(record))}</p>",
        f"<img alt='total variation against epsilon' src='{embedded(figure_of(record))}'>",
        "<h2>Attacks</h2>",
        f"<p>{escape(ATTACKS)}</p>",
        _table(*_attacks(record)),
        *_certificate(record),
        "<h2>How it was made</h2>",
        f"<pre>{escape(json.dumps(_made(record), indent=2))}</pre>",
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


ATTACKS = (
    "Medians over observations. Divergences go from the posterior at x to the one at the "
    "attacked x', on draws that the attack has not seen. at least: lower confidence bound of "
    "the total variation; refuted: share of observations where it exceeds tau. mass inside: "
    "share of the network's draws inside the prior's support. coverage: share of true thetas "
    "inside the 90 % region. AUROC: how well attacked observations are told from clean ones "
    "by the distance to the nearest clean observation and by the Mahalanobis distance; 0.5 = "
    "not at all. predictive: distance of simulations to the clean x. A weak attack proves "
    "nothing; a strong one is a counterexample."
)


def _what(record: dict[str, Any]) -> list[str]:
    about, ball = record["posterior"], record["perturbation"]
    classes = " / ".join(about["classes"])
    clip = (
        "no clip range" if ball["clip"] is None else "clip range {:g} to {:g}".format(*ball["clip"])
    )
    found = "gradients of log q" if about["gradients"] else "search without gradients"
    lines = [
        f"{about['kind']} ({classes}), {about['theta_dim']} parameters, {about['x_dim']} features; "
        f"{record['observations']} observations; attacked by {found}.",
        f"Perturbations: {ball['norm']} norm, unit {ball['unit']} (from the {ball['unit_from']}), "
        f"epsilon {', '.join(f'{one:g}' for one in ball['epsilons'])}, {clip}.",
    ]
    if about["cut_by_prior"]:
        mass = [one for one in record["clean"]["mass_inside"] if one is not None]
        lines.append(
            f"The prior's support cuts the posterior: {min(mass):.3g} to {max(mass):.3g} of the "
            "network's mass lies inside at the clean observations."
        )
    return lines


def _certificate_line(record: dict[str, Any]) -> str:
    found, why = record["certificate"], record["uncertified"]
    if found is None:
        return f"No certificate. {why['reason']}."
    each = ", ".join(
        f"{row['certified_share']:.0%} at epsilon {row['epsilon']:g}" for row in found["rows"]
    )
    cut = (
        " The bound holds for the posterior that the prior cuts: that of the network divided by a "
        "lower confidence bound of the mass inside the support at x."
        if record["posterior"]["cut_by_prior"]
        else ""
    )
    return (
        f"Certified: no perturbation moves the posterior probability of any event by more than "
        f"{found['tau']:g}. Share of the observations: {each}; confidence {found['confidence']:g} "
        f"for each observation and epsilon alone.{cut}"
    )


def _refuted_line(record: dict[str, Any]) -> str:
    settings = record["settings"]
    each = ", ".join(
        f"{max(one['refuted_share'] for one in record['attacks'] if one['epsilon'] == epsilon):.0%}"
        f" at epsilon {epsilon:g}"
        for epsilon in record["perturbation"]["epsilons"]
    )
    return (
        f"Refuted: an attack found a perturbation that moves the probability of some event by more "
        f"than {settings['tau']:g}. Share of the observations, by the attack that refutes most: "
        f"{each}; confidence {settings['confidence']:g} for each attack, observation and epsilon "
        "alone. What is neither certified nor refuted is unknown."
    )


def _attacks(record: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    head = ["attack", "epsilon", "KL (nats)", "total variation", "15 %", "85 %"]
    head += [
        "at least",
        "refuted",
        "mass inside",
        "coverage 90",
        "95 % interval",
        "AUROC nearest",
        "AUROC ellipsoid",
    ]
    head += ["predictive"]
    rows = [["clean", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, "", *_of(record["clean"])]]
    for one in record["attacks"]:
        low, middle, high = one["total_variation_quantiles"]
        start = [one["attack"], one["epsilon"], one["forward_kl_quantiles"][1], middle, low, high]
        sure = [_middle(one["total_variation_at_least"]), f"{one['refuted_share']:.0%}"]
        rows.append([*start, *sure, *_of(one)])
    return head, rows


def _of(part: dict[str, Any]) -> list[Any]:
    coverage = (part["coverage"] or {}).get("stated", {}).get("0.9")
    detection = part.get("detection") or {}
    interval = None if coverage is None else "{:.2f} to {:.2f}".format(*coverage["interval_95"])
    return [
        _middle(part["mass_inside"]),
        None if coverage is None else coverage["covered"],
        interval,
        detection.get("auroc_nearest"),
        detection.get("auroc_ellipsoid"),
        _middle(part["predictive_distance"]),
    ]


def _certificate(record: dict[str, Any]) -> list[str]:
    found = record["certificate"]
    if found is None:
        return []
    head = [
        "epsilon",
        "certified",
        "refuted",
        "unknown",
        "median bound",
        "largest bound",
        "reached by attacks (median)",
    ]
    rows = [
        [
            row["epsilon"],
            *(f"{row[f'{verdict}_share']:.0%}" for verdict in Verdict),
            bound_text(_middle(row["upper"]), up=True),
            bound_text(max(row["upper"]), up=True),
            _middle([one for one in row["reached_before_cut"] if one != "-inf"]),
        ]
        for row in found["rows"]
    ]
    text = (
        "Bounds of the total variation, rounded up. What attacks reach is of the network's own "
        "posterior, before the prior's cut, on the same draws as the bound."
    )
    return ["<h2>Certificate</h2>", f"<p>{text}</p>", _table(head, rows)]


def _middle(values: list[Any] | None) -> Any:
    known = sorted(one for one in values or [] if isinstance(one, float | int))
    return known[len(known) // 2] if known else None


def _table(head: list[str], rows: list[list[Any]]) -> str:
    shown = [place for place in range(len(head)) if any(row[place] is not None for row in rows)]
    cells = [[_cell(row[place]) for place in shown] for row in rows]
    body = "".join(f"<tr>{''.join(f'<td>{one}</td>' for one in row)}</tr>" for row in cells)
    names = "".join(f"<th>{escape(head[place])}</th>" for place in shown)
    return f"<div class='scroll'><table><tr>{names}</tr>{body}</table></div>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _made(record: dict[str, Any]) -> dict[str, Any]:
    names = ("made", "versions", "sources", "settings", "seeds")
    return {name: record[name] for name in names}
