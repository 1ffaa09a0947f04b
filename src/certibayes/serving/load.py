"""`certibayes.load`: a trained model from a results folder or MLflow's model registry."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from certibayes.address import BASE_VARIABLE, SQLITE, TrackingError
from certibayes.bnn.predictive import Predictive
from certibayes.estimators.base import Estimator
from certibayes.io import MANIFEST, read_json
from certibayes.serving.certify import configured
from certibayes.serving.classifier import LoadedClassifier
from certibayes.serving.model_uri import ModelUri, is_model_uri
from certibayes.serving.package import Package, open_package
from certibayes.serving.posterior import LoadedPosterior
from certibayes.stages.building import build_task, load_model
from certibayes.stages.data import load_scale
from certibayes.stages.theta_record import require_recorded_theta
from certibayes.tasks.base import ClassificationTask, ThetaTask
from certibayes.tracking import download_version

URI_VARIABLE = "MLFLOW_TRACKING_URI"


def load(source: str | Path, tracking_uri: str | None = None) -> LoadedPosterior | LoadedClassifier:
    """Return a trained model; see `certibayes.load`.

    Args:
        source: a folder, or models:/<name>@<alias> or models:/<name>/<version>.
        tracking_uri: of the registry; None = $MLFLOW_TRACKING_URI, else `mlflow.db` in
            $CERTIBAYES_BASE or the current folder.

    Raises:
        FileNotFoundError: if a folder holds no model.
        FileFormatError: if a file is malformed; WeightsError if weights differ from what their
            manifest records.
        TrackingError: if the registry cannot be reached, or has no such model.
        ValueError: if an address is malformed.
    """
    if not is_model_uri(source):
        return of_package(open_package(Path(source)))
    address = ModelUri.parse(str(source))
    uri = tracking_uri or default_uri()
    with tempfile.TemporaryDirectory(prefix="certibayes-") as folder:
        try:
            place = download_version(uri, address.name, address.version, Path(folder))
        except TrackingError as error:
            raise TrackingError(f"{source}: {error}") from error
        return of_package(open_package(place))


def default_uri() -> str:
    """Return the address of the registry that is meant where none is stated."""
    stated = os.environ.get(URI_VARIABLE)
    base = Path(os.environ.get(BASE_VARIABLE, ".")).resolve()
    return stated or f"{SQLITE}{base / 'mlflow.db'}"


def of_package(package: Package) -> LoadedPosterior | LoadedClassifier:
    """Return the model of a package, its weights and the support of theta checked.

    Raises:
        FileFormatError: if they are not those that the manifest records.
    """
    job, layout = package.job, package.layout
    task = build_task(job)
    manifest = read_json(layout.weights(job) / MANIFEST)
    require_recorded_theta(task, job, manifest, layout.weights(job))
    model = load_model(job, layout, task).double()
    digest = str(manifest["sha256"])
    x_dim = len(load_scale(layout, job).feature_std)
    known = None if package.certificates is None else configured(package, task)
    if isinstance(task, ClassificationTask):
        assert isinstance(model, Predictive)
        return LoadedClassifier(package.name, job, digest, x_dim, known, model, task.classes)
    assert isinstance(task, ThetaTask)
    assert isinstance(model, Estimator)
    names = tuple(task.theta_names)
    return LoadedPosterior(package.name, job, digest, x_dim, known, model, names)
