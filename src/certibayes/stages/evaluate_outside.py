"""Whether a classifier's uncertainty tells inputs of another data set from its own."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.config.errors import ConfigError
from certibayes.config.jobs import EvaluateJob
from certibayes.config.tasks import BUILT_IN
from certibayes.metrics.uncertainty import auroc, entropy, likelihood_ratio, mutual_information
from certibayes.seeding import generator
from certibayes.stages.evaluate_weights import sample_probabilities
from certibayes.stages.findings import Value
from certibayes.tasks.base import ClassificationTask


def outside_probabilities(job: EvaluateJob, model: Predictive, x: Tensor) -> Tensor | None:
    """Return the probabilities at foreign inputs, (samples, batch, classes); None without any.

    Args:
        job: names the foreign inputs, `evaluation.outside`.
        model: the classifier, float64.
        x: its own test observations, shape (batch, x_dim); at most as many foreign ones are taken.

    Raises:
        ConfigError: if the foreign inputs have another number of features.
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
    if foreign.shape[1] != x.shape[1]:
        raise ConfigError(
            f"evaluation.outside: got {name!r} with {foreign.shape[1]} features; allowed for "
            f"{job.task!r}: data sets with {x.shape[1]}, or permuted"
        )
    return foreign.to(x)


def outside_columns(inside: Tensor, outside: Tensor | None) -> dict[str, Value]:
    """Return AUROC of entropy and of mutual information, and the likelihood ratio; or nothing.

    Args:
        inside: probabilities at the model's own inputs, clean or attacked, (samples, n, classes).
        outside: at foreign inputs, (samples, m, classes).
    """
    if outside is None:
        return {}
    return {
        "outside_entropy_auroc": auroc(entropy(inside.mean(0)), entropy(outside.mean(0))),
        "outside_information_auroc": auroc(mutual_information(inside), mutual_information(outside)),
        "outside_likelihood_ratio": likelihood_ratio(inside.mean(0), outside.mean(0)),
    }
