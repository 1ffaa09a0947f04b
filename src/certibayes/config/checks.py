"""What no single key shows: whether the parts that a study combines exist and fit together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from certibayes import registry
from certibayes.config.attacks import FORM_OF_OBJECTIVE
from certibayes.config.certificates import (
    Certificate,
    Coverage,
    PosteriorDecision,
    PosteriorShift,
    ProbabilisticSafety,
)
from certibayes.config.data_set_checks import data_set_findings
from certibayes.config.defense_checks import defense_findings
from certibayes.config.defenses import AnyDefense
from certibayes.config.errors import violation
from certibayes.config.evaluation import Evaluation
from certibayes.config.inference import DRAWN_AFRESH, MEAN_FIELD
from certibayes.config.networks import normalizes
from certibayes.config.own_checks import own_findings
from certibayes.config.study import Experiment, Study
from certibayes.config.tasks import BUILT_IN
from certibayes.config.threat import Clip, PerturbationAt

MIN_HELD_OUT = 5
"""Expected rows of the validation part, below which a hash of the row index may leave none."""


def findings(study: Study) -> list[str]:
    """Return one line per finding, each with the key, the value and what is allowed."""
    found = [
        violation(f"certificates.{name}", name, "a name that no attack has")
        for name in sorted(set(study.attacks) & set(study.certificates))
    ]
    if "none" in study.defenses:
        found.append(violation("defenses.none", "none", "any other name; it is built in"))
    found += [
        violation(
            f"defenses.{name}.perturbation.clip",
            "data_range",
            "[low, high] around every training observation, or nothing: training observations may "
            "lie outside the range of the test observations",
        )
        for name, spec in study.defenses.items()
        if _clip(spec) == "data_range"
    ]
    own = [line for name, spec in study.tasks.items() for line in own_findings(name, spec)]
    if own:
        return found + own
    for position, experiment in enumerate(study.experiments):
        key = f"experiments.{position}"
        found += list(_unknown(study, key, experiment)) or _misfits(study, key, experiment)
    return list(dict.fromkeys(found or _disagreements(study)))


def _clip(spec: AnyDefense) -> Clip | None:
    ball = getattr(spec, "perturbation", None)
    return ball.clip if isinstance(ball, PerturbationAt) else None


def _unknown(study: Study, key: str, experiment: Experiment) -> Iterator[str]:
    named: list[tuple[str, tuple[str, ...], Mapping[str, object]]] = [
        ("task", (experiment.task,), {**study.tasks, **BUILT_IN}),
        ("model", (experiment.model,), study.models),
        ("defenses", experiment.defenses, {**study.defenses, "none": None}),
        ("attacks", experiment.attacks, study.attacks),
        ("certificates", experiment.certificates, study.certificates),
    ]
    for part, names, known in named:
        yield from (violation(f"{key}.{part}", name, known) for name in names if name not in known)
        repeated = sorted({name for name in names if names.count(name) > 1})
        yield from (violation(f"{key}.{part}", name, "each name once") for name in repeated)
    again = sorted({seed for seed in experiment.seeds if experiment.seeds.count(seed) > 1})
    yield from (violation(f"{key}.seeds", seed, "each seed once") for seed in again)


def _misfits(study: Study, key: str, experiment: Experiment) -> list[str]:
    task, model = study.task(experiment.task), study.models[experiment.model]
    if model.form != task.form:
        fitting = [name for name, other in study.models.items() if other.form == task.form]
        return [violation(f"{key}.model", experiment.model, fitting)]
    found = []
    for name in experiment.attacks:
        objective = study.attacks[name].objective
        if FORM_OF_OBJECTIVE[objective] != model.form:
            fitting = [o for o, form in FORM_OF_OBJECTIVE.items() if form == model.form]
            found.append(
                f"{key}.attacks: got {name!r} with objective {objective!r}, which does not fit "
                f"the {model.form} model {experiment.model!r}; allowed objectives: "
                f"{', '.join(fitting)}"
            )
    for name in experiment.certificates:
        if study.certificates[name].form != model.form:
            fitting = [n for n, c in study.certificates.items() if c.form == model.form]
            found.append(violation(f"{key}.certificates", name, fitting))
    found += _unbounded(study, key, experiment)
    found += _without_closed_form(study, key, experiment)
    found += _without_fresh_weights(study, key, experiment)
    found += _without_weight_boxes(study, key, experiment)
    found += defense_findings(study, key, experiment)
    smallest = math.ceil(MIN_HELD_OUT / model.validation_fraction)
    if experiment.budget < smallest:
        allowed = f"at least {smallest}, so that the validation part is not empty"
        found.append(violation(f"{key}.budget", experiment.budget, allowed))
    if task.rows is not None and experiment.budget > task.rows:
        allowed = f"1 to {task.rows}, the rows of the data set"
        found.append(violation(f"{key}.budget", experiment.budget, allowed))
    return found + _sizes(study, key, experiment)


def _unbounded(study: Study, key: str, experiment: Experiment) -> Iterator[str]:
    """Yield what needs bounds of the log density that the estimator does not have."""
    estimator = study.models[experiment.model].estimator
    bounded = sorted(set(registry.names("estimator_bounds")) - {"ensemble", *registry.FOREIGN})
    if estimator is None or estimator.kind in bounded:
        return
    needing = {
        "defenses": [
            name
            for name in experiment.defenses
            if name != "none" and study.defenses[name].kind == "robust_likelihood"
        ],
        "certificates": [
            name for name in experiment.certificates if study.certificates[name].form == "posterior"
        ],
    }
    for part, found in needing.items():
        for name in found:
            yield (
                f"{key}.{part}: got {name!r} with the {estimator.kind!r} estimator of "
                f"{experiment.model!r}, whose density has no bounds; allowed estimators: "
                f"{', '.join(bounded)}"
            )


def _without_closed_form(study: Study, key: str, experiment: Experiment) -> Iterator[str]:
    """Yield certificates in closed form of estimators that have none."""
    estimator = study.models[experiment.model].estimator
    closed = [name for name in registry.names("head_shift_bounds") if name != "ensemble"]
    if estimator is None or estimator.kind in closed:
        return
    for name in experiment.certificates:
        spec = study.certificates[name]
        if isinstance(spec, PosteriorShift | Coverage) and spec.bounds == "closed_form":
            yield (
                f"{key}.certificates: got {name!r} with bounds: closed_form and the "
                f"{estimator.kind!r} estimator of {experiment.model!r}; allowed estimators: "
                f"{', '.join(closed)}"
            )


def _without_fresh_weights(study: Study, key: str, experiment: Experiment) -> Iterator[str]:
    """Yield certificates that draw weights from a posterior that is a finite ensemble itself."""
    why = ", a finite ensemble that kind decision certifies as a whole"
    yield from _not_of(PosteriorDecision, DRAWN_AFRESH, why, study, key, experiment)


def _without_weight_boxes(study: Study, key: str, experiment: Experiment) -> Iterator[str]:
    """Yield certificates by boxes of weights where these are no product of Gaussians, or scales."""
    yield from _not_of(ProbabilisticSafety, MEAN_FIELD, "", study, key, experiment)
    if normalizes(study.models[experiment.model].network):
        for name in experiment.certificates:
            if isinstance(study.certificates[name], ProbabilisticSafety):
                yield (
                    f"{key}.certificates: got {name!r} with network.batch_norm of "
                    f"{experiment.model!r}, whose weights have no boxes; allowed: batch_norm false"
                )


def _not_of(
    kind: type[Certificate],
    inferences: Sequence[str],
    why: str,
    study: Study,
    key: str,
    experiment: Experiment,
) -> Iterator[str]:
    """Yield certificates of a kind where the model is not one member of one of these inferences."""
    model = study.models[experiment.model]
    if model.members == 1 and model.inference.kind in inferences:
        return
    for name in experiment.certificates:
        if isinstance(study.certificates[name], kind):
            yield (
                f"{key}.certificates: got {name!r} with {model.inference.kind!r} and members "
                f"{model.members} of {experiment.model!r}{why}; allowed: members 1 and inference "
                f"{', '.join(inferences)}"
            )


def _sizes(study: Study, key: str, experiment: Experiment) -> list[str]:
    evaluation = _evaluation(study, experiment)
    place = "evaluation" if experiment.evaluation is None else f"{key}.evaluation"
    pairs = study.task(experiment.task).test_pairs
    found = []
    if evaluation.observations > pairs:
        allowed = f"1 to {pairs}, the test pairs of {experiment.task}"
        found.append(violation(f"{place}.observations", evaluation.observations, allowed))
    found += data_set_findings(study, key, experiment, evaluation, place)
    for name in ("coverage_draws", "c2st_draws"):
        if getattr(evaluation, name) > evaluation.report_draws:
            allowed = f"1 to {evaluation.report_draws}, the value of report_draws"
            found.append(violation(f"{place}.{name}", getattr(evaluation, name), allowed))
    return found


def _disagreements(study: Study) -> Iterator[str]:
    """Yield where experiments on one model contradict each other, or certify one ball twice.

    Of two confidence bounds of one quantity the smaller may not be chosen after the fact.
    """
    evaluations: dict[tuple[str, int, str], Evaluation] = {}
    balls: dict[tuple[object, ...], str] = {}
    for position, experiment in enumerate(study.experiments):
        key = f"experiments.{position}"
        model = (experiment.task, experiment.budget, experiment.model)
        evaluation = _evaluation(study, experiment)
        if evaluations.setdefault(model, evaluation) != evaluation:
            allowed = "one evaluation for all experiments on the same task, budget and model"
            yield violation(f"{key}.evaluation", evaluation.model_dump(), allowed)
        for name in experiment.certificates:
            spec = study.certificates[name]
            ball = (*model, spec.kind, spec.perturbation.norm, spec.perturbation.unit)
            first = balls.setdefault(ball, name)
            if first != name:
                allowed = f"one certificate per model, kind, norm and unit; {first!r} is there"
                yield violation(f"{key}.certificates", name, allowed)


def _evaluation(study: Study, experiment: Experiment) -> Evaluation:
    return experiment.evaluation or study.evaluation
