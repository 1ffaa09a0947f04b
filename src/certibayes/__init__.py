"""certibayes: adversarially robust, certified Bayesian inference."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def load(source: str | Path, tracking_uri: str | None = None) -> Any:
    """Return a trained model: a `LoadedPosterior` or, of a labelled data set, a `LoadedClassifier`.

    A posterior has `sample((n,), x=...)`, `sample_batched`, `log_prob(theta, x=...)`, as in sbi; a
    classifier has `probabilities(x)`. Both have `certificate(x)`, computed afresh for that x at the
    epsilons of the study. Weights are checked against the recorded sha256; no pickle is read.

    Args:
        source: results/<study>/<task>/n<budget>/<model>/<defense>/seed<k>, or a registered model,
            models:/<study>.<task>.<model>.<defense>@<alias> or .../<version>.
        tracking_uri: of the registry; None = $MLFLOW_TRACKING_URI, else `mlflow.db` in
            $CERTIBAYES_BASE or the current folder.

    Raises:
        FileNotFoundError: if a folder holds no model.
        FileFormatError: if a file is malformed; WeightsError if weights differ from what their
            manifest records.
        TrackingError: if the registry cannot be reached, or has no such model.
        ValueError: if an address is malformed.
    """
    return import_module("certibayes.serving.load").load(source, tracking_uri)
