"""Does the network fail, or does the exact posterior move? A table per task that has one."""

from __future__ import annotations

from html import escape

import pandas as pd

from certibayes.report.figures_style import ball_label

_STAGES = ("evaluate", "attack")
_ROW = ("budget", "model", "defense", "seed", "attack", "ball", "epsilon")
_NETWORK, _MOVED = "KL(p(.|x') || q(.|x'))", "KL(p(.|x) || p(.|x'))"
_TEXT = (
    "p is the exact posterior, q the network; medians over observations in nats, in brackets the "
    f"15 % and 85 % quantiles. {_NETWORK} large: the network fails at x'. {_MOVED} large: "
    "the exact posterior itself moves."
)


def exact_parts(summary: pd.DataFrame) -> list[str]:
    """Return HTML, one table per task with exact posteriors: network and exact posterior at x'.

    One row per model, attack and epsilon, and one for clean observations.

    Args:
        summary: as `summary.collect` returns it.
    """
    known = summary[summary["exact_kl_median"].notna() & summary["stage"].isin(_STAGES)]
    return [
        f"<h2>{escape(str(task))}: does the network fail, or does the exact posterior move?</h2>\n"
        f"<p>{escape(_TEXT)}</p>\n" + exact_table(rows).to_html(index=False, na_rep="", border=0)
        for task, rows in known.groupby("task", sort=False)
    ]


def exact_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return both divergences as text, "median [low, high]", one row per row of the summary.

    Args:
        rows: of one task, clean or attacked, with `exact_kl_median`.
    """
    epsilon = rows["epsilon"].map("{:g}".format).where(rows["epsilon"].notna(), "")
    ball = rows[["norm", "unit", "clip", "mask"]].apply(_ball, axis=1)
    table = rows.assign(attack=rows["method"], epsilon=epsilon, ball=ball)[list(_ROW)]
    table[_NETWORK] = rows.apply(_band, axis=1, args=("exact_kl",))
    table[_MOVED] = rows.apply(_band, axis=1, args=("exact_shift_kl",))
    return table


def _ball(row: pd.Series) -> str:
    return "" if pd.isna(row["norm"]) else ball_label(*row)


def _band(row: pd.Series, quantity: str) -> str:
    median, low, high = (row[f"{quantity}_{end}"] for end in ("median", "low", "high"))
    return "" if pd.isna(median) else f"{median:.4g} [{low:.4g}, {high:.4g}]"
