"""`certibayes list`: the size of a study before it is started, or the kinds that there are."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from certibayes import registry
from certibayes.config import Study, load
from certibayes.config.parts import declare_part, part_of
from certibayes.config.presets import PRESETS
from certibayes.inventory import STAGES, Entry, estimate, inventory

MODEL_STAGES = ("train", "retrain", "attack", "certify", "evaluate")
KINDS = (
    *("task", "estimator", "embedding", "network", "inference"),
    *("defense", "attack", "objective", "certificate"),
)
Row = tuple[str, ...]
Key = tuple[Hashable, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="study file")
    declare_part(parser)
    parser.add_argument("--kinds", action="store_true", help="list what a study file may name")


def main(args: argparse.Namespace) -> int:
    """Print the jobs of a study, what is finished and an estimate of the rest; nothing runs."""
    print(kinds() if args.kinds else overview(part_of(load(args.config), args.part), Path.cwd()))
    return 0


def kinds() -> str:
    """Return the registered kinds of every part of a study, and the presets."""
    rows: list[Row] = [(kind, ", ".join(registry.names(kind))) for kind in KINDS]
    rows += [(f"preset ({section})", ", ".join(names)) for section, names in PRESETS.items()]
    return _table(rows, numbers=False)


def overview(study: Study, base: Path) -> str:
    """Return the size of a study as text.

    Args:
        study: the study, its sweeps expanded.
        base: the workflow's folder, which holds results/ and logs/.
    """
    entries = inventory(study, base)
    total: list[Row] = [("stage", "jobs", "finished", "to do"), *_by_stage(entries)]
    head = f"study {study.study}, results in {base / 'results' / study.study}"
    parts = [head, _table(_tasks(entries)), _table(_models(entries)), _table(total)]
    return "\n\n".join([*parts, _time(entries)])


def _tasks(entries: Sequence[Entry]) -> list[Row]:
    rows: list[Row] = [("task", "decoder", "simulate", "gather", "simulations", "to make")]
    named = [one for one in entries if one.task]
    for (task,), found in _grouped(named, lambda one: (one.task,)):
        made = [one for one in found if one.stage in ("simulate", "gather")]
        rows.append(
            (
                str(task),
                *(_jobs(found, stage) for stage in ("decoder", "simulate", "gather")),
                f"{sum(one.simulations for one in made):,}",
                f"{sum(one.simulations for one in made if not one.done):,}",
            )
        )
    return rows


def _models(entries: Sequence[Entry]) -> list[Row]:
    rows: list[Row] = [
        ("task", "budget", "model", "defense", "seeds", *MODEL_STAGES, "finished", "to do")
    ]
    models = [one for one in entries if one.stage in MODEL_STAGES]
    together = _grouped(models, lambda one: (one.task, one.budget, one.model))
    models = [one for _, found in together for one in found]
    for key, found in _grouped(models, lambda one: (one.task, one.budget, one.model, one.defense)):
        done = sum(one.done for one in found)
        rows.append(
            (
                *(str(part) for part in key),
                str(len({one.seed for one in found})),
                *(_jobs(found, stage) for stage in MODEL_STAGES),
                str(done),
                str(len(found) - done),
            )
        )
    return rows


def _by_stage(entries: Sequence[Entry]) -> list[Row]:
    rows: list[Row] = []
    for stage in STAGES:
        found = [one for one in entries if one.stage == stage]
        done = sum(one.done for one in found)
        rows += [(stage, str(len(found)), str(done), str(len(found) - done))] if found else []
    done = sum(one.done for one in entries)
    return [*rows, ("total", str(len(entries)), str(done), str(len(entries) - done))]


def _time(entries: Sequence[Entry]) -> str:
    to_do = sum(not one.done for one in entries)
    if to_do == 0:
        return "Time: nothing to do. Files count; changed values show in a dry run (make plan)."
    seconds, known = estimate(list(entries))
    if known == 0:
        return f"Time: unknown, no job like the {to_do} to do has been measured in this study."
    rest = f"; unknown for the other {to_do - known}" if known < to_do else ""
    return (
        f"Time: {duration(seconds)} of one core for {known} of {to_do} jobs, as long as jobs like "
        f"them took (see docs/sweeps.md){rest}."
    )


def duration(seconds: float) -> str:
    """Return a duration as a person says it, e.g. "2 h 05 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _jobs(entries: Iterable[Entry], stage: str) -> str:
    return str(sum(one.stage == stage for one in entries) or "-")


def _grouped(
    entries: Iterable[Entry], key: Callable[[Entry], Key]
) -> list[tuple[Key, list[Entry]]]:
    groups: dict[Key, list[Entry]] = {}
    for one in entries:
        groups.setdefault(key(one), []).append(one)
    return list(groups.items())


def _table(rows: Sequence[Row], numbers: bool = True) -> str:
    """Return rows as aligned columns; numbers stand to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            text.rjust(width) if numbers and _is_number(rows, column) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _is_number(rows: Sequence[Row], column: int) -> bool:
    return all(row[column].replace(",", "").isdigit() or row[column] == "-" for row in rows[1:])
