"""The five invariants of a study, as the report's page states them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from certibayes.report.invariants import Invariant

SHOWN = 20


@dataclass(frozen=True)
class _Group:
    """Invariants that say one thing.

    Attributes:
        title: what must hold.
        why: how it is compared, and what a broken one would mean.
        words: parts of the names of the invariants; any of them is enough.
    """

    title: str
    why: str
    words: tuple[str, ...]


GROUPS = (
    _Group(
        "Every observation has exactly one verdict",
        "certified, refuted or unknown; two at once would be a contradiction.",
        ("verdicts:",),
    ),
    _Group(
        "Accuracy: certified ≤ attacked ≤ clean",
        "image by image; an attack that breaks a certified label would disprove the certificate.",
        ("accuracy:",),
    ),
    _Group(
        "Total variation: attacked ≤ certified",
        "observation by observation on the certificate's own draws; every attack of the same norm "
        "and unit whose radius is not larger is held against it.",
        ("total variation: attacked",),
    ),
    _Group(
        "KL divergence: attacked ≤ certified",
        "as for the total variation, on the same draws.",
        ("forward KL: attacked",),
    ),
    _Group(
        "Noise ≤ attack",
        "a search that includes noise may not end below it: observation by observation on the "
        "draws that selected the points, in aggregate on the draws that report.",
        ("noise <= attacked",),
    ),
)


def section(invariants: Sequence[Invariant]) -> str:
    """Return the five invariants with their counts, HTML, and the broken entries in words."""
    rows = [_row(group, [one for one in invariants if _of(group, one)]) for group in GROUPS]
    broken = [one for one in invariants if not one.holds]
    named = "".join(
        f"<li><code>{escape(one.scope)}</code>, {escape(one.norm)} epsilon {one.epsilon:g} "
        f"({escape(one.unit)}): {escape(one.name)}: {escape(one.detail)}</li>"
        for one in broken[:SHOWN]
    )
    more = f"<li>and {len(broken) - SHOWN} more</li>" if len(broken) > SHOWN else ""
    found = f'<ul class="warning">{named}{more}</ul>' if broken else ""
    return (
        '<div class="wide"><table class="left"><thead><tr><th>what must hold</th><th>checked</th>'
        f"<th>broken</th></tr></thead><tbody>\n{''.join(rows)}</tbody></table></div>\n{found}"
    )


def headline(invariants: Sequence[Invariant]) -> str:
    """Return in words whether all hold."""
    broken = sum(not one.holds for one in invariants)
    if broken:
        return f"{broken} of {len(invariants)} comparisons broken"
    return f"all {len(invariants)} comparisons hold"


def _of(group: _Group, invariant: Invariant) -> bool:
    return any(word in invariant.name for word in group.words)


def _row(group: _Group, found: Sequence[Invariant]) -> str:
    broken = sum(not one.holds for one in found)
    checked = str(len(found)) if found else "nothing to compare"
    state = "bad" if broken else "good" if found else "none"
    return (
        f'<tr><td class="text"><b>{escape(group.title)}</b><br>{escape(group.why)}</td>'
        f'<td>{checked}</td><td class="{state}">{broken if found else "-"}</td></tr>\n'
    )
