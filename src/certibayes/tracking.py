"""The MLflow store of a study: the only importer of mlflow, which is slow and imported on use."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from certibayes.address import TIMEOUT_SECONDS, Session, TrackingError, require_reachable
from certibayes.config.tasks import Form
from certibayes.journal import Point, Record
from certibayes.process import alive
from certibayes.served import ANSWERS, LOADER, PACKAGE, ServedParams, requirements

METRICS_PER_CALL = 1000
PARAMS_PER_CALL = 100
UPLOAD_SECONDS = 120
LONGEST_PARAM = 6000
LONGEST_TAG = 5000
LONGEST_DIGEST = 36
PARAM_TYPES = {int: "long", bool: "boolean"}
PARENT = "mlflow.parentRunId"
CONTEXT = "mlflow.data.context"
REQUEST_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
ENVIRONMENT = {  # no retries: a slow server would do everything twice
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    REQUEST_TIMEOUT: str(TIMEOUT_SECONDS),
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}


@cache
def _client(uri: str) -> Any:
    """Return the client of a store, whose database is opened here."""
    from mlflow.tracking import MlflowClient

    logging.getLogger("alembic").setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri)


@contextmanager
def calls(uri: str) -> Iterator[Any]:
    """Yield a store's client; failures of MLflow, database or network are TrackingErrors."""
    require_reachable(uri)
    with _failures(without_password(uri)):
        yield _client(uri)


@contextmanager
def _failures(about: str) -> Iterator[None]:
    """Turn what MLflow raises into TrackingErrors; settings of the environment go before ours."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrackingError(f"{about}: {first}") from error


@contextmanager
def patient() -> Iterator[None]:
    """Let requests take as long as files do, unless the environment states how long they may."""
    stated = os.environ.get(REQUEST_TIMEOUT)
    if stated not in (None, str(TIMEOUT_SECONDS)):
        yield
        return
    os.environ[REQUEST_TIMEOUT] = str(UPLOAD_SECONDS)
    try:
        yield
    finally:
        os.environ[REQUEST_TIMEOUT] = stated or str(TIMEOUT_SECONDS)


def without_password(uri: str) -> str:
    """Return an address as it may be printed."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


class Store:
    """The runs of one study. Every method raises TrackingError when the store fails."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def start(self, record: Record) -> str:
        """Open a child run for an attempt and return its id; tags and inputs go with it."""
        header = record.header
        with calls(self.session.uri) as client:
            run = client.create_run(
                self.session.experiment_id,
                start_time=header["started"],
                tags={**_short(header["tags"]), PARENT: self.session.parent_id},
                run_name=header["run_name"],
            )
            self._inputs(client, run.info.run_id, header["inputs"], header["tags"]["stage"])
            return str(run.info.run_id)

    def _inputs(self, client: Any, run_id: str, inputs: Mapping[str, str], stage: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        context = [InputTag(CONTEXT, stage)]
        datasets = [
            DatasetInput(
                Dataset(name, digest[:LONGEST_DIGEST], "local", json.dumps({"path": name})), context
            )
            for name, digest in inputs.items()
        ]
        if datasets:
            client.log_inputs(run_id, datasets=datasets)

    def supersede(self, job_key: str, run_id: str) -> list[str]:
        """Mark unfinished earlier runs of a job KILLED, unless their process lives; return them."""
        ended = []
        with calls(self.session.uri) as client:
            for run in self._running(client, f"tags.job_key = '{job_key}'"):
                if run.info.run_id != run_id and not alive(run.data.tags):
                    client.set_tag(run.info.run_id, "superseded_by", run_id)
                    client.set_terminated(run.info.run_id, "KILLED")
                    ended.append(str(run.info.run_id))
        return ended

    def _running(self, client: Any, condition: str) -> list[Any]:
        condition, runs, token = f"{condition} and attributes.status = 'RUNNING'", [], None
        while True:
            page = client.search_runs([self.session.experiment_id], condition, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def find(self, attempt_id: str) -> str | None:
        """Return the run of an attempt, if the store has one."""
        with calls(self.session.uri) as client:
            found = client.search_runs(
                [self.session.experiment_id], f"tags.attempt_id = '{attempt_id}'", max_results=1
            )
        return str(found[0].info.run_id) if found else None

    def send(
        self, run_id: str, points: Iterable[Point], params: Mapping[str, str] | None = None
    ) -> None:
        """Log points and params in as few calls as MLflow allows."""
        from mlflow.entities import Metric, Param

        metrics = [Metric(p.name, p.value, p.time, p.step) for p in points]
        texts = [Param(n, v[:LONGEST_PARAM]) for n, v in (params or {}).items()]
        with calls(self.session.uri) as client:
            for start in range(0, len(texts), PARAMS_PER_CALL):
                client.log_batch(run_id, params=texts[start : start + PARAMS_PER_CALL])
            for start in range(0, len(metrics), METRICS_PER_CALL):
                client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])

    def missing(self, run_id: str, points: Iterable[Point]) -> list[Point]:
        """Return the points that a run does not have, compared by name and step."""
        points = list(points)
        with calls(self.session.uri) as client:
            known = client.get_run(run_id).data.metrics
            present = {
                (name, metric.step)
                for name in {p.name for p in points} & set(known)
                for metric in client.get_metric_history(run_id, name)
            }
        return [p for p in points if (p.name, p.step) not in present]

    def finish(self, run_id: str, record: Record, base: Path) -> None:
        """Log artifacts that still exist and end tags, then set the final status."""
        with calls(self.session.uri) as client:
            for name in record.artifacts:
                if (base / name).exists():
                    client.log_artifact(run_id, str(base / name))
            for name, value in _short(record.tags).items():
                client.set_tag(run_id, name, value)
            client.set_terminated(run_id, record.status, end_time=record.ended)

    def close(self, status: str) -> list[str]:
        """End the parent run; children whose process is gone become KILLED and are returned."""
        ended = []
        with calls(self.session.uri) as client:
            for run in self._running(client, f"tags.`{PARENT}` = '{self.session.parent_id}'"):
                if not alive(run.data.tags):
                    client.set_terminated(run.info.run_id, "KILLED")
                    ended.append(str(run.info.run_id))
            client.set_terminated(self.session.parent_id, status)
        return ended


def _short(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:LONGEST_TAG] for name, value in tags.items()}


def save_served(folder: Path, package: Path, x_dim: int, form: Form) -> None:
    """Write a model in MLflow's own layout around a package; no pickle, the code is this package's.

    Its signature: x, shape (batch, x_dim), and `ServedParams` in; per observation draws of theta or
    class probabilities, and certificates, out.

    Args:
        folder: made by this call.
        package: folder that `write_package` made.
        x_dim: numbers in an observation.
        form: what the model infers.

    Raises:
        TrackingError: if MLflow cannot, or the disk is full.
    """
    import numpy as np

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
        from mlflow.pyfunc import save_model
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    asked = [
        ParamSpec(field.name, PARAM_TYPES[type(field.default)], field.default)
        for field in fields(ServedParams)
    ]
    with _failures("MLflow's layout"):
        save_model(
            str(folder),
            loader_module=LOADER,
            data_path=str(package),
            signature=ModelSignature(
                inputs=Schema([TensorSpec(np.dtype("float64"), (-1, x_dim))]),
                outputs=Schema(
                    [ColSpec(_type(shape), name) for name, shape in ANSWERS[form].items()]
                ),
                params=ParamSchema(asked),
            ),
            input_example=np.zeros((1, x_dim)),
            pip_requirements=requirements(),
        )


def _type(shape: Any) -> Any:
    """Return MLflow's type of numbers and texts, lists and named values of these."""
    from mlflow.types.schema import Array, DataType, Object, Property

    if isinstance(shape, dict):
        return Object([Property(name, _type(value)) for name, value in shape.items()])
    if isinstance(shape, list):
        return Array(_type(shape[0]))
    return DataType[shape]


def download_version(uri: str, name: str, version: str, folder: Path) -> Path:
    """Copy the package of a registered model into a folder and return where it lies.

    Args:
        uri: of the registry.
        name: of the model.
        version: a number, or "@<alias>".
        folder: an empty one.

    Raises:
        TrackingError: if the registry cannot be reached, or has no such model.
    """
    with calls(uri) as client:
        from mlflow.artifacts import download_artifacts

        number = version
        if version.startswith("@"):
            number = client.get_model_version_by_alias(name, version.removeprefix("@")).version
        source = client.get_model_version_download_uri(name, number)
        with patient():
            place = download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=uri)
    for found in Path(place).rglob(PACKAGE):
        return found.parent
    raise TrackingError(f"{name} version {number}: holds no {PACKAGE}; allowed: models of a study")
