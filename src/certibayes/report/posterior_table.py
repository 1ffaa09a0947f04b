"""The posterior of real observations as plain text: mean and sd beside the reference run."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from certibayes.columns import MODEL_KEYS


def render_posteriors(moments: pd.DataFrame) -> str:
    """Return one block per model at the first observation of each task, and how many more exist.

    A block holds every parameter clean, under the largest attacks, and of the reference.

    Args:
        moments: as `posteriors.moments` returns it, one task.
    """
    blocks = []
    for task, rows in moments.groupby("task", sort=False):
        first, *others = rows["observation"].unique()
        more = f" ({len(others)} more observations: posterior_{task}.csv)" if others else ""
        blocks.append(f"{task}, real observation {first}: posterior mean (sd){more}")
        blocks += _blocks(rows[rows["observation"] == first])
    return "\n".join(blocks) + "\n"


def _blocks(rows: pd.DataFrame) -> Iterator[str]:
    for _, model in rows.groupby(list(MODEL_KEYS), sort=False):
        first = model.iloc[0]
        largest = model[model["epsilon"] == model.groupby("method")["epsilon"].transform("max")]
        columns = {_label(part.iloc[0]): part for _, part in largest.groupby("method", sort=False)}
        yield f"  {first['model']}, {first['defense']}, seed {first['seed']}"
        names = [*columns, "reference"] if model["reference_mean"].notna().all() else [*columns]
        yield "    " + f"{'':<12}" + "".join(f"{name:>22}" for name in names)
        for parameter in model["parameter"].unique():
            cells = [_cell(part, parameter, "mean", "sd") for part in columns.values()]
            if "reference" in names:
                cells.append(_cell(model, parameter, "reference_mean", "reference_sd"))
            yield f"    {parameter:<12}" + "".join(f"{cell:>22}" for cell in cells)


def _label(row: pd.Series) -> str:
    return "clean" if row["method"] == "clean" else f"{row['method']} {row['epsilon']:g}"


def _cell(part: pd.DataFrame, parameter: str, mean: str, sd: str) -> str:
    row = part[part["parameter"] == parameter].iloc[0]
    return f"{row[mean]:.3g} ({row[sd]:.2g})"
