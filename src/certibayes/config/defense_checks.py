"""Whether the defenses of an experiment fit its model."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from certibayes import registry
from certibayes.config.defenses import EXACT_INFORMATION, AnyDefense, Fisher, RobustLikelihood
from certibayes.config.errors import describe
from certibayes.config.inference import HMCInference, SWAGInference
from certibayes.config.study import Experiment, Study

LINEAR = ("crown_ibp", "shared_adversary")
"""Bounds of a robust likelihood that need linear bounds of the log density."""
OF_LABELS = ("interval", "crown_ibp", "attack", "mixed")
"""Bounds of a robust likelihood that there are for classifiers too."""


def defense_findings(study: Study, key: str, experiment: Experiment) -> Iterator[str]:
    """Yield one line per defense that has no meaning for the model of an experiment.

    Args:
        study: the study, its sweeps expanded.
        key: of the experiment.
        experiment: names only parts that exist.
    """
    for name in experiment.defenses:
        spec = None if name == "none" else study.defenses[name]
        place = f"{key}.defenses: got {name!r}"
        yield from _untrainable(study, place, experiment, spec)
        if isinstance(spec, Fisher) and spec.trace == "exact":
            yield from _inexact(study, place, experiment)
        elif isinstance(spec, RobustLikelihood):
            yield from _unbounded(study, place, experiment, spec)


def _inexact(study: Study, place: str, experiment: Experiment) -> Iterator[str]:
    estimator = study.models[experiment.model].estimator
    if estimator is not None and estimator.kind not in EXACT_INFORMATION:
        yield (
            f"{place} with trace: exact and the {estimator.kind!r} estimator of "
            f"{experiment.model!r}; allowed estimators: {', '.join(EXACT_INFORMATION)}"
        )


def _untrainable(
    study: Study, place: str, experiment: Experiment, spec: AnyDefense | None
) -> Iterator[str]:
    """Yield where a defense's training or its ramps do not suit the weight inference."""
    model = study.models[experiment.model]
    if spec is not None and spec.training is not None:
        try:
            model.with_training(spec.training)
        except ValidationError as error:
            message = describe(error, {}, type(model))
            yield f"{place} and the model {experiment.model!r} with the defense's {message}"
    inference = model.inference
    if isinstance(spec, RobustLikelihood) and isinstance(inference, SWAGInference):
        ramp = max(spec.ramp_fraction, spec.weight_ramp_fraction)
        if inference.start < ramp:
            later = f"inference.start of at least {ramp}"
            sooner = "ramp_fraction and weight_ramp_fraction up to inference.start"
            yield (
                f"{place}, whose ramps last {ramp} of training, and the model "
                f"{experiment.model!r} with inference.start {inference.start}, which collects "
                f"before; allowed: {later if ramp < 1 else sooner}"
            )
    if isinstance(spec, Fisher) and isinstance(inference, HMCInference):
        for name, value in {"every": spec.every, "share": spec.share}.items():
            if value != 1:
                yield (
                    f"{place} with {name} {value} and the 'hmc' inference of {experiment.model!r}, "
                    f"whose steps need one objective; allowed: {name} 1"
                )


def _unbounded(
    study: Study, place: str, experiment: Experiment, spec: RobustLikelihood
) -> Iterator[str]:
    estimator = study.models[experiment.model].estimator
    if estimator is None:
        if spec.bounds not in OF_LABELS:
            yield (
                f"{place} with bounds: {spec.bounds} and the classifier {experiment.model!r}, "
                f"which has no posterior over theta; allowed bounds: {', '.join(OF_LABELS)}"
            )
        return
    if spec.warmup_weight > 0:
        yield (
            f"{place} with warmup_weight {spec.warmup_weight} and the estimator "
            f"{experiment.model!r}; allowed: 0, its regularizers are those of classifiers"
        )
    bounded = sorted(set(registry.names("log_density_graph")) - {"ensemble", *registry.FOREIGN})
    if spec.bounds in LINEAR and estimator.kind not in bounded:
        yield (
            f"{place} with bounds: {spec.bounds} and the {estimator.kind!r} estimator of "
            f"{experiment.model!r}; allowed estimators: {', '.join(bounded)}"
        )
