"""What the weight samples of a classifier say by themselves: their spread, and their mean."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bnn.predictive import Predictive
from certibayes.bnn.rows_at_once import rows_at_once
from certibayes.config.inference import DRAWN_AFRESH
from certibayes.config.jobs import EvaluateJob
from certibayes.metrics.accuracy import accuracy
from certibayes.metrics.calibration import expected_calibration_error
from certibayes.metrics.nll import negative_log_likelihood
from certibayes.metrics.uncertainty import entropy, mutual_information
from certibayes.metrics.weight_spread import disagreement, predictive_std, relative_std
from certibayes.stages.findings import Value


@torch.no_grad()
def sample_probabilities(model: Predictive, x: Tensor) -> Tensor:
    """Return the probabilities of every weight sample, shape (samples, batch, classes)."""
    blocks = x.split(rows_at_once(model, x))
    return torch.cat([model.sample_logits(one).softmax(-1) for one in blocks], 1)


@torch.no_grad()
def log_probabilities(model: Predictive, x: Tensor) -> Tensor:
    """Return the logarithms of the mean predictive's probabilities, shape (batch, classes)."""
    return torch.cat([model(one).logits for one in x.split(rows_at_once(model, x))])


def weight_columns(
    job: EvaluateJob, model: Predictive, each: Tensor, x: Tensor, labels: Tensor
) -> tuple[dict[str, Value], dict[str, Tensor]]:
    """Return columns and items of the clean row.

    The network at the mean of the weight samples stands for a posterior with one mode: models of
    several members, chains or unrelated weights have none.

    Args:
        job: states the model and the bins.
        model: the classifier.
        each: its `sample_probabilities` at x.
        x: observations, shape (batch, x_dim).
        labels: true labels, shape (batch,).
    """
    items = {
        "disagreement": disagreement(each),
        "predictive_std": predictive_std(each),
        "entropy": entropy(each.mean(0)),
        "mutual_information": mutual_information(each),
    }
    columns: dict[str, Value] = {name: float(value.mean()) for name, value in items.items()}
    columns["weight_std"] = relative_std(model.weight_samples.values())
    if job.model_spec.members > 1 or job.model_spec.inference.kind not in DRAWN_AFRESH:
        return columns, items
    means = {name: w.mean(0, keepdim=True) for name, w in model.weight_samples.items()}
    log_alone = log_probabilities(Predictive(model.network, means), x)
    log_prob, alone = log_alone.gather(1, labels.unsqueeze(1)).squeeze(1), log_alone.exp()
    columns["mean_network_accuracy"] = accuracy(alone, labels)
    columns["mean_network_nll"] = float(negative_log_likelihood(log_prob).mean)
    columns["mean_network_ece"] = expected_calibration_error(alone, labels, job.evaluation.ece_bins)
    return columns, items
