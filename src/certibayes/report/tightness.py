"""Certified shifts beside the strongest attack, the exact posterior's shift and what is known."""

from __future__ import annotations

from html import escape

import pandas as pd

from certibayes.columns import BALL_KEYS, MODEL_KEYS
from certibayes.report.figures_style import ball_label
from certibayes.report.rounding import bound_text

_RENAMED = {
    "total_variation_median": "certified",
    "reached_total_variation_median": "reached",
    "gap_total_variation_median": "gap",
    "exact_total_variation": "exact",
    "kl_estimate_median": "kl_estimate",
    "kl_certified_median": "kl_certified",
    "reached_forward_kl_median": "reached_kl",
    "gap_forward_kl_median": "gap_kl",
    "exact_forward_kl": "exact_kl",
}
_TERMS = ("bounds", "route", "tau", "confidence", "draws", "interval")
_KNOWN = ("nll", "nll_exact", "nats", "nats_standard", "nats_share")
COLUMNS = (
    *(*MODEL_KEYS, "method", *BALL_KEYS, "clip", "observations"),
    *_RENAMED.values(),
    *("certified_share", "refuted_share", *_KNOWN, *_TERMS),
)
_SHOWN = (
    *("budget", "model", "defense", "seed", "ball", "epsilon"),
    *(*_RENAMED.values(), "nll", "nats_share", "bounds", "route", "confidence", "draws"),
)
_STANDARD = "none"
_TEXT = (
    "Medians over test observations. certified: upper bound of the total variation over the ball; "
    "reached: by the strongest stored attack, on the certificate's own draws; gap: certified - "
    "reached; exact: the exact posterior's own worst shift. kl_estimate: estimated bound of "
    "KL(q(.|x) || q(.|x')), no certificate; kl_certified: a certified one; reached_kl: by an "
    "attack; gap_kl: of the bound on the attack's own draws. nats_share: nats over the prior on "
    "test pairs, as a share of the standard model's: near 0, x is ignored."
)


def tightness(summary: pd.DataFrame) -> pd.DataFrame:
    """Return one row per certified shift: model, seed, certificate and epsilon.

    `nats` is the mean of log q(theta* | x) - log p(theta*) over all test pairs, `nats_standard`
    that of the same task, budget, model and seed without a defense (empty where the study does not
    evaluate it), `nats_share` their quotient, where the standard model gains anything.

    Args:
        summary: as `summary.collect` returns it.

    Returns:
        Columns `COLUMNS`.
    """
    clean = summary[summary["kind"] == "clean"]
    known = clean[[*MODEL_KEYS, "nll", "nll_exact", "nats"]]
    keys = [key for key in MODEL_KEYS if key != "defense"]
    standard = clean.loc[clean["defense"] == _STANDARD, [*keys, "nats"]]
    standard = standard.rename(columns={"nats": "nats_standard"})
    shifts = summary[summary["kind"] == "posterior_shift"].rename(columns=_RENAMED)
    stated = [name for name in COLUMNS if name not in _KNOWN]
    table = shifts[stated].merge(known, on=list(MODEL_KEYS), how="left")
    table = table.merge(standard, on=keys, how="left")
    gained = table["nats_standard"].astype(float)
    share = table["nats"].astype(float) / gained.where(gained > 0)
    return table.assign(nats_share=share)[list(COLUMNS)]


def tightness_parts(summary: pd.DataFrame) -> list[str]:
    """Return HTML, one table per task with certified shifts, bounds rounded up.

    Args:
        summary: as `summary.collect` returns it.
    """
    table = tightness(summary)
    table["ball"] = [
        ball_label(*row) for row in table[["norm", "unit", "clip"]].itertuples(index=False)
    ]
    table["draws"] = table["draws"].astype("Int64")
    for bound in ("certified", "kl_certified"):
        table[bound] = [None if pd.isna(v) else bound_text(v, up=True) for v in table[bound]]
    return [
        f"<h2>{escape(str(task))}: how tight, and how much is known</h2>\n<p>{escape(_TEXT)}</p>\n"
        + rows[list(_SHOWN)]
        .dropna(axis=1, how="all")
        .rename(columns=lambda name: name.replace("_", " "))
        .to_html(index=False, na_rep="", float_format=lambda value: f"{value:.4g}", border=0)
        for task, rows in table.groupby("task", sort=False)
    ]
