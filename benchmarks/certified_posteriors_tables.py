"""Tables of docs/certified_posteriors.md: everything that was certified, and at real data."""

from __future__ import annotations

from certified_posteriors_results import MODEL, Results, bounds
from gloeckler2023_results import markdown, number, spread

_SHIFTS = {
    "certified TV": "certified",
    "attack reaches": "reached",
    "gap": "gap",
    "exact TV": "exact",
    "KL, estimate of a bound": "kl_estimate",
    "KL, certified": "kl_certified",
    "KL, attack": "reached_kl",
    "exact KL": "exact_kl",
    "NLL": "nll",
    "share of nats": "nats_share",
}
_BOUNDS = ("certified", "kl_certified")


def everything(results: Results) -> str:
    """Return a line per model, defense and radius, mean and range over seeds."""
    rows = []
    by = [*MODEL, "norm", "unit", "epsilon"]
    for keys, part in results.shifts.groupby(by, sort=False):
        task, model, defense, norm, unit, epsilon = keys
        first = part.iloc[0]
        rows.append(
            [
                *(str(task), str(model), str(defense), f"{norm}, {unit} {epsilon:g}"),
                *(_text(column, part[column].dropna().tolist()) for column in _SHIFTS.values()),
                f"{first['bounds']}, {first['route']}",
                f"{first['confidence']:g}, {first['draws']:g}",
                str(len(part)),
            ]
        )
    if not rows:
        return ""
    header = (
        *("task", "model", "defense", "ball", *_SHIFTS),
        *("bounds, route", "confidence, draws", "seeds"),
    )
    return f"## Everything that was certified\n\n{markdown(header, rows)}"


def recordings(results: Results) -> str:
    """Return a line per real observation, model and radius."""
    rows = [
        [
            *(str(row.task), str(row.observation), str(row.model), str(row.defense), str(row.seed)),
            f"{row.norm}, {row.unit} {row.epsilon:g}",
            *(bounds([row.total_variation]), number(row.reached), str(row.verdict)),
        ]
        for row in results.observed.itertuples()
    ]
    if not rows:
        return ""
    header = (
        *("task", "observation", "model", "defense", "seed", "ball"),
        *("certified TV", "attack reaches", "verdict"),
    )
    return f"## At real observations\n\n{markdown(header, rows)}"


def _text(column: str, values: list[float]) -> str:
    return (bounds if column in _BOUNDS else spread)(values)
