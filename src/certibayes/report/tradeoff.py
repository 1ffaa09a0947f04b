"""What robustness costs: every defense as a point of attacked or certified level and clean fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from certibayes.config.jobs import EvaluateJob
from certibayes.config.sweeps import Sweep, curves_of, value_at
from certibayes.report.levels import on_most_observations
from certibayes.report.pareto import non_dominated
from certibayes.report.seeds import KEYS, over_seeds

POSTERIOR = (
    *("forward_kl_median", "reverse_kl_median", "total_variation_median"),
    *("forward_kl_mean", "reverse_kl_mean"),
)
CLASSIFIER = "accuracy"
WORST = "(worst)"
"""Method of the rows that take the worst of all attacks of a ball, noise left out."""
MODEL = ("task", "budget", "model")
CONDITION = (
    "stage",
    "method",
    "kind",
    "objective",
    "norm",
    "unit",
    "clip",
    "mask",
    "epsilon",
    "quantity",
)
AXES = ("robustness", "fit", "coverage_area")
_BANDS = tuple(f"{axis}{end}" for axis in AXES for end in ("", "_low", "_high"))
COLUMNS = (
    *MODEL,
    *CONDITION,
    *("curve", "defense", "swept", "parameter", "value"),
    *_BANDS,
    *("fit_quantity", "seeds", "pareto", "pareto_coverage"),
)


def tradeoff(
    summary: pd.DataFrame, models: Sequence[EvaluateJob], sweeps: Mapping[str, Sweep]
) -> pd.DataFrame:
    """Return every defense as a point, one row per attack or certificate, epsilon and quantity.

    `robustness` is what `quantity` states: under attack a median or mean of a divergence over
    observations (forward: KL(q(. | x) || q(. | x')), reverse: KL(q(. | x') || q(. | x))), the
    certified median total variation on rows of a certificate, or the attacked or certified accuracy
    of a classifier; `fit` is the NLL of
    clean observations (posteriors, lower is better) or their accuracy (classifiers). Both are means
    over seeds, `_low` and `_high` the smallest and largest. Beside every attack, the method `WORST`
    has the worst of all, of every quantity for itself. `pareto` marks the points that no other
    defense of the same task, budget, model, method, epsilon and quantity dominates on the axes
    robustness and fit, `pareto_coverage` those on robustness and coverage area (the integral of
    |coverage - level| at clean observations).

    Args:
        summary: as `summary.collect` returns it.
        models: the evaluated models behind it.
        sweeps: of the study. A defense that a sweep made, or starts from, is a point of the
            sweep's curve (of each, where there are several); any other is a curve of its own.

    Returns:
        Columns `COLUMNS`.
    """
    table = over_seeds(pd.concat([summary, _worst(summary)], ignore_index=True))
    measured = table[table["quantity"].isin([*POSTERIOR, CLASSIFIER])]
    measured = measured[measured["method"] != "clean"]
    clean = table[table["method"] == "clean"]
    points = measured.rename(
        columns={"mean": "robustness", "low": "robustness_low", "high": "robustness_high"}
    ).rename(columns={"n": "seeds"})
    classifiers = set(measured.loc[measured["quantity"] == CLASSIFIER, "task"])
    fits = pd.concat(
        [
            _clean(clean[~clean["task"].isin(classifiers)], "nll", "fit"),
            _clean(clean[clean["task"].isin(classifiers)], CLASSIFIER, "fit"),
        ]
    )
    points = points.merge(fits, on=list(KEYS), how="left")
    areas = _clean(clean, "coverage_area", "coverage_area").drop(columns="coverage_area_quantity")
    points = points.merge(areas, on=list(KEYS), how="left")
    points = _with_pareto(points)
    return _with_curves(points, models, sweeps).reindex(columns=list(COLUMNS))


def _worst(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a row per model, seed and ball with the worst of every quantity over its attacks."""
    attacks = summary[(summary["stage"] == "attack") & (summary["kind"] != "noise")]
    by = [*KEYS, "seed", "norm", "unit", "epsilon", "clip", "mask"]
    attacks = on_most_observations(attacks, by)
    known = [name for name in POSTERIOR if name in attacks]
    worst = dict.fromkeys(known, "max") | {CLASSIFIER: "min"}
    table = attacks.groupby(by, sort=False, dropna=False).agg(worst).reset_index()
    return table.assign(stage="attack", method=WORST)


def _clean(clean: pd.DataFrame, quantity: str, axis: str) -> pd.DataFrame:
    found = clean[clean["quantity"] == quantity].rename(
        columns={"mean": axis, "low": f"{axis}_low", "high": f"{axis}_high"}
    )
    columns = [*KEYS, axis, f"{axis}_low", f"{axis}_high"]
    return found[columns].assign(**{f"{axis}_quantity": quantity})


def _with_pareto(points: pd.DataFrame) -> pd.DataFrame:
    marks = pd.DataFrame(False, index=points.index, columns=["pareto", "pareto_coverage"])
    for _, group in points.groupby([*MODEL, *CONDITION], sort=False, dropna=False):
        accuracy = group["quantity"].iloc[0] == CLASSIFIER
        sign = -1.0 if accuracy else 1.0
        robustness, fit = sign * group["robustness"], sign * group["fit"]
        for name, cost in (("pareto", fit), ("pareto_coverage", group["coverage_area"])):
            values = np.column_stack([robustness.to_numpy(float), cost.to_numpy(float)])
            marks.loc[group.index, name] = non_dominated(values)
    return points.join(marks)


def _with_curves(
    points: pd.DataFrame, models: Sequence[EvaluateJob], sweeps: Mapping[str, Sweep]
) -> pd.DataFrame:
    specs = {job.defense: job.defense_spec for job in models}
    rows = []
    for defense, spec in specs.items():
        curves = curves_of(sweeps, defense)
        rows += [] if curves else [{"curve": defense, "defense": defense}]
        for curve in curves:
            sweep = sweeps[curve]
            value = sweep.names.get(defense, value_at(spec, sweep.parameter))
            point = {"curve": curve, "defense": defense, "swept": sweep.defense}
            rows.append(point | {"parameter": sweep.parameter, "value": value})
    about = pd.DataFrame(rows, columns=["curve", "defense", "swept", "parameter", "value"])
    found = points.merge(about, on="defense", how="left")
    found["curve"] = found["curve"].fillna(found["defense"])
    first = [*MODEL, *CONDITION]
    order = found.groupby(first, sort=False, dropna=False).ngroup()
    undefended = found["defense"] != "none"
    number = pd.to_numeric(found["value"], errors="coerce")
    by = found.assign(_order=order, _undefended=undefended, _number=number)
    by = by.sort_values(["_order", "_undefended", "curve", "_number"], kind="stable")
    return found.loc[by.index].reset_index(drop=True)
