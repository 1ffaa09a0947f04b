"""A study: named specifications and the experiments that combine them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from certibayes.config.attacks import FORM_OF_OBJECTIVE, AnyAttack
from certibayes.config.base import Count, Name, PositiveInt, Spec
from certibayes.config.certificates import AnyCertificate, PosteriorShift
from certibayes.config.defenses import AnyDefense
from certibayes.config.errors import violation
from certibayes.config.evaluation import Evaluation
from certibayes.config.models import Model
from certibayes.config.tasks import BUILT_IN, AnyTask
from certibayes.config.tracking import Tracking


class Experiment(Spec):
    """One task, budget and model with lists of defenses, attacks, certificates and seeds."""

    task: Name
    budget: PositiveInt
    model: Name
    defenses: tuple[Name, ...] = ("none",)
    attacks: tuple[Name, ...] = ()
    certificates: tuple[Name, ...] = ()
    seeds: tuple[Count, ...] = Field(default=(0,), min_length=1)


class Study(Spec):
    """One config file."""

    study: Name
    seed: Count = 0
    tasks: dict[Name, AnyTask] = Field(default_factory=dict)
    models: dict[Name, Model]
    defenses: dict[Name, AnyDefense] = Field(default_factory=dict)
    attacks: dict[Name, AnyAttack] = Field(default_factory=dict)
    certificates: dict[Name, AnyCertificate] = Field(default_factory=dict)
    evaluation: Evaluation = Evaluation()
    tracking: Tracking = Tracking()
    experiments: tuple[Experiment, ...] = Field(min_length=1)

    def task(self, name: str) -> AnyTask:
        """Return the specification of a task: one of the study's own, else the built-in one."""
        return self.tasks[name] if name in self.tasks else BUILT_IN[name]()

    @model_validator(mode="after")
    def _check(self) -> Study:
        findings = [
            finding
            for position, experiment in enumerate(self.experiments)
            for finding in self._findings(f"experiments.{position}", experiment)
        ]
        findings += [
            violation(f"certificates.{name}", name, "a name that no attack has")
            for name in sorted(set(self.attacks) & set(self.certificates))
        ]
        if "none" in self.defenses:
            findings.append(violation("defenses.none", "none", "any other name; it is built in"))
        if findings:
            raise ValueError("\n".join(findings))
        return self

    def _findings(self, key: str, experiment: Experiment) -> list[str]:
        findings = [
            *_unknown(f"{key}.task", (experiment.task,), {**self.tasks, **BUILT_IN}),
            *_unknown(f"{key}.model", (experiment.model,), self.models),
            *_unknown(f"{key}.defenses", experiment.defenses, {**self.defenses, "none": None}),
            *_unknown(f"{key}.attacks", experiment.attacks, self.attacks),
            *_unknown(f"{key}.certificates", experiment.certificates, self.certificates),
        ]
        return findings or self._misfits(key, experiment)

    def _misfits(self, key: str, experiment: Experiment) -> list[str]:
        task, model = self.task(experiment.task), self.models[experiment.model]
        findings = []
        if model.form != task.form:
            fitting = [name for name, other in self.models.items() if other.form == task.form]
            return [violation(f"{key}.model", experiment.model, fitting)]
        for name in experiment.attacks:
            if FORM_OF_OBJECTIVE[self.attacks[name].objective] != model.form:
                fitting = [o for o, form in FORM_OF_OBJECTIVE.items() if form == model.form]
                findings.append(
                    f"{key}.attacks: got {name!r} with objective "
                    f"{self.attacks[name].objective!r}, which does not fit the {model.form} model "
                    f"{experiment.model!r}; allowed objectives: {', '.join(fitting)}"
                )
        for name in experiment.certificates:
            if self.certificates[name].form != model.form:
                fitting = [n for n, c in self.certificates.items() if c.form == model.form]
                findings.append(violation(f"{key}.certificates", name, fitting))
        compared = {
            spec.comparison_draws
            for name in experiment.certificates
            if isinstance(spec := self.certificates[name], PosteriorShift)
        }
        if len(compared) > 1:
            findings.append(
                violation(
                    f"{key}.certificates",
                    sorted(compared),
                    "one value of comparison_draws for all certificates of an experiment",
                )
            )
        if task.rows is not None and experiment.budget > task.rows:
            allowed = f"1 to {task.rows}, the rows of the data set"
            findings.append(violation(f"{key}.budget", experiment.budget, allowed))
        return findings


def _unknown(key: str, names: tuple[str, ...], known: Mapping[str, object]) -> list[str]:
    unknown = [violation(key, name, known) for name in names if name not in known]
    repeated = sorted({name for name in names if names.count(name) > 1})
    return unknown + [violation(key, name, "each name once") for name in repeated]
