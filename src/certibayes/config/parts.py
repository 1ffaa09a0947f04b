"""A part of a study: some of its experiments, in the same folder of results."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Literal, get_args

from certibayes.config.errors import ConfigError
from certibayes.config.study import Experiment, Study

PART_VARIABLE = "CERTIBAYES_PART"
"""Environment variable with a part's conditions, separated by blanks: the workflow's processes
agree on it."""
Key = Literal["task", "budget", "model", "defense", "seed", "size"]


def declare_part(parser: argparse.ArgumentParser) -> None:
    """Declare the option of commands that take a part."""
    parser.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="KEY=VALUE,...",
        help="only experiments with this task, budget, model, defense, seed or size; repeatable",
    )


def part_of(study: Study, conditions: Iterable[str]) -> Study:
    """Return the study with the experiments that meet every condition; all for no condition.

    Args:
        study: the whole study.
        conditions: each `key=value` or `key=value,value`, of the keys in `Key`.

    Raises:
        ConfigError: for an unknown key, a value that no experiment has, or an empty part.
    """
    experiments = study.experiments
    for condition in conditions:
        key, values = _parsed(condition)
        known = {value for experiment in study.experiments for value in _values(experiment, key)}
        if unknown := sorted(values - known):
            raise ConfigError(
                f"part: got {key}={','.join(unknown)}; allowed: {', '.join(sorted(known))}"
            )
        experiments = tuple(
            kept for one in experiments if (kept := _restricted(one, key, values)) is not None
        )
    if not experiments:
        raise ConfigError(
            f"part: got {' '.join(conditions)}, which no experiment meets; "
            "allowed: conditions that some experiment meets together"
        )
    return study.model_copy(update={"experiments": experiments})


def _parsed(condition: str) -> tuple[Key, set[str]]:
    key, equals, values = condition.partition("=")
    for known in get_args(Key):
        if equals and values and key == known:
            return known, set(values.split(","))
    raise ConfigError(
        f"part: got {condition!r}; allowed: key=value[,value...] with a key of "
        f"{', '.join(get_args(Key))}"
    )


def _values(experiment: Experiment, key: Key) -> list[str]:
    if key == "defense":
        return list(experiment.defenses)
    if key == "seed":
        return [str(seed) for seed in experiment.seeds]
    value = getattr(experiment, key)
    return [] if value is None else [str(value)]


def _restricted(experiment: Experiment, key: Key, values: set[str]) -> Experiment | None:
    """Return the experiment with what the condition leaves of it, or None."""
    kept = [value for value in _values(experiment, key) if value in values]
    if not kept:
        return None
    if key == "defense":
        return experiment.model_copy(update={"defenses": tuple(kept)})
    if key == "seed":
        return experiment.model_copy(update={"seeds": tuple(int(seed) for seed in kept)})
    return experiment
