"""The first table of docs/wicker2021.md: what the study should show, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from gloeckler2023_results import markdown
from wicker2021_results import Results, average, known, percent

from certibayes.config.inference import Variational

STORED = 32
IMAGES = 10_000
POINTS = 0.03
WEIGHT_STD = 0.1
DISAGREEMENT = 0.005
KL_WEIGHT = 0.1
CONVOLUTIONS = ("cnn", "color", "cnn7", "color7", "large")


@dataclass(frozen=True)
class Target:
    """What one kind of network should reach with one data set and radius.

    Attributes:
        task: data set.
        network: what the names of its models start with.
        defense: certified training.
        epsilon: radius, linf, pixels in [0, 1].
        certified: least certified accuracy.
        clean: least clean accuracy.
        methods: variational methods that should reach it; 0 = any model.
        hours: most hours of training; 0 = any.
    """

    task: str
    network: str
    defense: str
    epsilon: float
    certified: float
    clean: float = 0.0
    methods: int = 0
    hours: float = 0.0


TARGETS = (
    Target("mnist", "mlp", "ibp", 0.1, 0.82, clean=0.95, methods=2),
    Target("mnist", "cnn", "ibp_image", 0.1, 0.94),
    Target("fashion_mnist", "mlp", "ibp", 0.1, 0.45, methods=1),
    Target("cifar10", "color", "ibp_color", 0.00784314, 0.30, hours=1.0),
)
CERTIFICATION = ("mnist", "mlp_bbb", "ibp", 60.0)
"""Seconds for all test images and 32 weight samples at one radius, two cores."""
HEADER = ("what", "wanted", "here", "met")


def targets(results: Results) -> str:
    """Return the table; every line that has not been run says so."""
    rows = [
        _sound(results),
        *(row for target in TARGETS for row in _reached(results, target)),
        _certification(results),
    ]
    text = (
        f"Certified and clean accuracy are those of all {IMAGES:,} test images, the certificate is "
        "deterministic and speaks of the stored ensemble. A posterior counts as not collapsed if "
        f"the median of |std / mean| over its weights is at least {WEIGHT_STD:g} or two of its "
        f"weight vectors disagree on at least {DISAGREEMENT:.1%} of the images. A KL weight below "
        f"{KL_WEIGHT:g} stands in the line: such a posterior is cold. What a step of certified "
        "training costs is measured [in one process](classifier_cost.md), not by these runs."
    )
    return f"## What was wanted\n\n{text}\n\n{markdown(HEADER, rows)}"


def _sound(results: Results) -> list[str]:
    names = [one for one in results.study.models if one.startswith(CONVOLUTIONS)]
    met, broken = results.contradictions(names)
    return [
        "convolutional networks: certified images that an attack in the ball gets wrong",
        "none",
        f"{broken} of {met:,} verdicts met by an attack" if met else "not run",
        _verdict([broken == 0] if met else []),
    ]


def _reached(results: Results, target: Target) -> Iterator[list[str]]:
    variational = target.methods > 0
    reached = []
    for model in _models(results, target, variational):
        where = (target.task, model, target.defense)
        certified = results.certified(*where, target.epsilon)
        if certified.empty:
            continue
        reached.append(_meets(results, target, model))
        yield [
            f"{_what(target)}: `{model}`{_tempering(results, model)}",
            _wanted(target),
            _found(results, target, model),
            _verdict([reached[-1]]),
        ]
    if variational:
        what = f"{_what(target)}: variational methods of {STORED} stored weight vectors or more"
        count = str(sum(reached)) if reached else "not run"
        met = [sum(reached) >= target.methods] if reached else []
        wanted = f"at least {target.methods}: {_wanted(target)}"
        yield [what, wanted, count, _verdict(met)]
    elif not reached:
        yield [_what(target), _wanted(target), "not run", "not run"]


def _models(results: Results, target: Target, variational: bool) -> list[str]:
    names = []
    for name, spec in results.study.models.items():
        counts = not variational or isinstance(spec.inference, Variational)
        same = name.partition("_")[0] == target.network
        if same and counts and results.job(target.task, name, target.defense):
            names.append(name)
    return names


def _meets(results: Results, target: Target, model: str) -> bool:
    where = (target.task, model, target.defense)
    certified = results.certified(*where, target.epsilon)
    clean = results.clean(*where)
    enough = min(known(certified, "observations")) >= IMAGES
    if target.hours:
        enough &= average(clean, "train_seconds") <= 3600 * target.hours
    if target.methods:
        enough &= _alive(clean) and _behind_twin(results, target, model) <= POINTS
        enough &= getattr(results.study.models[model].inference, "stored_samples", 1) >= STORED
    right = average(clean, "accuracy") >= target.clean
    return bool(enough and right and average(certified, "accuracy") >= target.certified)


def _alive(clean: pd.DataFrame) -> bool:
    """Tell whether the posterior is not collapsed."""
    spread = average(clean, "weight_std") >= WEIGHT_STD
    return spread or average(clean, "disagreement") >= DISAGREEMENT


def _behind_twin(results: Results, target: Target, model: str) -> float:
    """Return by how much the twin's certified accuracy is higher; NaN where it was not run."""
    twin = results.twin(model)
    if twin is None:
        return float("nan")
    own = results.certified(target.task, model, target.defense, target.epsilon)
    other = results.certified(target.task, twin, target.defense, target.epsilon)
    return average(other, "accuracy") - average(own, "accuracy")


def _found(results: Results, target: Target, model: str) -> str:
    where = (target.task, model, target.defense)
    certified, clean = results.certified(*where, target.epsilon), results.clean(*where)
    text = (
        f"{percent(average(certified, 'accuracy'))} certified, "
        f"{percent(average(clean, 'accuracy'))} clean"
    )
    if target.hours:
        text += f", {average(clean, 'train_seconds') / 3600:.2f} h"
    if not target.methods:
        return text
    behind = _behind_twin(results, target, model)
    twin = "twin not run" if pd.isna(behind) else f"twin {100 * behind:+.1f} points"
    return (
        f"{text}, {twin}, std / mean {average(clean, 'weight_std'):.2g}, "
        f"disagreement {average(clean, 'disagreement'):.2%}"
    )


def _wanted(target: Target) -> str:
    parts = [f"certified at least {percent(target.certified)}"]
    if target.clean:
        parts.append(f"clean at least {percent(target.clean)}")
    if target.methods:
        parts.append(f"at most {100 * POINTS:g} points behind the twin, not collapsed")
    if target.hours:
        parts.append(f"training at most {target.hours:g} h")
    return ", ".join(parts)


def _what(target: Target) -> str:
    return f"{target.task}, {target.network}, epsilon {target.epsilon:.3g}, {target.defense}"


def _tempering(results: Results, model: str) -> str:
    weight = getattr(results.study.models[model].inference, "kl_weight", None)
    return "" if weight is None else f", KL weight {weight:g}"


def _certification(results: Results) -> list[str]:
    task, model, defense, most = CERTIFICATION
    seconds = average(results.certified(task, model, defense, 0.1), "seconds")
    return [
        f"{task}, `{model}`, {defense}: seconds of certification, one radius, one core",
        f"at most {most:g} on two",
        "not run" if pd.isna(seconds) else f"{seconds:.0f}",
        _verdict([] if pd.isna(seconds) else [seconds <= 2 * most]),
    ]


def _verdict(met: list[bool]) -> str:
    if not met:
        return "not run"
    return "met" if all(met) else "missed"
