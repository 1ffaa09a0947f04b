"""Whether a classifier's uncertainty tells inputs of another data set from its own."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.config.jobs import EvaluateJob
from certibayes.config.tasks import BUILT_IN
from certibayes.metrics.auroc_error import auroc_standard_error
from certibayes.metrics.uncertainty import auroc, entropy, likelihood_ratio, mutual_information
from certibayes.seeding import generator
from certibayes.stages.classifier_quality import NORMAL
from certibayes.stages.evaluate_weights import sample_probabilities
from certibayes.stages.findings import Value
from certibayes.tasks.base import ClassificationTask


def outside_probabilities(job: EvaluateJob, model: Predictive, x: Tensor) -> Tensor | None:
    """Return the probabilities at foreign inputs, (samples, batch, classes); None without any.

    Args:
        job: names the foreign inputs, `evaluation.outside`.
        model: the classifier, float64.
        x: its own test observations, shape (batch, x_dim); at most as many foreign ones are taken.
    """
    name = job.evaluation.outside
    return None if name is None else sample_probabilities(model, foreign_inputs(job, name, x))


def foreign_inputs(job: EvaluateJob, name: str, x: Tensor) -> Tensor:
    """Return the first test inputs of a data set, or x itself with its features permuted.

    One permutation, of a seed of its own, serves all rows: marginal values of pixels stay what they
    are, only their places do not.
    """
    if name == "permuted":
        order = torch.randperm(x.shape[1], generator=generator(job.study_seed, "permuted"))
        return x[:, order]
    task = registry.load("task", name)(BUILT_IN[name]())
    assert isinstance(task, ClassificationTask)
    _, foreign = task.test_set(slice(len(x)))
    return foreign.to(x)


def outside_columns(inside: Tensor, outside: Tensor | None) -> dict[str, Value]:
    """Return AUROC of entropy and of mutual information, and the likelihood ratio; or nothing.

    Args:
        inside: probabilities at the model's own inputs, clean or attacked, (samples, n, classes).
        outside: at foreign inputs, (samples, m, classes).
    """
    if outside is None:
        return {}
    columns = detection_columns("outside", inside, outside)
    ratio = likelihood_ratio(inside.mean(0), outside.mean(0))
    return columns | {"outside_likelihood_ratio": ratio}


def detection_columns(prefix: str, inside: Tensor, outside: Tensor) -> dict[str, Value]:
    """Return AUROC of entropy and of mutual information with their 95 % intervals.

    Args:
        prefix: of the columns.
        inside: as for `outside_columns`.
        outside: likewise.
    """
    return {
        **_detection(f"{prefix}_entropy_auroc", entropy(inside.mean(0)), entropy(outside.mean(0))),
        **_detection(
            f"{prefix}_information_auroc", mutual_information(inside), mutual_information(outside)
        ),
    }


def _detection(name: str, inside: Tensor, outside: Tensor) -> dict[str, Value]:
    value = auroc(inside, outside)
    if min(len(inside), len(outside)) < 2:
        return {name: value}
    half = NORMAL * auroc_standard_error(inside, outside)
    ends = {f"{name}_low": max(0.0, value - half), f"{name}_high": min(1.0, value + half)}
    return {name: value, **ends}
