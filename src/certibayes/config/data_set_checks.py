"""Whether the parts of an experiment suit the labelled data set that it is about."""

from __future__ import annotations

from collections.abc import Iterator

from certibayes.config.attacks import AnyAttack
from certibayes.config.certificates import AnyCertificate
from certibayes.config.datasets import DataSet
from certibayes.config.defenses import AnyDefense
from certibayes.config.errors import violation
from certibayes.config.evaluation import Evaluation
from certibayes.config.networks import CNN
from certibayes.config.study import Experiment, Study
from certibayes.config.tasks import BUILT_IN
from certibayes.config.threat import Perturbation

PERMUTED = "permuted"


def data_set_findings(
    study: Study, key: str, experiment: Experiment, evaluation: Evaluation, place: str
) -> Iterator[str]:
    """Yield one line per part that the features of a labelled data set rule out.

    Args:
        study: the study, its sweeps expanded.
        key: of the experiment.
        experiment: names only parts that exist.
        evaluation: the experiment's.
        place: key of that evaluation.
    """
    task = study.task(experiment.task)
    if not isinstance(task, DataSet):
        return
    network = study.models[experiment.model].network
    if isinstance(network, CNN):
        try:
            network.sides(task.FEATURES)
        except ValueError as error:
            yield f"models.{experiment.model}.{error} (task {experiment.task!r})"
    for name in experiment.attacks:
        yield from _mask(f"attacks.{name}.mask", study.attacks[name], task)
        if study.attacks[name].outside and evaluation.outside is None:
            allowed = f"false where {place}.outside is null"
            yield violation(f"attacks.{name}.outside", True, allowed)
    parts: list[tuple[str, AnyAttack | AnyCertificate | AnyDefense]] = [
        *((f"attacks.{name}", study.attacks[name]) for name in experiment.attacks),
        *((f"certificates.{name}", study.certificates[name]) for name in experiment.certificates),
        *((f"defenses.{n}", study.defenses[n]) for n in experiment.defenses if n != "none"),
    ]
    for part, spec in parts:
        yield from _clip(f"{part}.perturbation.clip", getattr(spec, "perturbation", None))
    yield from _outside(f"{place}.outside", evaluation.outside, task)


def _mask(key: str, attack: AnyAttack, task: DataSet) -> Iterator[str]:
    if attack.mask is not None and attack.mask[-1] >= task.FEATURES:
        allowed = f"numbers from 0 to {task.FEATURES - 1}, the features of {task.kind}"
        yield violation(key, list(attack.mask), allowed)


def _clip(key: str, ball: Perturbation | None) -> Iterator[str]:
    """Yield a range of x' that the pixels' own does not contain: it would not be the one kept."""
    if ball is None or not isinstance(ball.clip, tuple):
        return
    low, high = DataSet.RANGE
    if not low <= ball.clip[0] < ball.clip[1] <= high:
        yield violation(
            key, list(ball.clip), f"null, or a part of the pixels' range [{low}, {high}]"
        )


def _outside(key: str, name: str | None, task: DataSet) -> Iterator[str]:
    """Yield a foreign data set that is the task's own or has another number of features."""
    if name is None or name == PERMUTED:
        return
    sets = {name: spec.FEATURES for name, spec in BUILT_IN.items() if issubclass(spec, DataSet)}
    if name == task.kind or sets[name] != task.FEATURES:
        fitting = [n for n, features in sets.items() if features == task.FEATURES]
        yield violation(key, name, [n for n in (*fitting, PERMUTED) if n != task.kind])
